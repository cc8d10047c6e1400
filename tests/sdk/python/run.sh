#!/usr/bin/env bash
# The published Durable Task package for Python, as client and as worker, against a real server.
# Usage: tests/sdk/python/run.sh BINARY [STORY...]
# Without stories: all of them.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 BINARY [STORY...]" >&2; exit 2; }
soloist="$(realpath "$1")"
shift
here="$(cd "$(dirname "$0")" && pwd)"
python="$("$here/prepare.sh")"

exec timeout 300 "$python" "$here/main.py" "$soloist" "$@"
