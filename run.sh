#!/usr/bin/env bash
# Builds forkpool, starts it with the shipped tasks, runs one real job through it and goes on serving.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    cat <<'TEXT'
usage: ./run.sh [--build] [-- FLAG…]

  ./run.sh                         builds, serves on 127.0.0.1:8080, runs a first job, goes on serving
  ./run.sh --build                 only builds: build/forkpool and the tasks in build/tasks
  ./run.sh -- --workers-count 4    hands flags to `forkpool serve` (see build/forkpool serve --help)

The store is var/forkpool.db. Ctrl-C lets running jobs finish, then stops.
TEXT
}

build_only=no
while (($# > 0)); do
    case $1 in
    --build) build_only=yes ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) echo "run.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

# Runs a command with its output in a log, which is shown only when the command fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return 0
    cat "$log" >&2
    echo "run.sh: failed: $* (log: $log)" >&2
    return 1
}

packages_ensure build run
mkdir -p var
printf 'building … ' >&2
quietly var/configure.log cmake --preset release
quietly var/build.log cmake --build build --target forkpool tasks/all
printf 'done: build/forkpool, tasks in build/tasks\n' >&2
[[ $build_only == no ]] || exit 0

log=var/server.log

stop_server() {
    kill -TERM "$server_pid" 2>/dev/null || true
}

: >"$log"
# In a session of its own: Ctrl-C is then one signal for it, the one passed on from here, and not a second that hurries.
setsid build/forkpool serve --store-url "sqlite://$PWD/var/forkpool.db" --tasks-dir "$PWD/build/tasks" \
    --log-format text "$@" 2>>"$log" </dev/null &
server_pid=$!
trap stop_server INT TERM

# The address is what the server logs: flags, environment or file may have set it, or have asked for any free port.
address=
for ((tries = 0; tries < 300; tries++)); do
    address=$(sed -nE '/server\.listen/s/.*\baddress"?[=:]"([^"]*)".*/\1/p' "$log")
    address=${address/#0.0.0.0:/127.0.0.1:}
    if [[ -n $address ]] && curl -fsS "http://$address/readyz" >var/readyz 2>/dev/null; then
        break
    fi
    if ! kill -0 "$server_pid" 2>/dev/null; then
        status=0
        wait "$server_pid" || status=$?
        cat "$log" >&2
        echo "run.sh: the server did not start (exit status $status)" >&2
        exit "$((status == 0 ? 1 : status))"
    fi
    address=
    sleep 0.1
done
if [[ -z $address ]]; then
    cat "$log" >&2
    echo "run.sh: the server was not ready within 30 s" >&2
    stop_server
    wait "$server_pid" || true
    exit 1
fi
base=http://$address

echo
echo "forkpool serves on $base · pid $server_pid · store var/forkpool.db · log $log"
echo
echo "A first job, the SHA-256 of README.md:"
echo
echo "    curl --json '{\"path\":\"$PWD/README.md\"}' '$base/v1/tasks/sha256/call?wait=10'"
echo
printf '    '
if ! curl -fsS --json "{\"path\":\"$PWD/README.md\"}" "$base/v1/tasks/sha256/call?wait=10"; then
    echo "run.sh: the first job failed" >&2
    stop_server
    wait "$server_pid" || true
    exit 1
fi
cat <<TEXT


What to try next:

    curl $base/v1/tasks
    curl --json '{"task":"sleep","args":{"seconds":5}}' $base/v1/jobs
    curl '$base/v1/jobs?limit=5'
    curl --json '{"text":"one two three"}' '$base/v1/tasks/wordcount/call?wait=5'
    curl --json '{"task":"crash","args":{"signal":"SEGV","until_attempt":2}}' '$base/v1/jobs?wait=5'   # kills its worker, then succeeds
    curl $base/metrics

Serving. Ctrl-C lets running jobs finish and stops.
TEXT

tail -n 0 -f --pid "$server_pid" "$log" &

# wait returns early when a signal was passed on; the server decides when it is over.
while kill -0 "$server_pid" 2>/dev/null; do
    wait "$server_pid" || true
done
wait "$server_pid"
