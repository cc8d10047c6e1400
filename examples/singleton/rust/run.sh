#!/usr/bin/env bash
# The sample in Rust. Usage: run.sh worker | front | watch INSTANCE-ID | prepare
# The program is built in target/singleton-rust of this checkout.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
made="$root/target/singleton-rust"

prepare() {
    CARGO_TARGET_DIR="$made" cargo build --quiet --manifest-path "$here/Cargo.toml"
}

case "${1:-}" in
    prepare) prepare ;;
    worker | front | watch)
        prepare
        exec "$made/debug/singleton" "$@"
        ;;
    *) sed -n 2p "$0" >&2 && exit 2 ;;
esac
