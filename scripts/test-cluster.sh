#!/usr/bin/env bash
# Kill the leader of a real three-node cluster again and again under load, and look for every acknowledged write on every node.
# Free ports, a temporary directory, real processes. Exit code 0: nothing was lost, nothing applied twice, and it was quick enough.
#
#   scripts/test-cluster.sh                             20 kills, 16 clients over HTTP and gRPC
#   scripts/test-cluster.sh --kills 3 --clients 8 --seconds 30 --json
#   scripts/test-cluster.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup-venv.sh --dev

exec .venv/bin/python -m tests.e2e.kill_leader "$@"
