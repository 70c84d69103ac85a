#!/usr/bin/env bash
# Run the whole test suite. Makes .venv when missing. Further arguments go to pytest:
#   scripts/test.sh tests/core -k election
#   scripts/test.sh -n 0 --pdb          # in one process
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup-venv.sh --dev

exec .venv/bin/python -m pytest -n 2 "$@"
