#!/usr/bin/env bash
# Builds the container image and tries it for real with Debian's buildah, podman and runc: a bare start, a hardened one,
# jobs, health, stop, kill -9, compose. Needs root. Its storage, networks and containers are its own: nothing of this
# machine's is touched, and nothing stays (but packages). Prints what it measured at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    cat <<'TEXT'
usage: docker/check.sh [--keep DIR]

  --keep DIR   has the images in DIR and leaves them there: the next run with it needs no new base
TEXT
}

IMAGE=localhost/forkpool:check
BASE=debian:bookworm-slim # as docker/Dockerfile names it
JOBS=200
kept=
while (($# > 0)); do
    case $1 in
    --keep) kept=${2:?--keep needs a folder}; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
((EUID == 0)) || { echo "check: must be root, for containers without a daemon" >&2; exit 1; }
packages_ensure container

# /var/tmp: overlay storage does not work on every file system that /tmp may be.
work=$(mktemp -d /var/tmp/forkpool-check.XXXXXX)
storage=$work/storage
[[ -z $kept ]] || { mkdir -p "$kept"; storage=$(cd "$kept" && pwd); }
root=$PWD
compose_pid=

cleanup() {
    local status=$?
    trap - EXIT INT TERM
    [[ -z $compose_pid ]] || kill -TERM "$compose_pid" 2>/dev/null || true
    wait
    buildah rm --all >/dev/null 2>&1 || true # of a build that was cut off
    podman rm --all --force --volumes --time 0 >/dev/null 2>&1 || true
    podman volume rm --all --force >/dev/null 2>&1 || true
    if [[ -n $kept ]]; then
        podman image prune --force >/dev/null 2>&1 || true
    fi
    umount "$storage/images/overlay" 2>/dev/null || true
    # Empty control groups only: one that anybody uses cannot be removed.
    find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null || true
    cd /
    rm -rf --one-file-system "$storage/run" "$storage/libpod" "$storage/volumes" "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Settings for podman, buildah and podman-compose alike. Debian's defaults (crun, systemd's cgroups, limits above ours)
# work only where systemd runs and root may do everything. podman remembers these folders in its store of images.
nofile=$(ulimit -Hn)
[[ $nofile != unlimited ]] || nofile=1048576
cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$nofile:$nofile", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
tmp_dir = "$storage/libpod"
volume_path = "$storage/volumes"
[network]
network_config_dir = "$work/networks"
network_backend = "cni"
cni_plugin_dirs = ["/usr/lib/cni"]
CONF
cat >"$work/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$storage/images"
runroot = "$storage/run"
CONF
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
export DISABLE_HC_SYSTEMD=true # health checks run when we say so; there may be no systemd for its timers
mkdir -p "$storage/volumes" "$work/networks"

# ── saying what happens ──

step() {
    printf '== %s (%d s)\n' "$1" "$SECONDS"
}

pass() {
    printf '   ok    %s\n' "$1"
}

note() {
    printf '   NOTE  %s\n' "$1"
    notes+=("$1")
}
notes=()

die() {
    printf '   FAIL  %s\n' "$1" >&2
    for one in "${@:2}"; do
        printf '%s\n' "$one" | tail -n 40 >&2
    done
    exit 1
}

# Runs a command with its output in a log, which is shown only when the command fails.
quietly() {
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null || die "$*" "$(cat "$log")"
}

# same WHAT IS EXPECTED
same() {
    [[ $2 == "$3" ]] || die "$1: $2 instead of $3"
    pass "$1: $2"
}

median() {
    sort -n | sed -n "$((($1 + 1) / 2))p"
}

now_ms() {
    date +%s%3N
}

# ── the image ──

# What stands for the published base: the same release and the same folders left out. From the host's own apt sources,
# wherever they point; apt in the build finds them in the base.
make_base() {
    local sources=() options=() file folder
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [[ ! -s $file ]] || ! grep -q bookworm "$file" || sources+=("$file")
    done
    ((${#sources[@]} > 0)) || die "/etc/apt names no source of bookworm"
    apt-config dump --format '%f "%v";%n' |
        grep -E '^Acquire::(http|https|ftp|Check-Valid-Until|Check-Date|Retries)' >"$work/apt.conf" || true
    for folder in doc man locale info groff lintian linda; do
        options+=("--dpkgopt=path-exclude=/usr/share/$folder/*")
    done
    quietly base mmdebstrap --quiet --variant=apt --include=usr-is-merged --aptopt="$work/apt.conf" \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "${options[@]}" \
        '--dpkgopt=path-include=/usr/share/doc/*/copyright' bookworm "$work/base.tar" "${sources[@]}"
    quietly import podman import "$work/base.tar" "localhost/$BASE"
    rm -f "$work/base.tar"
}

build_image() {
    quietly build buildah build --isolation chroot --network host --format docker --pull-never \
        --ulimit "nofile=$nofile:$nofile" --file docker/Dockerfile --tag "$IMAGE" .
}

check_image() {
    podman image inspect "$IMAGE" | jq '.[0]' >"$work/image.json"
    same "user, stop signal, entry point, command" \
        "$(jq -c '.Config | [.User, .StopSignal, .Entrypoint, .Cmd]' "$work/image.json")" \
        '["10001:10001","SIGTERM",["forkpool"],["serve"]]'
    same "health check, volume, port" \
        "$(jq -c '[.Healthcheck.Test, .Config.Volumes, .Config.ExposedPorts]' "$work/image.json")" \
        '[["CMD","forkpool","health"],{"/var/lib/forkpool":{}},{"8080/tcp":{}}]'
    ! inside 'command -v gcc cmake curl python3' >/dev/null || die "the image has build tools in it"
    same "symbols in the program" "$(inside 'grep -c -a "\.symtab" /usr/bin/forkpool || true')" 0
}

# A shell command in a container of its own, that nothing else is in.
inside() {
    podman run --rm --network none --entrypoint sh "${@:2}" "$IMAGE" -c "$1" 2>&1
}

# ── containers ──

HARDENED=(--cap-drop all --security-opt no-new-privileges --read-only --read-only-tmpfs=false --memory 64m
    --memory-swap 64m --pids-limit 50)

# A port of loopback where nothing listens now.
free_port() {
    local port
    for port in $(shuf -i 20000-32000 -n 50); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return 0; }
    done
    return 1
}

# start NAME VOLUME [--entrypoint sh]: a server on loopback of the host, at $base; behind a shell that first says the
# time in ms.
start() {
    local command=()
    [[ ${*:3} != "--entrypoint sh" ]] || command=(-c 'date +%s%3N; exec forkpool serve')
    podman run --detach --name "$1" --network host --volume "$2:/var/lib/forkpool" "${HARDENED[@]}" \
        --env "FORKPOOL_HTTP_LISTEN=127.0.0.1:$port" "${@:3}" "$IMAGE" "${command[@]}" \
        >"$work/start.log" 2>&1 ||
        die "podman run $1" "$(cat "$work/start.log")"
}

wait_ready() {
    local tries
    for ((tries = 0; tries < 2000; tries++)); do
        ! curl -fs -o "$work/ready" "$base/readyz" 2>/dev/null || return 0
        [[ $(podman inspect -f '{{.State.Running}}' "$1") == true ]] || break
        sleep 0.005
    done
    die "$1 is not ready" "$(podman logs "$1" 2>&1)"
}

main_pid() {
    podman inspect -f '{{.State.Pid}}' "$1"
}

remove() {
    podman rm --force --time 0 "$1" >/dev/null
    podman volume rm --force "$2" >/dev/null
}

# Kilobytes of all processes of a container, shared pages counted once.
pss_kb() {
    local pid sum=0 kb
    for pid in $(podman top "$1" hpid | tail -n +2); do
        kb=$(awk '$1 == "Pss:" { print $2 }' "/proc/$pid/smaps_rollup")
        ((sum += kb))
    done
    echo "$sum"
}

# From the exec of the program to its "ready": the shell before it says when that was. What podman and runc need before
# that is in the other figure.
measure_start() {
    local round before began ready
    for round in 1 2 3 4 5; do
        before=$(now_ms)
        start timed timed --entrypoint sh
        wait_ready timed
        echo "$(($(now_ms) - before))" >>"$work/run-to-ready"
        podman logs timed >"$work/timed.log" 2>&1
        began=$(head -n 1 "$work/timed.log")
        ready=$(sed 1d "$work/timed.log" | jq -r 'select(.event == "server.ready") | .time')
        echo "$(($(date -d "$ready" +%s%3N) - began))" >>"$work/start-to-ready"
        [[ $round != 1 ]] || { sleep 2; idle_kb=$(pss_kb timed); }
        remove timed timed
    done
    run_to_ready=$(median 5 <"$work/run-to-ready")
    start_to_ready=$(median 5 <"$work/start-to-ready")
    pass "ready after $start_to_ready ms (median of 5), idle with $idle_kb kB"
}

# ── checks ──

bare_run() {
    local status=0 said
    said=$(podman run --rm --network none "$IMAGE" 2>&1) || status=$?
    printf '%s\n' "$said" | sed 's/^/         /'
    [[ $said == *http.listen* && $said == *auth.mode* ]] || die "a bare run does not name http.listen and auth.mode"
    same "exit status of a bare run" "$status" 78
}

# The image as it is, listening on every address of a network that has only loopback.
default_listen() {
    podman run --detach --name plain --network none --env FORKPOOL_AUTH_MODE=none "$IMAGE" >/dev/null
    local tries status=1
    for ((tries = 0; tries < 100 && status != 0; tries++)); do
        status=0
        podman healthcheck run plain >"$work/health.log" 2>&1 || status=$?
        ((status == 0)) || sleep 0.1
    done
    same "health of a run with FORKPOOL_AUTH_MODE=none" "$status" 0
    podman rm --force --volumes --time 15 plain >/dev/null
}

# Which of the limits are really in force here is tried, not taken from the configuration.
limits_in_force() {
    local said
    memory_limit=no pids_limit=no
    said=$(inside 'head -c 200M /dev/zero | tail -c 200M | wc -c' "${HARDENED[@]}") || true
    [[ $said == *209715200* ]] || memory_limit=yes
    # shellcheck disable=SC2016 # the shell inside expands it
    said=$(inside 'for i in $(seq 100); do sleep 1 & done; wait' "${HARDENED[@]}") || true
    [[ $said != *[Ff]ork* ]] || pids_limit=yes
    if [[ $memory_limit == yes ]]; then pass "64 MB are 64 MB: a process that takes 200 is killed"; else
        note "--memory is not enforced on this machine: nothing here shows that 64 MB are enough"
    fi
    if [[ $pids_limit == yes ]]; then pass "50 processes are 50: the next fork fails"; else
        note "--pids-limit is not enforced on this machine: nothing here shows that 50 are enough"
    fi
}

hardened() {
    local pid status said
    start hard hard
    wait_ready hard
    pid=$(main_pid hard)
    same "capabilities, no new privileges, uid" \
        "$(awk '$1 == "CapEff:" || $1 == "NoNewPrivs:" || $1 == "Uid:" { print $2 }' "/proc/$pid/status" | sort | xargs)" \
        "0000000000000000 1 10001"
    said=$(podman exec hard sh -c ': >/written' 2>&1) && die "the root is writable"
    [[ $said == *[Rr]ead-only* ]] || die "the root is not read-only: $said"
    pass "the root is read-only"
    same "sha256 of a file of the image" \
        "$(curl -fsS --json '{"path":"/usr/bin/forkpool"}' "$base/v1/tasks/sha256/call?wait=10" | jq -r .sha256)" \
        "$(podman exec hard sha256sum /usr/bin/forkpool | cut -d' ' -f1)"
    same "wordcount" "$(curl -fsS --json '{"text":"one two three"}' "$base/v1/tasks/wordcount/call?wait=10" | jq -c .)" \
        '{"lines":0,"words":3,"bytes":13}'
    said=$(curl -fsS --json '{"task":"thumbnail","args":{"path":"/x.png"},"retry":{"max_attempts":1}}' \
        "$base/v1/jobs?wait=10" | jq -c '[.state, .error.message]')
    [[ $said == *imagemagick* ]] || die "thumbnail does not say what it needs: $said"
    pass "thumbnail says what it needs: $said"
    status=0
    podman healthcheck run hard >"$work/health.log" 2>&1 || status=$?
    same "health check" "$status" 0
    # An orphan of a shell that we put in: process 1 is its parent now, and must reap it.
    podman exec hard sh -c '(sleep 0.2 &) ; exit 0'
    sleep 1
    same "zombies" "$(podman top hard state | grep -c Z || true)" 0
    loaded_kb=$(pss_kb hard)
    stops_cleanly hard
    remove hard hard
}

# A job is running when SIGTERM comes: it may finish, then all ends with status 0 within the grace.
stops_cleanly() {
    local began
    curl -fsS --json '{"task":"sleep","args":{"seconds":2}}' "$base/v1/jobs" >"$work/last-job"
    sleep 0.3
    began=$(now_ms)
    quietly stop podman stop --time 15 "$1"
    stop_ms=$(($(now_ms) - began))
    same "exit status after SIGTERM with a job running ($stop_ms ms)" "$(podman inspect -f '{{.State.ExitCode}}' "$1")" 0
    ((stop_ms < 10000)) || die "it took $stop_ms ms to stop"
    podman logs "$1" >"$work/stopped.log" 2>&1
    grep -q '"event":"server.stop"' "$work/stopped.log" || die "it was killed" "$(cat "$work/stopped.log")"
    podman start "$1" >/dev/null
    wait_ready "$1"
    same "the job that was running" \
        "$(curl -fsS "$base/v1/jobs/$(jq -r .id "$work/last-job")" | jq -c '[.state, .attempt, .lost]')" '["succeeded",1,0]'
    quietly stop podman stop --time 15 "$1"
}

# submit NUMBER: many jobs over one connection; one line "202 FILE" for each that is acknowledged.
submit() {
    local i
    mkdir -p "$work/jobs"
    for ((i = 0; i < 2 * JOBS; i++)); do
        printf 'url = "%s/v1/jobs"\njson = "{\\"task\\":\\"sleep\\",\\"args\\":{\\"seconds\\":0.03}}"\n' "$base"
        printf 'output = "%s"\nwrite-out = "%%{http_code} %%{filename_effective}\\n"\nsilent\nnext\n' "$work/jobs/$1.$i"
    done | curl --config - >>"$work/acknowledged.$1" 2>/dev/null || true
}

acknowledged() {
    cat "$work"/acknowledged.* 2>/dev/null | grep -c '^202 ' || true
}

# get PATH-OF-A-JOB: a document of every acknowledged job, one a line.
get() {
    sed "s|.*|url = \"$base/v1/jobs/&$1\"|" "$work/ids" | curl -fsS --config - | jq -c .
}

# SIGKILL for all of it while clients submit and workers run; then the same volume again.
killed() {
    local number tries ended=0 twice lost
    start killed killed
    wait_ready killed
    for number in 1 2 3 4; do
        submit "$number" &
    done
    while (($(acknowledged) < JOBS)); do sleep 0.01; done
    quietly kill podman kill --signal KILL killed
    wait
    # From ids, not files: the answer to the last may have been cut.
    cat "$work"/acknowledged.* | sed -n 's/^202 //p' | xargs jq -r .id | sort -u >"$work/ids"
    total=$(wc -l <"$work/ids")
    same "exit status after SIGKILL" "$(podman wait killed)" 137
    podman start killed >/dev/null
    wait_ready killed
    at_restart=$(get "" | jq -r .state | grep -c succeeded || true)
    for ((tries = 0; tries < 120; tries++)); do
        ended=$(get "" | jq -r .state | grep -cE '^(succeeded|failed|cancelled)$' || true)
        ((ended < total)) || break
        sleep 0.5
    done
    same "of $total acknowledged jobs ($at_restart done at the kill), ended well" \
        "$(get "" | jq -r .state | grep -c succeeded)" "$total"
    get /attempts >"$work/attempts"
    twice=$(jq -r '[.items[] | select(.outcome == "success")] | length' "$work/attempts" | grep -cv '^1$' || true)
    lost=$(jq -r '[.items[] | select(.outcome == "lost")] | length' "$work/attempts" | awk '{ sum += $1 } END { print sum }')
    same "recorded as finished not once" "$twice" 0
    pass "charged with lost: $lost (two workers were running)"
    ((lost <= 2)) || die "more jobs were charged than workers ran"
    ((at_restart < total)) || note "everything had ended before the kill: it proved little"
    quietly stop podman stop --time 15 killed
    remove killed killed
}

# ── compose ──

# The file as it is, with its build left out, in a network namespace of its own: port 8080 of a loopback that nobody
# else has, and bridges, rules and addresses that vanish with it.
compose() {
    podman tag "$IMAGE" localhost/forkpool:latest
    cat >"$work/compose-inside.sh" <<'INSIDE'
set -euo pipefail
ip link set lo up
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /var/lib/cni
file=$2/docker/compose.yaml
compose() { podman-compose --no-ansi -p forkpool-check -f "$file" "$@"; }
trap 'compose down --volumes >>"$1/compose.log" 2>&1 || true' EXIT
compose up --detach --no-build >>"$1/compose.log" 2>&1
for ((tries = 0; tries < 100; tries++)); do
    ! curl -fs -o "$1/ready" http://127.0.0.1:8080/readyz || break
    sleep 0.1
done
container=$(podman ps --quiet --filter label=io.podman.compose.project=forkpool-check)
{
    curl -fsS --json '{"text":"up by compose"}' 'http://127.0.0.1:8080/v1/tasks/wordcount/call?wait=10' | jq -c .
    podman healthcheck run "$container" >>"$1/compose.log" 2>&1 && echo healthy
    podman port "$container"
    podman inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{.HostConfig.SecurityOpt}}' "$container"
    awk '$1 == "CapEff:" { print $2 }' "/proc/$(podman inspect -f '{{.State.Pid}}' "$container")/status"
    podman inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}' "$container"
    podman stop --time 20 "$container" >>"$1/compose.log"
    podman inspect -f '{{.State.ExitCode}}' "$container"
} >"$1/compose.out"
INSIDE
    unshare --net --mount bash "$work/compose-inside.sh" "$work" "$root" >>"$work/compose.log" 2>&1 </dev/null &
    compose_pid=$!
    wait "$compose_pid" || die "compose" "$(cat "$work/compose.log" "$work/compose.out")"
    compose_pid=
    sed 's/^/         /' "$work/compose.out"
    same "compose: a job, health, port, root, memory, privileges, capabilities, volume, exit status" \
        "$(xargs <"$work/compose.out")" \
        "$(xargs <<<'{"lines":0,"words":3,"bytes":13} healthy 8080/tcp -> 127.0.0.1:8080 true 536870912 [no-new-privileges] 0000000000000000 volume /var/lib/forkpool 0')"
    note "compose was brought up by podman-compose; it knows neither pids_limit nor stop_grace_period (both were tried with podman above)"
}

step "base image $BASE, by mmdebstrap"
if podman image exists "localhost/$BASE"; then pass "kept from an earlier run"; else make_base; fi
base_mb=$(($(podman image inspect -f '{{.Size}}' "localhost/$BASE") / 1000000))
step "build"
build_image
image_mb=$(($(podman image inspect -f '{{.Size}}' "$IMAGE") / 1000000))
pass "$image_mb MB, of which the base $base_mb"
check_image
cd "$work" # conmon leaves a file "oom" where it was started

port=$(free_port)
base=http://127.0.0.1:$port
step "a bare run"
bare_run
default_listen
step "are the limits real here?"
limits_in_force
step "start and idle memory"
measure_start
step "hardened: no capabilities, no new privileges, read-only, 64 MB, 50 pids"
hardened
step "kill -9 of everything, and a start on the same volume"
killed
step "compose"
compose

step "all of it works"
echo
printf '%-36s %s\n' \
    "image" "$image_mb MB (base $base_mb MB)" \
    "start of the program to ready" "$start_to_ready ms (aim: 100; new volume, median of 5)" \
    "podman run to /readyz 200" "$run_to_ready ms (with podman and runc)" \
    "idle memory in the container" "$((idle_kb / 1000)).$((idle_kb % 1000 / 100)) MB (PSS of all processes)" \
    "the same after a few jobs" "$((loaded_kb / 1000)).$((loaded_kb % 1000 / 100)) MB" \
    "stop with a 2 s job running" "$stop_ms ms, status 0" \
    "kill -9: acknowledged, ended, twice" "$total, $total, 0 ($at_restart were done at the kill)" \
    "limits enforced here" "memory $memory_limit, pids $pids_limit"
for one in "${notes[@]}"; do
    printf 'NOTE: %s\n' "$one"
done
