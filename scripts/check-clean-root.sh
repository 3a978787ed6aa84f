#!/usr/bin/env bash
# Follows the README word for word where nothing is installed: an empty root of this host's Debian release, with a clone of
# the repository. ./run.sh and ./test.sh here, all other commands by readme-commands.sh, which takes them from README.md.
# Needs root (chroot, a mount namespace) and the host's own apt sources; leaves nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    cat <<'TEXT'
usage: scripts/check-clean-root.sh [--tests] [--worktree]

  --tests      also runs ./test.sh there
  --worktree   takes the files as they are here, and not the last commit
TEXT
}

tests=no worktree=no
while (($# > 0)); do
    case $1 in
    --tests) tests=yes ;;
    --worktree) worktree=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
((EUID == 0)) || { echo "check-clean-root: must be root, for chroot and mounts" >&2; exit 1; }
packages_ensure root

work=$(mktemp -d "${TMPDIR:-/tmp}/clean-root.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root

# The host's own release, sources, proxies and leniencies, wherever they point.
# shellcheck source=/dev/null
suite=$(source /etc/os-release && echo "$VERSION_CODENAME")
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [[ ! -s $file ]] || ! grep -q "$suite" "$file" || sources+=("$file")
done
((${#sources[@]} > 0)) || { echo "check-clean-root: /etc/apt names no source of $suite" >&2; exit 1; }
apt-config dump --format '%f "%v";%n' |
    grep -E '^Acquire::(http|https|ftp|Check-Valid-Until|Check-Date|Retries)' >"$work/apt.conf" || true

step() {
    printf '== %s (%d s)\n' "$1" "$SECONDS"
}

step "an empty $suite"
if ! mmdebstrap --quiet --variant=apt --aptopt="$work/apt.conf" "$suite" "$root" "${sources[@]}" \
    >"$work/mmdebstrap.log" 2>&1; then
    cat "$work/mmdebstrap.log" >&2
    exit 1
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts" # as the installer does

step "a clone"
mkdir -p "$root/srv/forkpool"
if [[ $worktree == yes ]]; then
    git ls-files --cached --others --exclude-standard -z | tar --null --files-from=- --create --file=- |
        tar --extract --directory="$root/srv/forkpool" --no-same-owner
else
    git clone --quiet --no-hardlinks . "$root/srv/forkpool"
fi

# What runs inside. A port of the system's choice, since the root shares the host's network.
cat >"$root/try.sh" <<'INSIDE'
set -euo pipefail
cd /srv/forkpool
export FORKPOOL_HTTP_LISTEN=127.0.0.1:0
echo '$ ./run.sh'
./run.sh >/run.log 2>&1 &
run=$!
for ((tries = 0; tries < 9000; tries++)); do
    grep -q '^Serving' /run.log && break
    kill -0 "$run" 2>/dev/null || break
    sleep 0.1
done
sed 's/^/    /' /run.log
base=$(sed -n 's/^forkpool serves on \([^ ]*\).*/\1/p' /run.log)
[[ -n $base ]] || { echo "run.sh did not come to serve" >&2; exit 1; }
pid=$(sed -n 's/^forkpool serves on .* pid \([0-9]*\).*/\1/p' /run.log)
scripts/readme-commands.sh --url "$base" --pid "$pid" "A first job"
kill -TERM "$run"
wait "$run" || { echo "run.sh ended with status $?" >&2; exit 1; }
unset FORKPOOL_HTTP_LISTEN
scripts/readme-commands.sh --url "$base" "Running it"
if [[ $1 == yes ]]; then
    echo '$ ./test.sh'
    ./test.sh
fi
INSIDE

step "the README's commands"
# In namespaces of their own: when they end, their processes and mounts are gone, whatever happened.
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}" \
    timeout --kill-after=10 2400 unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
    chroot "$root" bash /try.sh "$tests" </dev/null
step "all of them work"
