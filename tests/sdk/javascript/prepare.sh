#!/usr/bin/env bash
# Makes the folder target/sdk-javascript: node_modules as package-lock.json pins them. Says its path.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
made="$(cd "$here/../../.." && pwd)/target/sdk-javascript"
mkdir -p "$made"

# Installs again only when the pins have changed.
if ! cmp -s "$here/package-lock.json" "$made/installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$made/"
    npm ci --prefix "$made" --ignore-scripts --no-audit --no-fund --silent >&2
    cp "$here/package-lock.json" "$made/installed"
fi
echo "$made/node_modules"
