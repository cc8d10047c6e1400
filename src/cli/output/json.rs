//! Results as JSON: protobuf's mapping with short names of enums. Fields that were not sent are left out; 64-bit
//! numbers are strings, since many readers of JSON keep only 53 bits.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use prost_types::Timestamp;
use serde::Serialize;

use crate::{
    cli::error::Report,
    client::WatchItem,
    proto::v1::{
        self, ConflictPolicy, HistoryEvent, HistoryEventType, InstanceStatus, RaiseEventResponse, RuntimeStatus,
        StartOutcome, StartSingletonResponse,
    },
    store::embedded,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    instance_id: &'a str,
    function_name: &'a str,
    version: &'a str,
    execution_id: &'a str,
    runtime_status: String,
    revision: String,
    fencing_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_start_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'a>>,
    tags: BTreeMap<&'a str, &'a str>,
    worker: &'a str,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_expires_at: Option<String>,
    pending_reason: &'a str,
    queued_starts: u32,
    omitted_payloads: &'a [String],
    termination_reason: &'a str,
}

/// A status with what waits behind it.
#[derive(Serialize)]
pub struct StatusAndQueue<'a> {
    #[serde(flatten)]
    status: Status<'a>,
    queue: Vec<QueuedStart<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueuedStart<'a> {
    execution_id: &'a str,
    function_name: &'a str,
    conflict_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    error_type: &'a str,
    message: &'a str,
    details: &'a str,
    non_retriable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started<'a> {
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_outcome: Option<String>,
    execution_id: &'a str,
    queue_position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched<'a> {
    status: Status<'a>,
    sequence: String,
    resync: bool,
    purged: bool,
}

/// All current statuses of a watch of many have been printed.
#[derive(Serialize)]
pub struct Synced {
    pub synced: bool,
}

/// The current statuses of a watch of many follow anew.
#[derive(Serialize)]
pub struct BeginsAgain {
    pub resync: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened<'a> {
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    r#type: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'a>>,
    worker: &'a str,
    attempt: u32,
    fencing_token: String,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    sequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<i32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance_id: &'a str,
}

#[derive(Serialize)]
pub struct Purged {
    pub purged: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised<'a> {
    execution_id: &'a str,
    sequence: String,
}

#[derive(Serialize)]
pub struct Health<'a> {
    pub service: &'a str,
    pub status: &'a str,
}

#[derive(Serialize)]
pub struct BackedUp {
    file: String,
    bytes: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    data_dir: String,
    bytes: String,
    revision: String,
}

#[derive(Serialize)]
pub struct Failed {
    pub error: Report,
}

/// One line.
pub fn object(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types hold nothing that JSON can't say: their keys are strings")
}

// === impl Status ===

impl<'a> Status<'a> {
    pub fn of(status: &'a InstanceStatus) -> Status<'a> {
        Status {
            instance_id: &status.instance_id,
            function_name: &status.function_name,
            version: &status.version,
            execution_id: &status.execution_id,
            runtime_status: short(status.runtime_status, "RUNTIME_STATUS_", |n| {
                RuntimeStatus::try_from(n).ok().map(|s| s.as_str_name())
            }),
            revision: status.revision.to_string(),
            fencing_token: status.fencing_token.to_string(),
            created_at: status.created_at.as_ref().and_then(moment),
            started_at: status.started_at.as_ref().and_then(moment),
            last_updated_at: status.last_updated_at.as_ref().and_then(moment),
            completed_at: status.completed_at.as_ref().and_then(moment),
            scheduled_start_at: status.scheduled_start_at.as_ref().and_then(moment),
            input: status.input.as_deref(),
            output: status.output.as_deref(),
            custom_status: status.custom_status.as_deref(),
            failure: status.failure.as_ref().map(Failure::of),
            tags: status.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            worker: &status.worker,
            attempt: status.attempt,
            lease_expires_at: status.lease_expires_at.as_ref().and_then(moment),
            pending_reason: &status.pending_reason,
            queued_starts: status.queued_starts,
            omitted_payloads: &status.omitted_payloads,
            termination_reason: &status.termination_reason,
        }
    }
}

// === impl StatusAndQueue ===

impl<'a> StatusAndQueue<'a> {
    pub fn of(status: &'a InstanceStatus, queue: &'a [v1::QueuedStart]) -> StatusAndQueue<'a> {
        StatusAndQueue { status: Status::of(status), queue: queue.iter().map(QueuedStart::of).collect() }
    }
}

// === impl QueuedStart ===

impl<'a> QueuedStart<'a> {
    fn of(start: &'a v1::QueuedStart) -> QueuedStart<'a> {
        QueuedStart {
            execution_id: &start.execution_id,
            function_name: &start.function_name,
            conflict_policy: short(start.conflict_policy, "CONFLICT_POLICY_", |n| {
                ConflictPolicy::try_from(n).ok().map(|policy| policy.as_str_name())
            }),
            queued_at: start.queued_at.as_ref().and_then(moment),
        }
    }
}

// === impl Failure ===

impl<'a> Failure<'a> {
    fn of(failure: &'a v1::Failure) -> Failure<'a> {
        let v1::Failure { error_type, message, details, non_retriable } = failure;
        Failure { error_type, message, details, non_retriable: *non_retriable }
    }
}

// === impl Started ===

impl<'a> Started<'a> {
    pub fn of(answer: &'a StartSingletonResponse) -> Started<'a> {
        let first = (answer.first_outcome() != StartOutcome::Unspecified).then(|| outcome(answer.first_outcome));
        Started {
            outcome: outcome(answer.outcome),
            first_outcome: first,
            execution_id: &answer.execution_id,
            queue_position: answer.queue_position,
            status: answer.status.as_deref().map(Status::of),
        }
    }
}

// === impl Watched ===

impl<'a> Watched<'a> {
    pub fn of(item: &'a WatchItem) -> Watched<'a> {
        let WatchItem { status, sequence, resync, purged } = item;
        Watched { status: Status::of(status), sequence: sequence.to_string(), resync: *resync, purged: *purged }
    }
}

// === impl Happened ===

impl<'a> Happened<'a> {
    pub fn of(event: &'a HistoryEvent) -> Happened<'a> {
        Happened {
            event_id: event.event_id.to_string(),
            timestamp: event.timestamp.as_ref().and_then(moment),
            r#type: short(event.r#type, "HISTORY_EVENT_TYPE_", |n| {
                HistoryEventType::try_from(n).ok().map(|kind| kind.as_str_name())
            }),
            name: &event.name,
            input: event.input.as_deref(),
            output: event.output.as_deref(),
            failure: event.failure.as_ref().map(Failure::of),
            worker: &event.worker,
            attempt: event.attempt,
            fencing_token: event.fencing_token.to_string(),
            reason: &event.reason,
            due_at: event.due_at.as_ref().and_then(moment),
            sequence: event.sequence.to_string(),
            task_id: event.task_id,
            instance_id: &event.instance_id,
        }
    }
}

// === impl Raised ===

impl<'a> Raised<'a> {
    pub fn of(answer: &'a RaiseEventResponse) -> Raised<'a> {
        Raised { execution_id: &answer.execution_id, sequence: answer.sequence.to_string() }
    }
}

// === impl BackedUp ===

impl BackedUp {
    pub fn of(file: &Path, bytes: u64) -> BackedUp {
        BackedUp { file: file.to_string_lossy().into_owned(), bytes: bytes.to_string() }
    }
}

// === impl Restored ===

impl Restored {
    pub fn of(folder: &Path, restored: &embedded::Restored) -> Restored {
        Restored {
            data_dir: folder.to_string_lossy().into_owned(),
            bytes: restored.bytes.to_string(),
            revision: restored.revision.to_string(),
        }
    }
}

fn outcome(number: i32) -> String {
    short(number, "START_OUTCOME_", |n| StartOutcome::try_from(n).ok().map(|o| o.as_str_name()))
}

/// The name of an enum's value without its prefix; the number if a newer server sent one that has no name here.
fn short(number: i32, prefix: &str, name: impl FnOnce(i32) -> Option<&'static str>) -> String {
    match name(number) {
        Some(name) => name.strip_prefix(prefix).unwrap_or(name).into(),
        None => number.to_string(),
    }
}

/// RFC 3339, to the microsecond.
fn moment(timestamp: &Timestamp) -> Option<String> {
    let time = SystemTime::try_from(*timestamp).ok()?;
    Some(humantime::format_rfc3339_micros(time).to_string())
}
