#!/usr/bin/env bash
# Make .venv from the locked requirements and install Ferrite into it. Quick when nothing has changed.
#
#   scripts/setup-venv.sh          what a server needs
#   scripts/setup-venv.sh --dev    the same plus the tools of tests and checks
#
# FERRITE_PYTHON names the interpreter to build .venv with; without it, the first Python >= 3.11 found is taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*"; }
die() { printf 'setup-venv: %s\n' "$*" >&2; exit 1; }

case "${1-}" in
    "") kind=run lock=requirements.txt ;;
    --dev) kind=dev lock=requirements-dev.txt ;;
    *) die "unknown argument '$1'. Expected nothing or --dev." ;;
esac

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${FERRITE_PYTHON-}" ]; then
        is_new_enough "$FERRITE_PYTHON" ||
            die "FERRITE_PYTHON=$FERRITE_PYTHON does not run or is older than 3.11. Name a Python 3.11 or newer."
        echo "$FERRITE_PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer found (python3 is: $(python3 --version 2>&1 || true))." \
        "Install python3.11, or name one: FERRITE_PYTHON=/path/to/python3.11 $0"
}

make_venv() {
    local python
    python=$(find_python)
    # Debian ships `venv` without `ensurepip`; asking for both here gives one clear message instead of half an environment.
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$python has no venv or no pip. On Debian and Ubuntu: apt-get install python3-venv python3-pip. Then run this again."
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv
}

# What the environment was made from. Kept as a copy beside it: equal means there is nothing to do.
# The place is part of it, because an environment does not survive being moved.
recipe() { pwd; cat pyproject.toml "$lock"; }

is_current() { [ -x .venv/bin/python ] && [ -f ".venv/ferrite-$1.recipe" ] && recipe | cmp -s - ".venv/ferrite-$1.recipe"; }

if is_current "$kind"; then
    exit 0
fi
# Two scripts started at once must not install into the same place; flock is everywhere on Linux, elsewhere we go without.
mkdir -p .venv
if command -v flock >/dev/null 2>&1; then
    exec 9>.venv/ferrite-setup.lock
    flock -n 9 || { say "another setup is running, waiting for it"; flock 9; }
    if is_current "$kind"; then
        exit 0
    fi
fi

[ -x .venv/bin/python ] || make_venv
is_new_enough .venv/bin/python ||
    die ".venv/bin/python does not run or is older than 3.11. Remove the folder .venv and run this again."
.venv/bin/python -m pip --version >/dev/null 2>&1 ||
    die ".venv has no working pip. Remove the folder .venv and run this again."

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
quiet_about_satisfied() { grep -v -e '^Requirement already satisfied' -e '^Looking in ' || true; }

rm -f ".venv/ferrite-$kind.recipe"
say "installing $(grep -c '^[a-zA-Z0-9]' "$lock") locked packages from $lock (a minute or two the first time)"
pip install --require-hashes -r "$lock" | quiet_about_satisfied
say "installing ferrite itself"
# The build backend is among the locked packages: nothing is fetched outside the lock.
pip install --quiet --no-deps --no-build-isolation --no-index -e .
recipe >".venv/ferrite-$kind.recipe"
say "environment ready: .venv"
