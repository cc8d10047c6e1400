//! An instance's status, as Durable Functions shows it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::chapters::Chapter;
use crate::proto::v1::{Failure, InstanceStatus, RuntimeStatus};

/// The statuses by their names.
const NAMES: [(RuntimeStatus, &str); 6] = [
    (RuntimeStatus::Pending, "Pending"),
    (RuntimeStatus::Running, "Running"),
    (RuntimeStatus::Suspended, "Suspended"),
    (RuntimeStatus::Completed, "Completed"),
    (RuntimeStatus::Failed, "Failed"),
    (RuntimeStatus::Terminated, "Terminated"),
];

/// The fields of Durable Functions, and after them what only this server knows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    name: String,
    instance_id: String,
    runtime_status: &'static str,
    input: Option<Box<RawValue>>,
    custom_status: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    created_time: String,
    last_updated_time: String,
    pub history_events: Option<Vec<Chapter>>,
    execution_id: String,
    revision: u64,
    attempt: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    worker: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pending_reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    omitted_payloads: Vec<String>,
}

impl From<InstanceStatus> for Shown {
    fn from(status: InstanceStatus) -> Shown {
        let runtime_status = name(status.runtime_status());
        let moment = |at: Option<prost_types::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let output = match status.runtime_status() {
            // There the pattern has the reason of the end for an output.
            RuntimeStatus::Failed => status.failure.map(|failure| literal(&told(&failure))),
            RuntimeStatus::Terminated => Some(literal(&status.termination_reason)),
            _ => status.output.map(value),
        };
        Shown {
            name: status.function_name,
            instance_id: status.instance_id,
            runtime_status,
            input: status.input.map(value),
            custom_status: status.custom_status.map(value),
            output,
            created_time: moment(status.created_at),
            last_updated_time: moment(status.last_updated_at),
            history_events: None,
            execution_id: status.execution_id,
            revision: status.revision,
            attempt: status.attempt,
            worker: status.worker,
            pending_reason: status.pending_reason,
            omitted_payloads: status.omitted_payloads,
        }
    }
}

pub fn name(status: RuntimeStatus) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == status).map_or("Unspecified", |(_, name)| name)
}

/// The status of that name, in whatever case.
pub fn named(text: &str) -> Option<RuntimeStatus> {
    NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(status, _)| *status)
}

/// One sentence that says why it failed.
pub fn told(failure: &Failure) -> String {
    format!("{}: {}", failure.error_type, failure.message)
}

/// A payload as the JSON that it is by convention, digit by digit; as a string where it is none.
pub fn value(payload: String) -> Box<RawValue> {
    RawValue::from_string(payload.clone()).unwrap_or_else(|_| literal(&payload))
}

fn literal(text: &str) -> Box<RawValue> {
    let quoted = serde_json::Value::from(text).to_string();
    // A JSON string is JSON.
    RawValue::from_string(quoted).unwrap_or_default()
}
