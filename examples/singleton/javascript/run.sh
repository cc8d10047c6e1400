#!/usr/bin/env bash
# The sample in JavaScript. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The first call makes target/singleton-javascript of this checkout: node_modules as package-lock.json pins them.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
made="$(cd "$here/../../.." && pwd)/target/singleton-javascript"

# Again only when the pins have changed.
if ! cmp -s "$here/package-lock.json" "$made/installed"; then
    mkdir -p "$made"
    cp "$here/package.json" "$here/package-lock.json" "$made/"
    npm ci --prefix "$made" --ignore-scripts --no-audit --no-fund --silent
    cp "$here/package-lock.json" "$made/installed"
fi

export NODE_PATH="$made/node_modules"
case "${1:-}" in
    prepare) ;;
    worker | front | watch) exec node "$here/$1.js" "${@:2}" ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
