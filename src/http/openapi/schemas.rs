//! What answers look like.

use serde_json::{Value, json};

pub fn schemas() -> Value {
    json!({
        "CheckStatus": check_status(),
        "Status": status(),
        "Statuses": { "type": "array", "items": { "$ref": "#/components/schemas/Status" } },
        "HistoryEvent": history_event(),
        "Event": object(&["sequence", "resync", "purged", "status"], json!({
            "sequence": whole(),
            "resync": { "type": "boolean" },
            "purged": { "type": "boolean" },
            "status": { "$ref": "#/components/schemas/Status" },
        })),
        "Purged": object(&["instancesDeleted"], json!({ "instancesDeleted": whole() })),
        "Problem": problem(),
        "Description": { "type": "object" },
    })
}

fn check_status() -> Value {
    let names = [
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    ];
    let mut properties = json!({
        "id": text(),
        "outcome": { "enum": ["STARTED", "JOINED", "REPLACED", "QUEUED", "COALESCED", "DEDUPLICATED"] },
        "executionId": text(),
    });
    for name in names {
        properties[name] =
            json!({ "type": "string", "description": "A URL; what stands in braces is to be replaced." });
    }
    object(&[&["id", "outcome", "executionId"], &names[..]].concat(), properties)
}

fn status() -> Value {
    let required = [
        "name",
        "instanceId",
        "runtimeStatus",
        "input",
        "customStatus",
        "output",
        "createdTime",
        "lastUpdatedTime",
        "historyEvents",
        "executionId",
        "revision",
        "attempt",
    ];
    object(
        &required,
        json!({
            "name": text(),
            "instanceId": text(),
            "runtimeStatus": { "enum": ["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"] },
            "input": {},
            "customStatus": {},
            "output": {},
            "createdTime": moment(),
            "lastUpdatedTime": moment(),
            "historyEvents": {
                "type": ["array", "null"],
                "items": { "$ref": "#/components/schemas/HistoryEvent" },
            },
            "executionId": text(),
            "revision": whole(),
            "attempt": whole(),
            "worker": text(),
            "pendingReason": text(),
            "omittedPayloads": { "type": "array", "items": text() },
        }),
    )
}

fn history_event() -> Value {
    object(
        &["EventType", "Timestamp"],
        json!({
            "EventType": text(),
            "Timestamp": moment(),
            "OrchestrationStatus": { "enum": ["Completed", "Failed", "Terminated"] },
            "FunctionName": text(),
            "Name": text(),
            "Input": {},
            "Result": {},
            "Reason": text(),
            "Worker": text(),
            "Attempt": whole(),
            "FireAt": moment(),
        }),
    )
}

fn problem() -> Value {
    let violation = object(&["field", "description"], json!({ "field": text(), "description": text() }));
    object(
        &["type", "title", "status", "detail", "reason"],
        json!({
            "type": text(),
            "title": text(),
            "status": whole(),
            "detail": text(),
            "reason": text(),
            "metadata": { "type": "object", "additionalProperties": text() },
            "violations": { "type": "array", "items": violation },
        }),
    )
}

/// More may come in later versions.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}
