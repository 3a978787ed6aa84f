#!/usr/bin/env bash
# One request, one graph: every file of a folder becomes a sha256 job, a job of the task `total` adds up what 200 of them
# returned, another one adds up the totals, and a last one runs once all the others have ended. Then the sum is compared with
# what the file system says.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: examples/graph.sh [--limit N] [--keep FILE] [DIR]

  DIR          default /usr/share/doc; its regular files, also below
  --limit N    only the first N files, default 2000, at most 9900
  --keep FILE  leaves the request in FILE, one job a line

Exit status 0: every job of the graph succeeded, and the sum is right.
TEXT
}

refuse() {
    echo "graph: $1" >&2
    exit 2
}

limit=2000 keep='' folder=/usr/share/doc
while (($# > 0)); do
    case $1 in
    --limit) limit=${2:?} && shift ;;
    --keep) keep=${2:?} && shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) folder=$1 ;;
    esac
    shift
done
((limit >= 1 && limit <= 9900)) || refuse "--limit is $limit, but must be 1 to 9900: a request has at most 10,000 lines"
for program in jq curl; do
    command -v "$program" >/dev/null || refuse "$program is not installed: scripts/packages.sh run"
done

work=$(mktemp -d)
server=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true # its children die with it
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ── the graph ──

find "$folder" -type f -readable ! -name $'*\n*' -printf '%s\t%p\n' | LC_ALL=C sort -k2 >"$work/files"
head -n "$limit" "$work/files" >"$work/first" && mv "$work/first" "$work/files"
[[ -s $work/files ]] || refuse "there are no readable files in $folder"

jq -R -n -c '
    [inputs | split("\t")[1:] | join("\t")] as $paths
    | [range(0; $paths | length; 200)] as $groups
    | (range($paths | length) | {task: "sha256", args: {path: $paths[.]}, ref: "file-\(.)"}),
      ($groups[] as $from | {task: "total", ref: "total-\($from)",
          after: [range($from; [$from + 200, ($paths | length)] | min) | "@file-\(.)"]}),
      {task: "total", ref: "sum", after: [$groups[] | "@total-\(.)"]},
      {task: "echo", args: "all have ended", after: ["@batch"], after_policy: "run"}
' "$work/files" >"$work/jobs.ndjson"
[[ -z $keep ]] || cp "$work/jobs.ndjson" "$keep"
jobs=$(wc -l <"$work/jobs.ndjson")

# ── a server, with the task total ──

[[ -x $root/build/forkpool ]] || "$root/run.sh" --build
cp -r "$root/build/tasks" "$work/tasks"
cp "$root/examples/total.sh" "$work/tasks/total"
: >"$work/log"
"$root/build/forkpool" serve --http-listen 127.0.0.1:0 --store-url "sqlite://$work/forkpool.db" \
    --tasks-dir "$work/tasks" --log-format json 2>>"$work/log" </dev/null &
server=$!
url=''
for ((tries = 0; tries < 200; tries++)); do
    url=$(sed -n '/"event":"server.listen"/s|.*"address":"\([^"]*\)".*|http://\1|p' "$work/log")
    [[ -n $url ]] && curl -fsS "$url/readyz" >"$work/readyz" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done

# ── one request ──

begun=${EPOCHREALTIME/[.,]/}
curl -sS --fail-with-body -H 'Content-Type: application/x-ndjson' --data-binary "@$work/jobs.ndjson" \
    "$url/v1/jobs/bulk" >"$work/answer" || { cat "$work/answer" >&2; exit 1; }
printf '%-22s %d\n' "jobs in one request" "$jobs" "accepted, ms" $(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
batch=$(jq -r .batch "$work/answer")
sum=$(jq -r '.ids[-2]' "$work/answer") last=$(jq -r '.ids[-1]' "$work/answer")

while curl -fsS "$url/v1/jobs/$last?wait=20" >"$work/last"; do
    jq -e '.finished_at != null' "$work/last" >/dev/null && break
    curl -fsS "$url/v1/batches/$batch?limit=1" | jq -r '"progress               \(.progress)"'
done
printf '%-22s %d\n' "all ended, ms" $(((${EPOCHREALTIME/[.,]/} - begun) / 1000))

# ── is it right? ──

status=0
curl -fsS "$url/v1/batches/$batch?limit=1" >"$work/batch"
jq -e --argjson jobs $((jobs - 1)) '.state == "succeeded" and .succeeded == $jobs' "$work/batch" >/dev/null || status=1
expected=$(awk -F '\t' '{ bytes += $1; files++ } END { printf "{\"jobs\":%d,\"bytes\":%d}", files, bytes }' "$work/files")
found=$(curl -fsS "$url/v1/jobs/$sum/result" || true)
jq -e -n --argjson found "${found:-null}" --argjson expected "$expected" '$found == $expected' >/dev/null || status=1
((status == 0)) || { cat "$work/batch" >&2; echo "graph: the sum is ${found:-missing}, but should be $expected" >&2; }

kill -TERM "$server"
wait "$server" || { echo "graph: the server ended with status $?" >&2; status=1; }
server=
((status == 0)) && echo "the sum is right: $found"
exit "$status"
