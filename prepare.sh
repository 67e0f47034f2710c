#!/bin/sh
# Sets this copy up: its own Python environment and the playground. Safe to repeat; needs the network only for
# what is missing. Exit status 3 when something does not work out.
set -eu
unset CDPATH PYTHONHOME PYTHONPATH PYTHONSAFEPATH PIP_TARGET PIP_USER PIP_PREFIX PIP_REQUIRE_VIRTUALENV
cd -- "$(dirname -- "$0")"

say() {
    echo "prepare: $1"
}

fail() {
    echo "prepare: $1" >&2
    exit 3
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed and none was found; install it, then run ./prepare.sh again"
}

make_environment() {
    python="$(find_python)"
    say "making .venv with $("$python" --version 2>&1)"
    rm -rf .venv
    if ! "$python" -m venv .venv; then
        rm -rf .venv
        fail "$python cannot make a virtual environment; on Debian and Ubuntu install its package python3-venv"
    fi
}

install_packages() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_environment
    say "installing the packages of requirements.lock (once, about a minute)"
    rm -f .venv/installed.lock
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
        -r requirements.lock; then
        fail "the packages could not be installed, as told above"
    fi
    cp requirements.lock .venv/installed.lock
}

build_playground() {
    [ -f gateway/playground/dist/.made-from ] || say "building the playground (once, about ten seconds)"
    if ! .venv/bin/python -m gateway.playground.build >.venv/playground.log 2>&1; then
        cat .venv/playground.log >&2
        fail "the playground could not be built"
    fi
}

if ! is_new_enough .venv/bin/python; then make_environment; fi
if ! cmp -s requirements.lock .venv/installed.lock; then install_packages; fi
build_playground
[ "${1-}" = "--quiet" ] || say "complete"
