#!/usr/bin/env bash
# How submit, read, why, list, queues and a start behave with many waiting jobs, beside the empty server in the same run:
# medians in milliseconds, as a Markdown table on standard output. Half of the jobs are queued, half are scheduled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

jobs=1000000
while (($# > 0)); do
    case $1 in
    --jobs) jobs=${2:?} ;;
    *) echo "usage: bench/backlog.sh [--jobs N]" >&2; exit 2 ;;
    esac
    shift 2
done

packages_ensure build bench test
./run.sh --build >&2
exec /usr/bin/python3 bench/backlog.py "$jobs"
