#!/usr/bin/env bash
# The sample in Python. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The first call makes target/singleton-python of this checkout: `venv` with what requirements.txt names, and `stubs`
# generated from proto/.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
made="$root/target/singleton-python"

prepare() {
    rm -rf "$made"
    mkdir -p "$made/stubs"
    python3 -m venv "$made/venv"
    "$made/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    (cd "$root/proto" && "$made/venv/bin/python" -m grpc_tools.protoc -I . --python_out="$made/stubs" \
        --grpc_python_out="$made/stubs" soloist/v1/instance.proto soloist/v1/orchestration_service.proto)
    cat "${sources[@]}" >"$made/made-from"
}

# Again only when what it is made from has changed.
sources=("$here/requirements.txt" "$root"/proto/soloist/v1/{instance,orchestration_service}.proto)
cat "${sources[@]}" | cmp -s - "$made/made-from" || prepare

export PYTHONPATH="$made/stubs"
case "${1:-}" in
    prepare) ;;
    worker | front | watch) exec "$made/venv/bin/python" -u "$here/$1.py" "${@:2}" ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
