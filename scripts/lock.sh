#!/usr/bin/env bash
# Write requirements.txt (what a server needs) and requirements-dev.txt (everything) from pyproject.toml: exact versions with
# the hashes of all files of each release, for Python 3.11 and newer on every platform, no index lines, no addresses.
#
#   scripts/lock.sh              keep the versions of today's lock where pyproject.toml allows
#   scripts/lock.sh --upgrade    take the newest ones
#
# The resolver is uv, at a fixed version, in a throw-away environment: it is no dependency of Ferrite.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv_version=0.13.9
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${FERRITE_PYTHON:-python3}" -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"

compile() {
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --no-annotate --system-certs "$@"
}
# Everything first, then the smaller set under its constraints: both locks name the same versions.
compile pyproject.toml --extra dev --extra build --output-file requirements-dev.txt "$@"
compile pyproject.toml --extra build --constraints requirements-dev.txt --output-file requirements.txt

for lock in requirements.txt requirements-dev.txt; do
    { printf '# Written by scripts/lock.sh from pyproject.toml. Do not edit by hand.\n'; cat "$lock"; } >"$tools/lock"
    cat "$tools/lock" >"$lock"
done
echo "lock: $(grep -c '^[a-z]' requirements.txt) packages to run, $(grep -c '^[a-z]' requirements-dev.txt) with the tools"
