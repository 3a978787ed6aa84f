#!/usr/bin/env bash
# Every regular file of a folder becomes a sha256 job, submitted over HTTP by concurrent clients; every result is
# compared with what sha256sum says. With --chaos the same, while workers and the front are killed all the time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: examples/checksum-tree.sh [--chaos] [--limit N] [--clients N] [--workers N] [--url URL] [DIR]

  DIR          default /usr/share; at least 5,000 regular files, unless --limit is given
  --chaos      kills a random worker every 200 ms and the front every 2 s while it runs
  --limit N    only the first N files
  --clients N  concurrent clients, default 8
  --workers N  workers of the server, default 4
  --url URL    a server that runs already, with the task sha256 (not with --chaos); else one is started

Exit status 0: every job succeeded and every result is right.
TEXT
}

least=5000 limit=0 clients=8 workers=4 chaos=no url='' folder=/usr/share
while (($# > 0)); do
    case $1 in
    --chaos) chaos=yes ;;
    --limit) limit=${2:?} least=1; shift ;;
    --clients) clients=${2:?}; shift ;;
    --workers) workers=${2:?}; shift ;;
    --url) url=${2:?}; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) folder=$1 ;;
    esac
    shift
done
if [[ $chaos == yes && -n $url ]]; then
    echo "checksum-tree: --chaos kills only processes of a server that it has started itself" >&2
    exit 2
fi

work=$(mktemp -d)
server='' killer=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [[ -z $killer ]] || kill "$killer" 2>/dev/null || true
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true # its children die with it
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ── what sha256sum says: NUL-terminated lines "<sum>  <path>" ──

find "$folder" -type f -readable -print0 | sort -z >"$work/files"
if ((limit > 0)); then
    head -z -n "$limit" "$work/files" >"$work/first" && mv "$work/first" "$work/files"
fi
count=$(tr -cd '\0' <"$work/files" | wc -c)
if ((count < least)); then
    echo "checksum-tree: $folder holds $count regular files, at least $least are wanted" >&2
    exit 2
fi
printf '%-22s %s\n' "folder" "$folder" "files" "$count"
xargs -0 sha256sum -z -- <"$work/files" >"$work/expected"

# ── a server ──

if [[ -z $url ]]; then
    [[ -x $root/build/forkpool ]] || "$root/run.sh" --build
    : >"$work/log"
    "$root/build/forkpool" serve --http-listen 127.0.0.1:0 --store-url "sqlite://$work/forkpool.db" \
        --tasks-dir "$root/build/tasks" --workers-count "$workers" --jobs-max-lost 1000 --log-format json \
        2>>"$work/log" </dev/null &
    server=$!
    for ((tries = 0; tries < 200; tries++)); do
        url=$(sed -n '/"event":"server.listen"/s|.*"address":"\([^"]*\)".*|http://\1|p' "$work/log")
        [[ -n $url ]] && curl -fsS "$url/readyz" >"$work/readyz" 2>/dev/null && break
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
fi

# ── chaos ──

# Prints the pids of the server's children with that title.
titled() {
    local pid title children
    read -ra children <"/proc/$server/task/$server/children" || true
    for pid in "${children[@]}"; do
        { title=$(tr '\0' ' ' <"/proc/$pid/cmdline"); } 2>/dev/null || continue
        [[ $title != "forkpool: $1"* ]] || echo "$pid"
    done
}

strike() {
    local victims
    mapfile -t victims < <(titled "$1")
    ((${#victims[@]} > 0)) || return 0
    kill -KILL "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null && echo "$1" >>"$work/kills"
    return 0
}

: >"$work/kills"
if [[ $chaos == yes ]]; then
    (
        next=${EPOCHREALTIME/[.,]/} # microseconds
        for ((strokes = 1; ; strokes++)); do
            ((next += 200000, pause = next - ${EPOCHREALTIME/[.,]/}, pause > 0)) && sleep "$(printf '0.%06d' "$pause")"
            strike worker
            ((strokes % 10 != 5)) || strike front
        done
    ) &
    killer=$!
fi

# ── the clients ──

status=0
/usr/bin/python3 "$root/examples/checksum_clients.py" "$url" "$clients" "$work/expected" || status=$?

if [[ -n $killer ]]; then
    kill "$killer" 2>/dev/null || true
    wait "$killer" 2>/dev/null || true
    killer=
    printf '%-22s %d\n' "workers killed" "$(grep -c worker "$work/kills" || true)" \
        "fronts killed" "$(grep -c front "$work/kills" || true)"
fi
if [[ -n $server ]]; then
    if ((status != 0)); then
        grep -v '"level":"info"' "$work/log" | tail -n 20 >&2
    fi
    kill -TERM "$server"
    wait "$server" || { echo "checksum-tree: the server ended with status $?" >&2; status=1; }
    server=
fi
((status == 0)) && echo "every result is right"
exit "$status"
