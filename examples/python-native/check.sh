#!/usr/bin/env bash
# Client and worker in plain Python against a real server. Usage: examples/python-native/check.sh BINARY [STORY...]
# Without stories: all of them.
set -euo pipefail

soloist="$(realpath "$1")"
shift
here="$(cd "$(dirname "$0")" && pwd)"
made="$(cd "$here/../.." && pwd)/target/python-native"
data="$(mktemp -d)"
pids=()
clean_up() {
    # Only what was started here, by its id.
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$data"
}
trap clean_up EXIT
fail() {
    echo "python-native: $*" >&2
    tail -n 40 "$data"/*.log >&2
    exit 1
}

bash "$here/prepare.sh"
export PYTHONPATH="$made/stubs"
python="$made/venv/bin/python"

# until PATTERN FILE: waits for a line.
until_says() {
    for _ in $(seq 300); do
        if grep -q -- "$1" "$2" 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "no '$1' in $(basename "$2")"
}

# serve ADDRESS: starts the server with leases that are shorter than some stories, and longer than a restart: workers
# are told 4 s.
serve() {
    : >"$data/server.log"
    "$soloist" serve --listen "$1" --data-dir "$data/store" --lease 6s --log-format json 2>>"$data/server.log" &
    server=$!
    pids+=("$server")
    until_says '"ready"' "$data/server.log"
    SOLOIST_SERVER="$(sed -n '/"ready"/s/.*"address":"\([^"]*\)".*/\1/p' "$data/server.log")"
    export SOLOIST_SERVER
}

client() { timeout 60 "$python" "$here/client.py" "$@" 2>>"$data/client.log"; }

# says TEXT COMMAND...: the command's output holds the text.
says() {
    local text="$1" said
    shift
    said="$("$@")" || fail "$*: exit code $?: $said"
    grep -q -- "$text" <<<"$said" || fail "$*: no '$text' in: $said"
}

completes() {
    says STARTED client start report first 0.2
    says 'COMPLETED' client watch first
    says '"the report"' client status first
}

conflict() {
    client start report second 3600 >/dev/null
    ! client start report second 0 >/dev/null || fail "started twice"
    grep -q '^INSTANCE_ALREADY_RUNNING: second is ' "$data/client.log" || fail "the conflict is not told"
    says TERMINATED client terminate second "enough"
    # The next one is handed out when the worker has stopped the former one.
    says STARTED client start report second 0
    says COMPLETED client watch second
}

# Each event ends an execution and begins the next one.
events() {
    says STARTED client start tally votes
    client raise votes add 2
    client raise votes add 40
    client raise votes stop
    until_status 'COMPLETED .* 42$' votes
}

# until_status PATTERN ID: what the status says in the end.
until_status() {
    local said=
    for _ in $(seq 100); do
        said="$(client status "$2")" || fail "status $2"
        if grep -q -- "$1" <<<"$said"; then return; fi
        sleep 0.1
    done
    fail "$2 is not '$1' but: $said"
}

# Worker and watch go on over a restart of the server, with the same execution, for longer than a lease.
restart() {
    client start report third 2 >"$data/third.started"
    client watch third >"$data/third.log" &
    local watch=$!
    pids+=("$watch")
    until_says 'RUNNING python' "$data/third.log"
    kill -TERM "$server"
    wait "$server" || fail "the server did not end well"
    serve "$SOLOIST_SERVER"
    wait "$watch" || fail "the watch did not go on"
    says "COMPLETED $(cut -d ' ' -f 2 "$data/third.started")" client status third
    awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 }' "$data/third.log" || fail "the watch has gaps"
}

# A caller waits for its own execution behind another one.
queued() {
    client start report fourth 1 >/dev/null
    client queue report fourth 0 >"$data/fourth.log" || fail "the queued one did not complete"
    grep -q '^QUEUED ' "$data/fourth.log" || fail "it was not queued"
    says "COMPLETED $(sed -n 's/^QUEUED //p' "$data/fourth.log")" client status fourth
}

# The worker rests while the instance is suspended.
suspended() {
    client start report fifth 1 >/dev/null
    until_status '^RUNNING' fifth
    says SUSPENDED client suspend fifth "later"
    sleep 4 # longer than the work would have taken
    says SUSPENDED client status fifth
    says RUNNING client resume fifth
    until_status 'COMPLETED .* "the report"$' fifth
}

listed() {
    client start report sixth 0 >/dev/null
    says '^sixth ' client list report
    [ -z "$(client list nothing)" ] || fail "the list is not filtered"
}

stories=("$@")
[ $# -gt 0 ] || stories=(completes conflict events restart queued suspended listed)

serve 127.0.0.1:0
"$python" "$here/worker.py" "$SOLOIST_SERVER" 2>"$data/worker.log" &
worker=$!
pids+=("$worker")
for story in "${stories[@]}"; do
    "$story"
    echo "python-native: $story: ok"
done
kill -TERM "$worker"
wait "$worker" || fail "the worker did not end well"
kill -TERM "$server"
wait "$server" || fail "the server did not end well"
