#!/usr/bin/env bash
# The sample in Go. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The first call generates `stubs` from proto/; the program is built in target/singleton-go of this checkout.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
made="$root/target/singleton-go"

prepare() {
    mkdir -p "$made"
    cd "$here"
    # Again only when what they are made from has changed.
    sources=(buf.gen.yaml "$root"/proto/soloist/v1/{instance,orchestration_service}.proto)
    if ! [ -d stubs ] || ! cat "${sources[@]}" | cmp -s - "$made/made-from"; then
        rm -rf stubs
        go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate
        cat "${sources[@]}" >"$made/made-from"
    fi
    go build -mod=readonly -o "$made/singleton" .
}

case "${1:-}" in
    prepare) prepare ;;
    worker | front | watch)
        (prepare)
        exec "$made/singleton" "$@"
        ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
