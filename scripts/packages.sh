#!/usr/bin/env bash
# The one list of Debian and Ubuntu packages that forkpool needs, and a function that installs what is missing.
#
#   scripts/packages.sh build test      installs what is missing of these groups
#   source scripts/packages.sh          packages_ensure build test
#
# Nothing is downloaded, and no network is needed, when everything is there.

declare -A PACKAGES=(
    # To build the server and its tasks. python3-yaml turns api/openapi.yaml into the JSON that the server serves.
    [build]="gcc libc6-dev cmake ninja-build pkg-config libmicrohttpd-dev libjansson-dev uuid-dev libsqlite3-dev
             libyaml-dev nettle-dev libglib2.0-dev check python3 python3-yaml"
    # To run it as ./run.sh does, and what the shipped tasks call. tzdata is the database of time zones.
    [run]="tzdata curl ca-certificates jq imagemagick"
    # To run every test. libclang-rt-dev stands for that of clang's version (libFuzzer); patch is for tests/seeded/run.
    [test]="clang libclang-rt-dev clang-format shellcheck curl imagemagick sqlite3 python3-pytest python3-pytest-xdist
            python3-requests python3-jsonschema python3-croniter spin relacy-dev patch valgrind"
    # Pictures for examples/thumbnails.sh; it fetches them itself where they are not installed.
    [pictures]="desktop-base"
    # To measure: bench/run. And what it compares with, besides the group peers.
    [bench]="wrk curl python3 python3-requests gcc libc6-dev"
    [bench_peers]="gearman-job-server python3-celery python3-redis"
    # To compare with other job systems: tests/crash/peers/run.
    [peers]="beanstalkd redis-server postgresql nodejs npm gcc libc6-dev util-linux python3-requests"
    # To try the README in an empty Debian root.
    [root]="mmdebstrap git curl"
    # What the program and the tasks of a container image need, by Debian 12's names: docker/Dockerfile.
    [image]="libmicrohttpd12 libjansson4 libuuid1 libsqlite3-0 libyaml-0-2 libnettle8 libglib2.0-0 tzdata jq"
    # To build and try the container image: docker/check.sh.
    [container]="mmdebstrap buildah podman runc podman-compose git curl jq"
)

# What is started by its mere installation, and not wanted here: each test starts servers of its own.
SERVICES=" beanstalkd gearman-job-server redis-server postgresql "

# The package with the sanitizers and libFuzzer of the default clang; nothing where they come with clang itself.
package_of_clang_rt() {
    local package
    package=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p')
    [[ -z $package ]] || ! apt-cache show "$package" >/dev/null 2>&1 || echo "$package"
}

# Prints the packages of the groups that are not installed, one a line.
packages_missing() {
    local group package
    for group in "$@"; do
        for package in ${PACKAGES[$group]}; do
            [[ $package != libclang-rt-dev ]] || package=$(package_of_clang_rt)
            [[ -n $package ]] || continue
            [[ $package != npm ]] || ! command -v npm >/dev/null || continue # nodejs from elsewhere may bring it along
            [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
        done
    done | sort -u
}

# Installs what is missing of the groups; says what and how it does so, and what to do where it cannot.
packages_ensure() {
    local missing as_root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "packages: this is no Debian or Ubuntu; taking for granted that the packages of scripts/packages.sh are there" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]} > 0)) || return 0
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            printf 'packages: missing: %s\nneither root nor sudo: please run, as root:\n    apt-get install --no-install-recommends %s\n' \
                "${missing[*]}" "${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "packages: installing ${missing[*]}" >&2
    local log
    log=$(mktemp)
    if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update -q && apt-get install -q -y --no-install-recommends "$@"' sh "${missing[@]}" \
        >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        local package
        for package in "${missing[@]}"; do
            [[ $SERVICES != *" $package "* ]] || "${as_root[@]}" service "$package" stop >/dev/null 2>&1 || true
        done
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    echo "packages: apt-get could not install ${missing[*]}" >&2
    return 1
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    if (($# == 0)); then
        echo "usage: scripts/packages.sh GROUP…   (of: ${!PACKAGES[*]})" >&2
        exit 2
    fi
    for group in "$@"; do
        [[ -n ${PACKAGES[$group]:-} ]] || { echo "packages: no group $group (there are: ${!PACKAGES[*]})" >&2; exit 2; }
    done
    packages_ensure "$@"
fi
