#!/usr/bin/env bash
# The metrics, as promtool reads and judges them: those of a fresh server, and those after some work.
# usage: promtool.sh PATH-OF-SOLOIST
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 PATH-OF-SOLOIST" >&2; exit 2; }
soloist=$1
folder=$(mktemp -d)
server=

clean_up() {
    # Only what was started here, by its id.
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

fail() {
    echo "FAILED: $*" >&2
    cat "$folder"/* >&2 2>/dev/null || true
    exit 1
}

# checked NAME: promtool has nothing to say of the metrics, and they are there.
checked() {
    curl -sf "$address/metrics" >"$folder/metrics" || fail "no metrics"
    grep -q '^soloist_build_info{version="[^"]*"} 1$' "$folder/metrics" || fail "not our metrics"
    promtool check metrics <"$folder/metrics" >"$folder/remarks" 2>&1 || fail "promtool refuses them"
    [ ! -s "$folder/remarks" ] || fail "promtool has remarks"
    echo "promtool: ok: $1"
}

# It is there before anybody reads it.
: >"$folder/log"
"$soloist" dev --listen 127.0.0.1:0 --data-dir "$folder/data" --log-format json 2>>"$folder/log" >/dev/null &
server=$!
for _ in $(seq 600); do
    address=$(sed -n '/"ready"/s/.*"address":"\([^"]*\)".*/\1/p' "$folder/log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "the server ended"
    sleep 0.1
done
[ -n "$address" ] || fail "the server is not ready"
checked "of a fresh server"
for n in 1 2 3; do
    "$soloist" start hello "hello-$n" --input '"Ada"' --wait --server "$address" >/dev/null 2>&1 || fail "no start"
done
"$soloist" start sleep nightly --input 60 --server "$address" >/dev/null || fail "no start"
"$soloist" start sleep nightly --input 60 --server "$address" >/dev/null 2>&1 && fail "started twice"
checked "after starts, ends and a conflict"
