//! Results for people.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use prost_types::Timestamp;

use super::paint::Paint;
use crate::{
    cli::error,
    client::{Interruption, WatchItem},
    proto::v1::{
        ConflictPolicy, Failure, InstanceStatus, QueuedStart, RaiseEventResponse, RuntimeStatus, StartOutcome,
        StartSingletonResponse,
    },
    store::embedded::Restored,
};

/// Names and values, one line each; values of several lines are indented.
#[derive(Default)]
pub struct Rows(Vec<(String, String)>);

pub fn status(status: &InstanceStatus, queue: &[QueuedStart], paint: Paint) -> String {
    let mut rows = Rows::default();
    rows.instance(status, paint);
    for (place, start) in (1..).zip(queue) {
        let QueuedStart { execution_id, function_name, .. } = start;
        let policy = match start.conflict_policy() {
            ConflictPolicy::Coalesce => "coalesce",
            ConflictPolicy::Unspecified
            | ConflictPolicy::Fail
            | ConflictPolicy::UseExisting
            | ConflictPolicy::Replace
            | ConflictPolicy::Queue => "queue",
        };
        let since = start.queued_at.as_ref().map(moment).unwrap_or_default();
        rows.add(&format!("queued {place}"), &format!("{execution_id}  {since}  {policy:8}  {function_name}"));
    }
    rows.to_text()
}

pub fn started(answer: &StartSingletonResponse, paint: Paint) -> String {
    let mut rows = Rows::default();
    let outcome = match answer.first_outcome() {
        StartOutcome::Unspecified => outcome(answer.outcome()).to_owned(),
        first => format!("{}; the first request: {}", outcome(answer.outcome()), outcome(first)),
    };
    rows.add("outcome", &outcome);
    if answer.queue_position != 0 {
        rows.add("place in the queue", &answer.queue_position.to_string());
    }
    let status = answer.status.as_ref();
    // With a request that was done before, the instance may be further on than the execution that it started.
    if status.is_none_or(|status| status.execution_id != answer.execution_id) {
        rows.add("execution of the request", &answer.execution_id);
    }
    if let Some(status) = status {
        rows.instance(status, paint);
    }
    rows.to_text()
}

pub fn purged(count: u64) -> String {
    let mut rows = Rows::default();
    rows.add("purged", &count.to_string());
    rows.to_text()
}

pub fn raised(answer: &RaiseEventResponse) -> String {
    let mut rows = Rows::default();
    rows.add("event", &answer.sequence.to_string());
    rows.add("execution", &answer.execution_id);
    rows.to_text()
}

pub fn backed_up(file: &Path, bytes: u64) -> String {
    let mut rows = Rows(Vec::new());
    rows.add("file", &file.to_string_lossy());
    rows.add("bytes", &bytes.to_string());
    rows.to_text()
}

pub fn restored(folder: &Path, restored: &Restored) -> String {
    let mut rows = Rows(Vec::new());
    rows.add("data folder", &folder.to_string_lossy());
    rows.add("bytes", &restored.bytes.to_string());
    rows.add("revisions from", &restored.revision.to_string());
    rows.to_text()
}

/// Widths are fixed, since the rows are not known yet when the first one is printed.
pub fn watch_head() -> String {
    row(["UPDATED", "SEQUENCE", "REVISION", "STATUS", "ATTEMPT", "EXECUTION", "WORKER"].map(String::from), |s| s)
}

/// As above, with each item's instance instead of its execution.
pub fn watch_of_many_head() -> String {
    row(["UPDATED", "SEQUENCE", "REVISION", "STATUS", "ATTEMPT", "INSTANCE", "WORKER"].map(String::from), |s| s)
}

pub fn watched(item: &WatchItem, paint: Paint) -> String {
    watched_as(item, &item.status.execution_id, paint)
}

pub fn watched_among_many(item: &WatchItem, paint: Paint) -> String {
    watched_as(item, &item.status.instance_id, paint)
}

fn watched_as(item: &WatchItem, name: &str, paint: Paint) -> String {
    let status = &item.status;
    let runtime = status.runtime_status();
    let cells = [
        status.last_updated_at.as_ref().map(moment).unwrap_or_default(),
        item.sequence.to_string(),
        status.revision.to_string(),
        status_name(runtime).into(),
        status.attempt.to_string(),
        name.into(),
        status.worker.clone(),
    ];
    let mut notes = Rows::default();
    notes.payloads(status);
    notes.ending(status);
    notes.add("pending", &status.pending_reason);
    if item.purged {
        notes.add("purged", "the instance is deleted");
    }
    row(cells, |cell| paint.status(runtime, &cell)) + &notes.to_notes()
}

pub fn interrupted(interruption: &Interruption) -> String {
    let Interruption { error, wait, after_revision } = interruption;
    let why = error.as_ref().map_or("the server ended the stream".into(), error::told);
    let from = match after_revision {
        Some(revision) => format!("resuming after revision {revision}"),
        None => "beginning again".into(),
    };
    format!("connection lost ({why}); {from} in {} ms", wait.as_millis())
}

pub fn progress(status: &InstanceStatus) -> String {
    let InstanceStatus { instance_id, execution_id, attempt, worker, .. } = status;
    let by = if worker.is_empty() { String::new() } else { format!(", by {worker}") };
    format!("{instance_id}: {} (execution {execution_id}, attempt {attempt}{by})", status_name(status.runtime_status()))
}

// === impl Rows ===

impl Rows {
    pub fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push((name.into(), value.into()));
        }
    }

    fn instance(&mut self, status: &InstanceStatus, paint: Paint) {
        let runtime = status.runtime_status();
        self.add("instance", &status.instance_id);
        self.add("function", &status.function_name);
        self.add("version", &status.version);
        self.add("execution", &status.execution_id);
        self.add("status", &paint.status(runtime, status_name(runtime)));
        self.add("pending", &status.pending_reason);
        self.add("revision", &status.revision.to_string());
        if status.fencing_token != 0 {
            self.add("fencing token", &status.fencing_token.to_string());
        }
        if status.attempt != 0 {
            self.add("attempt", &status.attempt.to_string());
        }
        self.add("worker", &status.worker);
        self.moment("lease expires", status.lease_expires_at.as_ref());
        if status.queued_starts != 0 {
            self.add("queued starts", &status.queued_starts.to_string());
        }
        self.moment("scheduled start", status.scheduled_start_at.as_ref());
        self.moment("created", status.created_at.as_ref());
        self.moment("started", status.started_at.as_ref());
        self.moment("last updated", status.last_updated_at.as_ref());
        self.moment("completed", status.completed_at.as_ref());
        for (key, value) in status.tags.iter().collect::<BTreeMap<_, _>>() {
            self.add("tag", &format!("{key}={value}"));
        }
        self.payloads(status);
        self.ending(status);
    }

    fn payloads(&mut self, status: &InstanceStatus) {
        let payloads = [("input", &status.input), ("output", &status.output), ("custom status", &status.custom_status)];
        for (name, payload) in payloads {
            self.add(name, payload.as_deref().unwrap_or_default());
        }
        self.add("left out", &status.omitted_payloads.join(", "));
    }

    fn ending(&mut self, status: &InstanceStatus) {
        self.failure(status.failure.as_ref());
        self.add("reason", &status.termination_reason);
    }

    pub fn failure(&mut self, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            self.add("failure", &format!("{}: {}", failure.error_type, failure.message));
            self.add("details", &failure.details);
        }
    }

    fn moment(&mut self, name: &str, timestamp: Option<&Timestamp>) {
        self.add(name, &timestamp.map(moment).unwrap_or_default());
    }

    /// The rows below a line that they say more about.
    pub fn to_notes(&self) -> String {
        self.to_text().lines().map(|line| format!("  {line}\n")).collect()
    }

    fn to_text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let indent = format!("\n{:width$}  ", "");
        self.0.iter().map(|(name, value)| format!("{name:width$}  {}\n", value.replace('\n', &indent))).collect()
    }
}

fn row(cells: [String; 7], paint: impl FnOnce(String) -> String) -> String {
    let [updated, sequence, revision, status, attempt, execution, worker] = cells;
    let status = paint(format!("{status:10}"));
    let text = format!("{updated:24}  {sequence:>8}  {revision:>10}  {status}  {attempt:>7}  {execution:32}  {worker}");
    format!("{}\n", text.trim_end())
}

pub fn status_name(status: RuntimeStatus) -> &'static str {
    match status {
        RuntimeStatus::Unspecified => "unknown",
        RuntimeStatus::Pending => "Pending",
        RuntimeStatus::Running => "Running",
        RuntimeStatus::Suspended => "Suspended",
        RuntimeStatus::Completed => "Completed",
        RuntimeStatus::Failed => "Failed",
        RuntimeStatus::Terminated => "Terminated",
    }
}

fn outcome(outcome: StartOutcome) -> &'static str {
    match outcome {
        StartOutcome::Unspecified => "unknown",
        StartOutcome::Started => "started",
        StartOutcome::Joined => "joined",
        StartOutcome::Replaced => "replaced",
        StartOutcome::Queued => "queued",
        StartOutcome::Coalesced => "coalesced",
        StartOutcome::Deduplicated => "deduplicated",
    }
}

/// RFC 3339, to the millisecond; what can't be a time is shown as it came.
pub fn moment(timestamp: &Timestamp) -> String {
    shown(timestamp, humantime::format_rfc3339_millis)
}

/// Like `moment`, where there is little room.
pub fn second(timestamp: &Timestamp) -> String {
    shown(timestamp, humantime::format_rfc3339_seconds)
}

fn shown<T: ToString>(timestamp: &Timestamp, format: impl FnOnce(SystemTime) -> T) -> String {
    match SystemTime::try_from(*timestamp) {
        Ok(time) => format(time).to_string(),
        Err(_) => format!("{}.{:09}s", timestamp.seconds, timestamp.nanos),
    }
}
