#!/usr/bin/env bash
# What people do with grpcurl, against the program itself. Needs nothing but the two.
# usage: grpcurl.sh PATH-OF-SOLOIST PATH-OF-GRPCURL
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: $0 PATH-OF-SOLOIST PATH-OF-GRPCURL" >&2; exit 2; }
soloist=$1
grpcurl=$2
folder=$(mktemp -d)
server=
passed=0
failed=0

clean_up() {
    # Only what was started here, by its id.
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

# check NAME TEXT...: what was said last holds every text.
check() {
    local name=$1 text
    shift
    for text in "$@"; do
        if ! grep -qF -- "$text" <<<"$said"; then
            failed=$((failed + 1))
            printf 'FAILED: %s: no %s in:\n%s\n' "$name" "$text" "$said"
            return
        fi
    done
    passed=$((passed + 1))
    printf 'ok: %s\n' "$name"
}

# call EXIT-CODE ARGUMENTS...: asks, keeps what is said, and holds it against the expected exit code.
call() {
    local expected=$1 code=0
    shift
    said=$("$grpcurl" -plaintext -max-time 30 "$@" 2>&1) || code=$?
    [ "$code" -eq "$expected" ] || said="exit code $code instead of $expected: $said"
    [ "$code" -eq "$expected" ] || { failed=$((failed + 1)); printf 'FAILED: grpcurl %s: %s\n' "$*" "$said"; }
}

# It is there before anybody reads it.
: >"$folder/log"
"$soloist" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --log-format json 2>>"$folder/log" >/dev/null &
server=$!
# The port is free because the system chose it; the log names it once calls are taken.
for _ in $(seq 600); do
    address=$(sed -n '/"ready"/s/.*"address":"\([^"]*\)".*/\1/p' "$folder/log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
[ -n "$address" ] || { echo "the server is not ready:" >&2; cat "$folder/log" >&2; exit 1; }

orchestration=soloist.v1.OrchestrationService

call 0 "$address" list
check "list names the services" $orchestration soloist.v1.WorkerService soloist.v1.MaintenanceService grpc.health.v1.Health \
    TaskHubSidecarService
call 0 "$address" list $orchestration
check "list names the methods" $orchestration.StartSingleton $orchestration.WatchStatus
call 0 "$address" describe $orchestration
check "describe shows a service" \
    "rpc StartSingleton ( .soloist.v1.StartSingletonRequest ) returns ( .soloist.v1.StartSingletonResponse );" \
    "returns ( stream .soloist.v1.WatchStatusResponse );"
call 0 "$address" describe soloist.v1.WorkerService
check "describe shows a stream both ways" "rpc Work ( stream .soloist.v1.WorkRequest ) returns ( stream"
call 0 -msg-template "$address" describe soloist.v1.StartSingletonRequest
check "describe shows a message with its template" "string instance_id = 1;" '"instanceId": ""'

call 0 -d '{"service": "soloist.v1.OrchestrationService"}' "$address" grpc.health.v1.Health/Check
check "the health is known" '"status": "SERVING"'

start='{"instanceId": "nightly", "functionName": "report", "input": "{}", "requestId": "r-1"}'
call 0 -d "$start" "$address" $orchestration/StartSingleton
check "StartSingleton starts" '"outcome": "START_OUTCOME_STARTED"' '"runtimeStatus": "RUNTIME_STATUS_PENDING"'
call 0 -d "$start" "$address" $orchestration/StartSingleton
check "the same request again is deduplicated" START_OUTCOME_DEDUPLICATED '"firstOutcome": "START_OUTCOME_STARTED"'

# grpcurl exits with 64 and the code of the call: 70 is ALREADY_EXISTS, 69 NOT_FOUND, 67 INVALID_ARGUMENT.
call 70 -d '{"instanceId": "nightly", "functionName": "report"}' "$address" $orchestration/StartSingleton
check "another start is refused, with its details" "Code: AlreadyExists" \
    "Message: An instance with ID 'nightly' already exists." '"reason": "INSTANCE_ALREADY_RUNNING"' \
    '"@type": "type.googleapis.com/google.rpc.ErrorInfo"' '"@type": "type.googleapis.com/google.rpc.ResourceInfo"'
call 69 -d '{"instanceId": "nobody"}' "$address" $orchestration/GetStatus
check "an unknown id is not found" "Code: NotFound" '"reason": "INSTANCE_NOT_FOUND"'
call 67 -d '{"instanceId": "a/b"}' "$address" $orchestration/StartSingleton
check "what is wrong is named" "Code: InvalidArgument" '"field": "instance_id"' '"field": "function_name"'
call 69 -H 'taskhub: other' -d '{"instanceId": "nightly"}' "$address" $orchestration/GetStatus
check "another task hub has other instances" "Code: NotFound"

# A watch from the beginning to the end, which comes while it runs.
"$grpcurl" -plaintext -max-time 30 -d '{"instanceId": "nightly", "untilTerminal": true}' \
    "$address" $orchestration/WatchStatus >"$folder/watch" 2>&1 &
watch=$!
for _ in $(seq 300); do
    grep -q RUNTIME_STATUS_PENDING "$folder/watch" && break
    sleep 0.1
done
call 0 -d '{"instanceId": "nightly", "reason": "enough"}' "$address" $orchestration/TerminateInstance
check "TerminateInstance ends it" RUNTIME_STATUS_TERMINATED
code=0
wait "$watch" || code=$?
said="exit code $code: $(cat "$folder/watch")"
check "WatchStatus shows every transition and ends with the last one" "exit code 0" RUNTIME_STATUS_PENDING \
    RUNTIME_STATUS_TERMINATED '"terminationReason": "enough"'

kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
said="exit code $code: $(tail -n 5 "$folder/log")"
check "the server ends in order" "exit code 0"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
