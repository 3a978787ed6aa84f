#!/usr/bin/env bash
# Real pictures become thumbnails: each is a job of the command task `thumbnail` (jq and ImageMagick), submitted over HTTP
# by concurrent clients. Then every file that was made is opened, and its size compared with what it must be.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: examples/thumbnails.sh [--size N] [--limit N] [--clients N] [--workers N] [--url URL] [--keep OUT] [DIR]

  DIR          a folder of pictures (png, jpg, gif, webp, tif, bmp), also below; without one those of the Debian package
               desktop-base: as installed (scripts/packages.sh pictures), else fetched by apt-get into a temporary folder
  --size N     the square that each thumbnail fits into, default 160
  --limit N    only the first N pictures
  --clients N  concurrent clients, default 8
  --workers N  workers of the server, default: the cores
  --url URL    a server that runs already, with the task thumbnail and the same files; else one is started
  --keep OUT   leaves the thumbnails in the folder OUT

Exit status 0: every picture has a thumbnail that opens and has the right size.
TEXT
}

refuse() {
    echo "thumbnails: $1" >&2
    exit 2
}

size=160 limit=0 clients=8 workers=$(nproc) url='' keep='' folder=''
while (($# > 0)); do
    case $1 in
    --size) size=${2:?} && shift ;;
    --limit) limit=${2:?} && shift ;;
    --clients) clients=${2:?} && shift ;;
    --workers) workers=${2:?} && shift ;;
    --url) url=${2:?} && shift ;;
    --keep) keep=${2:?} && shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) folder=$1 ;;
    esac
    shift
done
for program in jq convert identify curl; do
    command -v "$program" >/dev/null || refuse "$program is not installed: scripts/packages.sh run"
done
[[ -z $folder || -d $folder ]] || refuse "there is no folder $folder"

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

# ── the pictures ──

# Prints the folders of the package's pictures; fetches and unpacks it where it is not installed.
package_folders() {
    local installed=(/usr/share/desktop-base /usr/share/plymouth/themes)
    if [[ $(dpkg-query -W -f '${db:Status-Status}' desktop-base 2>/dev/null) == installed ]]; then
        printf '%s\n' "${installed[@]}"
        return 0
    fi
    mkdir "$work/package"
    if ! (cd "$work/package" && apt-get download -q desktop-base >"$work/apt.log" 2>&1 && dpkg-deb -x desktop-base_*.deb .); then
        cat "$work/apt.log" >&2
        refuse "no pictures: install desktop-base (scripts/packages.sh pictures), or name a folder"
    fi
    echo "$work/package/usr/share"
}

folders=("$folder")
[[ -n $folder ]] || mapfile -t folders < <(package_folders)
((${#folders[@]} > 0)) || exit 2
find "${folders[@]}" -type f -readable -regextype posix-extended -iregex '.*\.(png|jpe?g|gif|webp|tiff?|bmp)' -print0 |
    sort -z >"$work/pictures"
if ((limit > 0)); then
    head -z -n "$limit" "$work/pictures" >"$work/first" && mv "$work/first" "$work/pictures"
fi
[[ -s $work/pictures ]] || refuse "${folders[*]} holds no pictures"
out=${keep:-$work/thumbnails}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# ── a server ──

if [[ -z $url ]]; then
    [[ -x $root/build/forkpool ]] || "$root/run.sh" --build
    "$root/build/forkpool" serve --http-listen 127.0.0.1:0 --store-url "sqlite://$work/forkpool.db" \
        --tasks-dir "$root/build/tasks" --workers-count "$workers" --log-format json 2>"$work/log" </dev/null &
    server=$!
    for ((tries = 0; tries < 200; tries++)); do
        url=$(sed -n '/"event":"server.listen"/s|.*"address":"\([^"]*\)".*|http://\1|p' "$work/log")
        [[ -n $url ]] && curl -fsS "$url/readyz" >"$work/readyz" 2>/dev/null && break
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
fi

# ── the clients ──

status=0
/usr/bin/python3 "$root/examples/thumbnail_clients.py" "$url" "$clients" "$size" "$work/pictures" "$out" || status=$?
if [[ -n $server ]]; then
    kill -TERM "$server"
    wait "$server" || { echo "thumbnails: the server ended with status $?" >&2; status=1; }
    server=
fi
((status != 0)) || echo "every thumbnail opens and has the right size"
exit "$status"
