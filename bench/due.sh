#!/usr/bin/env bash
# When jobs that are all due at the same moment start, beside how long the same jobs take when they are queued already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

jobs=10000
while (($# > 0)); do
    case $1 in
    --jobs) jobs=${2:?} ;;
    *) echo "usage: bench/due.sh [--jobs N]" >&2; exit 2 ;;
    esac
    shift 2
done

packages_ensure build bench test
./run.sh --build >&2
exec /usr/bin/python3 bench/due.py "$jobs"
