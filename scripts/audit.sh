#!/usr/bin/env bash
# Ask for known vulnerabilities in the locked packages. Needs the network, so it is no part of scripts/check.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup-venv.sh --dev

.venv/bin/pip-audit --disable-pip --require-hashes -r requirements-dev.txt
