#!/usr/bin/env bash
# Makes target/python-native of this checkout: `venv` with what requirements.txt names, `stubs` generated from proto/.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
made="$root/target/python-native"
mkdir -p "$made/stubs"

if ! cmp -s "$here/requirements.txt" "$made/installed.txt"; then
    python3 -m venv "$made/venv"
    "$made/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$made/installed.txt"
fi
cd "$root"
"$made/venv/bin/python" -m grpc_tools.protoc -I proto --python_out="$made/stubs" --grpc_python_out="$made/stubs" \
    proto/soloist/v1/*.proto
