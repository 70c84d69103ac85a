#!/usr/bin/env bash
# Write the Python modules of proto/*.proto and their type stubs, into ferrite/io/grpc/pb or the folder named. Needs the dev packages.
#
#   scripts/generate-proto.sh [FOLDER]
#
# The files enter protobuf's process-wide registry as ferrite/kv.proto and so on: other systems have a kv.proto too.
# Only messages are generated. The services' methods come from the descriptors inside (ferrite/io/grpc/service.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${FERRITE_PYTHON:-.venv/bin/python}
folder=${1:-ferrite/io/grpc/pb}

"$python" -c 'import grpc_tools' 2>/dev/null || {
    echo "generate-proto: $python has no grpcio-tools. Run scripts/setup-venv.sh --dev first." >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m grpc_tools.protoc -Iferrite=proto --python_out="$work" --pyi_out="$work" proto/*.proto
mkdir -p "$folder"
for file in "$work"/ferrite/*; do
    # Where one of our files imports another, it is the neighbour in the same package.
    sed 's/^from ferrite import /from . import /' "$file" >"$folder/$(basename "$file")"
done
