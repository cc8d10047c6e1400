#!/usr/bin/env bash
# The server behind nginx and HAProxy, with the files of examples/proxies: only ports and times are others.
# Installs what is missing by apt-get. usage: proxies.sh PATH-OF-SOLOIST
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 PATH-OF-SOLOIST" >&2; exit 2; }
soloist=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:/usr/sbin
# The longest silence that the proxies bear.
idle=2

missing=()
for program in nginx haproxy curl; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null
fi
bash "$root/examples/python-native/prepare.sh"

# Everything of one proxy: a folder, processes, and a story.
story() {
    local proxy=$1
    folder=$(mktemp -d)
    pids=()
    trap clean_up EXIT
    mkdir "$folder/tmp"
    # No server yet: its port is chosen like the proxy's, so that the proxy can be there first and stay.
    server_port=$(free_port)
    proxy_port=$(free_port)
    sed -e "s/127\.0\.0\.1:4001/127.0.0.1:$server_port/; s/127\.0\.0\.1:4080/127.0.0.1:$proxy_port/; s/ 90s/ ${idle}s/" \
        "$root/examples/proxies/"$proxy.* >"$folder/$proxy"
    "start_$proxy"
    until_listens "$proxy_port"
    export SOLOIST_SERVER=127.0.0.1:$proxy_port

    serve
    PYTHONPATH=$root/target/python-native/stubs "$root/target/python-native/venv/bin/python" \
        "$root/examples/python-native/worker.py" "$SOLOIST_SERVER" >"$folder/worker.log" 2>&1 &
    pids+=($!)

    "$soloist" start tally job >"$folder/started.log" 2>&1 || fail "no start"
    local code=0 taken
    taken=$("$soloist" start tally job --json 2>&1) || code=$?
    [ "$code" -eq 75 ] || fail "a taken id: exit code $code"
    for text in '"code":"ALREADY_EXISTS"' '"reason":"INSTANCE_ALREADY_RUNNING"' '"domain":"soloist"' '"execution_id":'; do
        grep -qF -- "$text" <<<"$taken" || fail "no $text in the error's details: $taken"
    done
    ok "a start, and a refused one with its details"

    head -c 1048576 /dev/zero | tr '\0' x | "$soloist" start nobody large --input - >>"$folder/started.log" 2>&1 ||
        fail "the largest input is refused"
    [ "$("$soloist" status large --payloads --json | wc -c)" -gt 1048576 ] || fail "the largest input is not answered"
    ok "the largest payload, there and back"

    local answered
    answered=$(curl -si --max-time 30 --http2-prior-knowledge -X POST -H "origin: http://$SOLOIST_SERVER" \
        "http://$SOLOIST_SERVER/orchestrators/nobody/by-http") || fail "no start by HTTP"
    grep -q "^location: http://$SOLOIST_SERVER/runtime/webhooks/durabletask/instances/by-http?" <<<"$answered" ||
        fail "the URLs lead elsewhere: $answered"
    curl -sN --max-time 60 --http2-prior-knowledge "http://$SOLOIST_SERVER/v1/instances/by-http/watch" >"$folder/events" &
    pids+=($!)
    until_says '"runtimeStatus":"Pending"' "$folder/events"
    "$soloist" terminate by-http >>"$folder/started.log" 2>&1 || fail "no end"
    until_says '"runtimeStatus":"Terminated"' "$folder/events"
    ok "HTTP: URLs as the caller sees the server, and events when they happen"

    "$soloist" watch job >"$folder/watch" 2>"$folder/lost" &
    watch=$!
    pids+=("$watch")
    until_says 'Running .*python' "$folder/watch"
    until_says 'connection lost' "$folder/lost"
    ok "with a heartbeat that is too slow the proxy ends an idle watch, which goes on"

    drained
    serve --watch-heartbeat 1s
    resumes
    local lost
    lost=$(wc -l <"$folder/lost")
    sleep $((2 * idle + 1))
    [ "$(wc -l <"$folder/lost")" -eq "$lost" ] || fail "the watch was not kept open"
    ok "over a restart, and then open for longer than the proxy bears silence"

    drained
    serve --watch-heartbeat 1s --max-connection-age 1s --max-connection-age-grace 1s
    resumes
    lost=$(wc -l <"$folder/lost")
    # The proxy's connections to the server are asked to go, and those who don't are cut.
    until_more_than "$lost" "$folder/lost"
    "$soloist" start nobody other >>"$folder/started.log" 2>&1 || fail "no start on an aged connection"
    ok "connections of a bounded age"

    "$soloist" raise job stop >>"$folder/started.log" 2>&1 || fail "no event"
    until_says ' Completed ' "$folder/watch"
    # The worker's stream was cut as often, and no run was lost by it.
    "$soloist" status job --payloads | grep -q '^output  *2$' || fail "the sum is another one"
    awk '$1 ~ /^20/ && last && $2 != last && $2 != last + 1 { exit 1 } $1 ~ /^20/ { last = $2 }' "$folder/watch" ||
        fail "the watch has gaps"
    ok "worker and watch to the end, without a gap"
}

start_nginx() {
    # What /etc/nginx/nginx.conf is elsewhere.
    cat >"$folder/main" <<EOF
daemon off;
pid $folder/pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/tmp/body;
    proxy_temp_path $folder/tmp/proxy;
    fastcgi_temp_path $folder/tmp/fastcgi;
    uwsgi_temp_path $folder/tmp/uwsgi;
    scgi_temp_path $folder/tmp/scgi;
    include $folder/nginx;
}
EOF
    nginx -p "$folder" -e "$folder/proxy.log" -c "$folder/main" >>"$folder/proxy.log" 2>&1 &
    pids+=($!)
}

start_haproxy() {
    haproxy -db -f "$folder/haproxy" >"$folder/proxy.log" 2>&1 &
    pids+=($!)
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# serve FLAG...: starts the server, always with the same store and address.
serve() {
    : >"$folder/server.log"
    "$soloist" serve --listen "127.0.0.1:$server_port" --data-dir "$folder/store" --lease 6s --log-format json "$@" \
        2>>"$folder/server.log" &
    server=$!
    pids+=("$server")
    until_says '"ready"' "$folder/server.log"
}

# The server ends in order, and the proxy's connections don't hold it up.
drained() {
    local begun=$SECONDS
    kill -TERM "$server"
    wait "$server" || fail "the server did not end well"
    [ $((SECONDS - begun)) -le 10 ] || fail "the drain took $((SECONDS - begun)) s"
}

# Watch and worker are there again: an event makes a transition.
resumes() {
    local seen
    seen=$(wc -l <"$folder/watch")
    "$soloist" raise job add --input 1 >>"$folder/started.log" 2>&1 || fail "no event"
    until_more_than "$seen" "$folder/watch"
}

until_listens() {
    for _ in $(seq 300); do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "nobody listens on port $1"
}

until_says() {
    for _ in $(seq 300); do
        if grep -q -- "$1" "$2" 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "no '$1' in $(basename "$2")"
}

until_more_than() {
    for _ in $(seq 300); do
        if [ "$(wc -l <"$2")" -gt "$1" ]; then return; fi
        sleep 0.1
    done
    fail "nothing more in $(basename "$2")"
}

ok() { echo "$proxy: ok: $*"; }

fail() {
    echo "$proxy: FAILED: $*" >&2
    tail -n 30 "$folder"/*.log "$folder/lost" "$folder/watch" >&2
    exit 1
}

clean_up() {
    # Only what was started here, by its id.
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
}

stories=()
for proxy in nginx haproxy; do
    (story "$proxy") &
    stories+=($!)
done
failed=0
for pid in "${stories[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
