#!/usr/bin/env bash
# Runs every test. One phase at a time: ./test.sh unit | clang | asan | tsan | lint | system; and by request: valgrind
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
# shellcheck source=scripts/packages.sh
source scripts/packages.sh
export CC=gcc

PHASES=(unit clang asan tsan lint system)
BY_REQUEST=(valgrind) # too long for each run

usage() {
    cat <<'TEXT'
usage: ./test.sh [PHASE…]     without a phase: all of them, in this order, but for valgrind

  unit     builds with gcc, runs the unit tests
  clang    builds the whole tree with clang
  asan     unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
  tsan     the tests of shared/ under ThreadSanitizer
  lint     clang-format, shellcheck, no file over 600 lines
  system   the server as a whole, by pytest, two files at a time (arguments after -- go to pytest)
  valgrind unit tests under Valgrind's memcheck (tests/memcheck/run --list: what is left out, and why)

Builds stay in build/, build-clang/, build-asan/, build-tsan/ and build-crash/; output in var/test-*.log.
TEXT
}

# Runs a command with its output in a log, which is shown only when the command fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null && return 0
    cat "$log"
    echo "test.sh: failed: $*"
    return 1
}

# build PRESET FOLDER [TARGET…]
build() {
    local preset=$1 folder=$2
    shift 2
    (($# == 0)) || set -- --target "$@"
    quietly "var/test-$preset-configure.log" cmake --preset "$preset" &&
        quietly "var/test-$preset-build.log" cmake --build "$folder" "$@"
}

# unit_tests NAME FOLDER [FLAG of ctest…]: shows the output, and keeps it for the closing lines.
unit_tests() {
    local name=$1 folder=$2
    shift 2
    ctest --test-dir "$folder" --output-on-failure --no-tests=error --parallel 2 "$@" 2>&1 </dev/null |
        tee "var/test-$name-ctest.log"
}

phase_unit() {
    build release build && unit_tests unit build
}

phase_clang() {
    build clang build-clang
}

phase_asan() {
    build asan build-asan && unit_tests asan build-asan
}

phase_tsan() {
    local source targets=()
    for source in tests/shared/test_*.c; do
        source=${source##*/test_}
        targets+=("test_shared_${source%.c}")
    done
    build tsan build-tsan "${targets[@]}" && unit_tests tsan build-tsan --tests-regex '^shared/'
}

# Prints the files of the project whose names match, NUL-terminated.
files() {
    find . -type d \( -name .git -o -name 'build*' -o -name var -o -name __pycache__ -o -name .pytest_cache \) -prune \
        -o -type f "$@" -print0
}

phase_lint() {
    local bad=0 long scripts=(run.sh test.sh .ci/run scripts/*.sh examples/*.sh tasks/wordcount tasks/thumbnail tests/crash/torture)
    files \( -name '*.c' -o -name '*.h' \) | xargs -0 clang-format --dry-run -Werror || bad=1
    shellcheck -x "${scripts[@]}" || bad=1
    long=$(files \( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.sql' -o -name '*.lua' \) |
        xargs -0 -n 1 wc -l | awk '$1 > 600')
    if [[ -n $long ]]; then
        printf 'over 600 lines:\n%s\n' "$long"
        bad=1
    fi
    return "$bad"
}

phase_system() {
    build release build && build crash build-crash forkpool crash_point_table crash_ledger crash_note &&
        /usr/bin/python3 -m pytest -p no:cacheprovider -q -n 2 --dist loadfile --durations=10 tests/system ${pytest_flags[@]+"${pytest_flags[@]}"} \
            2>&1 </dev/null | tee var/test-system.log
}

phase_valgrind() {
    build release build && tests/memcheck/run 2>&1 </dev/null | tee var/test-valgrind.log
}

# The closing lines of ctest and pytest, last, for whoever reads only the end.
closing_lines() {
    local name
    for name in unit asan tsan; do
        [[ " $* " == *" $name "* && -f var/test-$name-ctest.log ]] || continue
        sed -n "s/^\([0-9]*% tests passed.*\|No tests were found.*\)/ctest, $name: \1/p" "var/test-$name-ctest.log"
    done
    for name in system valgrind; do
        [[ " $* " != *" $name "* || ! -f var/test-$name.log ]] || tail -n 1 "var/test-$name.log"
    done
}

phases=() pytest_flags=()
while (($# > 0)); do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --) shift; pytest_flags=("$@"); break ;;
    *)
        [[ " ${PHASES[*]} ${BY_REQUEST[*]} " == *" $1 "* ]] || { echo "test.sh: no phase $1" >&2; usage >&2; exit 2; }
        phases+=("$1")
        ;;
    esac
    shift
done
((${#phases[@]} > 0)) || phases=("${PHASES[@]}")

packages_ensure build run test || exit 1
mkdir -p var

failed=() summary=()
for phase in "${phases[@]}"; do
    echo "== $phase"
    started=$SECONDS
    rm -f "var/test-$phase"*.log
    if "phase_$phase"; then
        verdict=passed
    else
        verdict=FAILED
        failed+=("$phase")
    fi
    summary+=("$(printf '%-8s %-6s %4d s' "$phase" "$verdict" $((SECONDS - started)))")
    echo "== ${summary[-1]}"
done

echo
printf '%s\n' "${summary[@]}"
printf '%-8s %-6s %4d s\n' all "$( ((${#failed[@]} == 0)) && echo passed || echo FAILED)" "$SECONDS"
((${#failed[@]} == 0)) || echo "failed: ${failed[*]}"
closing_lines "${phases[@]}"
((${#failed[@]} == 0))
