#!/usr/bin/env bash
# Repair what can be repaired by machine: simple lint and format. The gate that only reads is scripts/check.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup-venv.sh --dev

.venv/bin/ruff check --fix . || echo "fix: what is left above needs a hand" >&2
.venv/bin/ruff format .
