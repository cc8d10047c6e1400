#!/usr/bin/env bash
# The example against a real server: makes a venv and the stubs under target/, and runs start, worker, completed, and
# start, terminate, stopped. Usage: examples/python-worker/check.sh BINARY
set -euo pipefail

soloist="$(realpath "$1")"
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
made="$root/target/python-worker"
mkdir -p "$made/stubs"
data="$(mktemp -d)"
pids=()
clean_up() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$data"
}
trap clean_up EXIT
fail() {
    echo "python-worker: $*" >&2
    cat "$data"/*.log >&2
    exit 1
}

if ! cmp -s "$here/requirements.txt" "$made/installed.txt"; then
    python3 -m venv "$made/venv"
    "$made/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$made/installed.txt"
fi
cd "$root"
"$made/venv/bin/python" -m grpc_tools.protoc -I proto --python_out="$made/stubs" --grpc_python_out="$made/stubs" \
    proto/soloist/v1/*.proto

# Short leases, so that heartbeats are needed: workers are told 1 s.
mkfifo "$data/says"
"$soloist" serve --listen 127.0.0.1:0 --data-dir "$data/store" --lease 1500ms --log-format json 2>"$data/says" &
server=$!
pids+=("$server")
exec {says}<"$data/says"
address=
while [ -z "$address" ] && read -r -t 30 -u "$says" line; do
    echo "$line" >>"$data/server.log"
    address="$(sed -n 's/.*"ready".*"address":"\([^"]*\)".*/\1/p' <<<"$line")"
done
[ -n "$address" ] || fail "the server is not ready"
cat <&"$says" >>"$data/server.log" &
pids+=($!)
export SOLOIST_SERVER="$address"

PYTHONPATH="$made/stubs" "$made/venv/bin/python" "$here/worker.py" "$address" 2>"$data/worker.log" &
worker=$!
pids+=("$worker")

# Longer than a lease.
"$soloist" start report first --input 1 --wait --timeout 60s >"$data/first.log" 2>&1 || fail "it did not complete"
grep -q '^output  *"the report"$' "$data/first.log" || fail "the output is another one"

"$soloist" start report second --input 3600 >"$data/second.log"
while read -r line; do case "$line" in *Running*python) break ;; esac; done \
    < <("$soloist" watch second --timeout 60s 2>/dev/null)
"$soloist" terminate second >>"$data/second.log"
# The next one is handed out when the worker has stopped the former one.
"$soloist" start report second --input 0 --wait --timeout 60s >>"$data/second.log" 2>&1 || fail "it did not stop"

kill -TERM "$worker"
wait "$worker" || fail "the worker did not end well"
kill -TERM "$server"
wait "$server" || fail "the server did not end well"
echo "python-worker: ok"
