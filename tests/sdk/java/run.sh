#!/usr/bin/env bash
# Programs that use the published Java package of Durable Task against the program: each story is one.
# usage: run.sh PATH-OF-SOLOIST [STORY...]
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 PATH-OF-SOLOIST [STORY...]" >&2; exit 2; }
soloist=$(realpath "$1")
shift
cd "$(dirname "$0")"
made=$(realpath ../../..)/target/sdk/java
folder=$(mktemp -d)
server=

clean_up() {
    # Only what was started here, by its id.
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

mvn --quiet --batch-mode compile dependency:copy-dependencies </dev/null >"$folder/mvn" 2>&1 || { cat "$folder/mvn"; exit 1; }

# It is there before anybody reads it.
: >"$folder/log"
"$soloist" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --payload-bytes-max 3MiB --log-format json \
    2>>"$folder/log" >/dev/null &
server=$!
for _ in $(seq 600); do
    address=$(sed -n '/"ready"/s/.*"address":"\([^"]*\)".*/\1/p' "$folder/log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
[ -n "$address" ] || { echo "the server is not ready:" >&2; cat "$folder/log" >&2; exit 1; }

code=0
timeout 300 java -cp "$made/classes:$made/lib/*" stories.Main "$address" "$@" || code=$?
[ "$code" -eq 0 ] || { echo "the server's log ends with:"; tail -n 20 "$folder/log"; }
exit "$code"
