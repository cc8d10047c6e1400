#!/usr/bin/env bash
# A worker in Python and one in JavaScript on one task hub, with their published packages: each is given only its own.
# Usage: tests/sdk/mixed.sh BINARY
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 BINARY" >&2; exit 2; }
soloist="$(realpath "$1")"
here="$(cd "$(dirname "$0")" && pwd)"
python="$("$here/python/prepare.sh")"
NODE_PATH="$("$here/javascript/prepare.sh")"
export NODE_PATH PYTHONPATH="$here/python"

exec timeout 120 "$python" "$here/mixed/main.py" "$soloist"
