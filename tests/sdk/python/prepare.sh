#!/usr/bin/env bash
# Makes the folder target/sdk-python: a virtual environment with what requirements.txt pins. Says the path of its Python.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
made="$(cd "$here/../../.." && pwd)/target/sdk-python"
mkdir -p "$made"

# Installs again only when the pins have changed.
if ! cmp -s "$here/requirements.txt" "$made/installed"; then
    rm -rf "$made/venv"
    python3 -m venv "$made/venv" >&2
    "$made/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$made/installed"
fi
echo "$made/venv/bin/python"
