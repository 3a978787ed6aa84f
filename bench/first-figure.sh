#!/usr/bin/env bash
# Jobs/s at 64 connections for each durability, beside a bare libmicrohttpd POST server in the same run: interleaved
# rounds, medians and ratios, as a Markdown table on standard output. Figures of one run only; the ratios are the result.
#
#   accepted/s   202 answers over the time of the load
#   done/s       finished jobs over the time from the first submit until nothing waits or runs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    echo "usage: bench/first-figure.sh [--rounds N] [--seconds N] [--connections N] [--workers N]"
}

rounds=5 seconds=5 connections=64 workers=2
while (($# > 0)); do
    case $1 in
    --rounds) rounds=${2:?} ;;
    --seconds) seconds=${2:?} ;;
    --connections) connections=${2:?} ;;
    --workers) workers=${2:?} ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift 2
done

packages_ensure build bench
./run.sh --build >&2
work=$(mktemp -d)
server=
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

read -ra libraries <<<"$(pkg-config --cflags --libs libmicrohttpd jansson)"
cc -std=gnu11 -O2 -Wall -Wextra -Werror bench/bare.c -o "$work/bare" "${libraries[@]}"

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

until_served() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        curl -fsS "$1" >"$work/answer" 2>/dev/null && return 0
        sleep 0.05
    done
    echo "first-figure: nothing serves at $1" >&2
    return 1
}

# load URL: leaves wrk's figures in `answers` (good ones) and `took` (seconds).
load() {
    wrk --threads 2 --connections "$connections" --duration "${seconds}s" --script bench/post.lua "$1" >"$work/wrk"
    local all bad
    read -r all took < <(sed -nE 's/^ *([0-9]+) requests in ([0-9.]+)s,.*/\1 \2/p' "$work/wrk")
    bad=$(sed -n 's/^ *Non-2xx or 3xx responses: //p' "$work/wrk")
    answers=$((all - ${bad:-0}))
}

stop() {
    kill -TERM "$server"
    wait "$server" || { echo "first-figure: the server ended with status $?" >&2; cat "$work/log" >&2; exit 1; }
    server=
}

# Sums a counter over its labels.
counter() {
    awk -v name="$1" 'index($0, name "{") == 1 || index($0, name " ") == 1 { sum += $NF } END { printf "%.0f", sum }' \
        "$work/metrics"
}

record() { # NAME COLUMN COUNT SECONDS
    awk -v count="$3" -v seconds="$4" 'BEGIN { printf "%.0f\n", count / seconds }' >>"$work/$1.$2"
}

round_of_bare() {
    local port answers took
    port=$(free_port)
    "$work/bare" "$port" 2>"$work/log" &
    server=$!
    sleep 0.2
    load "http://127.0.0.1:$port/"
    stop
    record bare accepted "$answers" "$took"
}

round_of() {
    local durability=$1 port answers took began ended submitted finished
    port=$(free_port)
    build/forkpool serve --http-listen "127.0.0.1:$port" --store-url "sqlite://$work/store/forkpool.db" \
        --tasks-dir build/tasks --workers-count "$workers" --store-durability "$durability" --memory-slots 1048576 \
        --memory-arena 1GiB --log-level warn --log-format json 2>"$work/log" </dev/null &
    server=$!
    until_served "http://127.0.0.1:$port/readyz"
    began=$EPOCHREALTIME
    load "http://127.0.0.1:$port/v1/jobs"
    while :; do
        ended=$EPOCHREALTIME
        curl -fsS "http://127.0.0.1:$port/metrics" >"$work/metrics"
        submitted=$(counter forkpool_jobs_submitted_total)
        finished=$(counter forkpool_jobs_finished_total)
        ((finished < submitted)) || break
        sleep 0.02
    done
    stop
    rm -rf "$work/store"
    if ((submitted < answers)); then
        echo "first-figure: $answers answers, but $submitted jobs" >&2
        exit 1
    fi
    record "$durability" accepted "$submitted" "$took"
    record "$durability" 'done' "$finished" "$(awk -v a="$began" -v b="$ended" 'BEGIN { print b - a }')"
}

for ((round = 1; round <= rounds; round++)); do
    printf 'round %d of %d\n' "$round" "$rounds" >&2
    mkdir -p "$work/store"
    round_of_bare
    for durability in full process memory; do
        mkdir -p "$work/store"
        round_of "$durability"
    done
done

median() {
    sort -n "$work/$1" | awk '{ value[NR] = $1 } END { print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}

bare=$(median bare.accepted)
printf '%d connections, %d workers, %d rounds of %d s, %d cores; medians\n\n' "$connections" "$workers" "$rounds" \
    "$seconds" "$(nproc)"
printf '| | accepted/s | × bare | done/s | × bare |\n|---|---:|---:|---:|---:|\n'
printf '| bare libmicrohttpd + jansson | %.0f | 1.00 | – | – |\n' "$bare"
for durability in memory process full; do
    accepted=$(median "$durability.accepted") finished=$(median "$durability.done")
    awk -v name="$durability" -v a="$accepted" -v d="$finished" -v bare="$bare" \
        'BEGIN { printf "| `%s` | %.0f | %.2f | %.0f | %.2f |\n", name, a, a / bare, d, d / bare }'
done
