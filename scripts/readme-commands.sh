#!/usr/bin/env bash
# Runs the commands of README.md as they stand there, in order, and stops at the first that fails: a status above 0, or an
# answer above 399. What nobody can type is put in: ID (of the answer before), PID, and the address in place of port 8080.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: scripts/readme-commands.sh [--readme FILE] --list
       scripts/readme-commands.sh [--readme FILE] [--in DIR] [--prefix DIR] --url URL [--pid PID] SECTION…

  --list        prints "SECTION<tab>COMMAND" for every command, and fails if a block stands in a section that has no runner
  --in DIR      the folder to be in, with build/ in it; default: the repository
  --prefix DIR  stands before /srv and /var/lib
  --url URL     where a server answers, or where a block starts one
  --pid PID     its supervisor
  SECTION       a heading of the README, such as "A first job"
TEXT
}

# Sections whose blocks are commands. The first is run by check-clean-root.sh and ./test.sh themselves.
SECTIONS=("Two commands" "A first job" "Running it")
# Sections whose commands need a container engine; docker/check.sh does what they say.
ELSEWHERE=("In a container")

readme=$repository/README.md folder=$repository prefix='' url='' pid='' list=no sections=()
while (($# > 0)); do
    case $1 in
    --readme) readme=${2:?} && shift ;;
    --in) folder=${2:?} && shift ;;
    --prefix) prefix=${2:?} && shift ;;
    --url) url=${2:?} && shift ;;
    --pid) pid=${2:?} && shift ;;
    --list) list=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) sections+=("$1") ;;
    esac
    shift
done

die() {
    echo "readme-commands: $1" >&2
    exit 1
}

# Prints "SECTION<tab>LINE" for each line of the blocks of SECTIONS, and of others that begin like a command: a drawing does
# not. The end of a block is printed as a line without a command.
extract() {
    awk -v sections="$(IFS=/ && echo "/${SECTIONS[*]}/")" '
        /^## / { section = substr($0, 4); block = 0; next }
        /^    / {
            line = substr($0, 5)
            if (!block) { block = 1; commands = index(sections, "/" section "/") || line ~ /^(\.\/|[a-z]+ |[a-z]+\/)/ }
            if (commands) print section "\t" line
            next
        }
        { if (block && commands) print section "\t"; block = 0 }
        END { if (block && commands) print section "\t" }' "$readme"
}

commands=$(extract)
while IFS=$'\t' read -r section _; do
    known=no
    for one in "${SECTIONS[@]}" "${ELSEWHERE[@]}"; do
        [[ $one != "$section" ]] || known=yes
    done
    [[ $known == yes ]] || die "a block of commands stands in \"$section\", which nobody runs"
done <<<"$commands"
if [[ $list == yes ]]; then
    grep -v $'\t$' <<<"$commands"
    exit 0
fi
if ((${#sections[@]} == 0)) || [[ -z $url ]]; then
    usage >&2
    exit 2
fi

work=$(mktemp -d)
server='' id=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# curl as everybody has it, but an answer above 399 is a failure, and nothing waits for ever.
mkdir "$work/bin"
printf '#!/bin/sh\nexec %s --fail-with-body -sS --max-time 60 "$@"\n' "$(command -v curl)" >"$work/bin/curl"
chmod +x "$work/bin/curl"
export PATH=$work/bin:$PATH
cd "$folder"

address=${url#http://}
port=${address##*:}

# What stands for something else, in its place.
real() {
    local line=$1
    line=${line//:8080/:$port}
    [[ $line != */ID* ]] || [[ -n $id ]] || die "an ID is asked for, and no answer had one: $line"
    line=${line//\/ID/\/$id}
    if [[ $line == *" PID"* ]]; then
        [[ -n $pid ]] || die "a PID is asked for: --pid"
        line=${line// PID/ $pid}
    fi
    line=${line//\/srv\//$prefix/srv/}
    echo "${line//\/var\/lib\//$prefix/var/lib/}"
}

epoch() {
    curl "http://$address/v1/tasks" | sed -n 's/.*"epoch":\([0-9]*\).*/\1/p'
}

# until WHAT COMMAND…: at most 20 s.
until_true() {
    local what=$1
    shift
    for ((tries = 0; tries < 200; tries++)); do
        "$@" && return 0
        sleep 0.1
    done
    die "not within 20 s: $what"
}

epoch_is_not() {
    [[ $(epoch) != "$1" ]]
}

is_ready() {
    kill -0 "$server" 2>/dev/null || { cat "$work/server" >&2; die "the server ended"; }
    grep -q 'server\.listen' "$work/server" && curl "http://$address/readyz" >"$work/readyz" 2>&1
}

# A line with `serve` stays in its terminal, until the block is over.
start_server() {
    # shellcheck disable=SC2086,SC2294 # the line as it would be typed
    eval "exec $1" >"$work/server" 2>&1 </dev/null &
    server=$!
    until_true "$1 is ready" is_ready
    pid=$server
}

stop_server() {
    local status=0
    [[ -n $server ]] || return 0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=
    ((status == 0)) || { cat "$work/server" >&2; die "the server ended with status $status"; }
    echo "    (stopped by SIGTERM: status 0)"
}

run_line() {
    local line=$1 typed before='' found status=0
    typed=$(real "$line")
    printf '$ %s\n' "$typed"
    if [[ $typed == *" serve "* ]]; then
        start_server "$typed"
        return 0
    fi
    [[ $typed != "kill -HUP"* ]] || before=$(epoch)
    bash -c "$typed" >"$work/answer" 2>&1 </dev/null || status=$?
    sed 's/^/    /' "$work/answer" | cut -c1-300
    [[ -z $(tail -c 1 "$work/answer") ]] || echo
    ((status == 0)) || die "status $status of: $line"
    [[ -z $before ]] || until_true "the tasks are read anew" epoch_is_not "$before" # before anybody types the next line
    found=$(grep -oE -m 1 '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}' "$work/answer" | head -n 1 || true)
    id=${found:-$id}
}

for section in "${sections[@]}"; do
    count=0
    while IFS=$'\t' read -r -u 9 where line; do
        [[ $where == "$section" ]] || continue
        if [[ -z $line ]]; then
            stop_server
            continue
        fi
        run_line "$line"
        count=$((count + 1))
    done 9<<<"$commands"
    stop_server
    ((count > 0)) || die "the section \"$section\" has no commands"
    echo "== $section: $count commands"
done
