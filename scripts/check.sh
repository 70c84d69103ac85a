#!/usr/bin/env bash
# The read-only gate: lint, format, types, import contracts. Writes nothing to the tree; scripts/fix.sh does.
# Every check runs even when an earlier one failed; the exit code is non-zero when any failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup-venv.sh --dev

failed=()
check() {
    local name=$1
    shift
    printf '==> %s\n' "$name"
    "$@" || failed+=("$name")
}

check "ruff: lint" .venv/bin/ruff check .
check "ruff: format" .venv/bin/ruff format --check .
check "mypy: strict types" .venv/bin/mypy
check "import-linter: contracts" .venv/bin/lint-imports --no-logo

if [ ${#failed[@]} -gt 0 ]; then
    printf 'check: failed: %s\n' "${failed[@]}" >&2
    echo "check: scripts/fix.sh repairs format and simple lint." >&2
    exit 1
fi
echo "check: all clean"
