#!/usr/bin/env bash
# Programs that use the published Go package of Durable Task against the program: each story is one.
# usage: run.sh PATH-OF-SOLOIST [PATTERN-OF-STORIES]
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 PATH-OF-SOLOIST [PATTERN-OF-STORIES]" >&2; exit 2; }
soloist=$(realpath "$1")
stories=${2:-.}
cd "$(dirname "$0")"
made=$(realpath ../../..)/target/sdk
folder=$(mktemp -d)
server=

clean_up() {
    # Only what was started here, by its id.
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

mkdir -p "$made"
go test -mod=readonly -c -o "$made/go-stories" .

# It is there before anybody reads it.
: >"$folder/log"
"$soloist" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --payload-bytes-max 3MiB --log-format json \
    2>>"$folder/log" >/dev/null &
server=$!
for _ in $(seq 600); do
    SOLOIST_SERVER=$(sed -n '/"ready"/s/.*"address":"\([^"]*\)".*/\1/p' "$folder/log")
    [ -z "$SOLOIST_SERVER" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
[ -n "$SOLOIST_SERVER" ] || { echo "the server is not ready:" >&2; cat "$folder/log" >&2; exit 1; }

export SOLOIST_SERVER SOLOIST=$soloist
code=0
"$made/go-stories" -test.v -test.timeout 5m -test.run "$stories" >"$folder/said" 2>&1 || code=$?
grep -v '^=== ' "$folder/said" || true
[ "$code" -eq 0 ] || { echo "the server's log ends with:"; tail -n 20 "$folder/log"; }
exit "$code"
