//! What the rows hold: instances, transitions, queued starts, events, histories and remembered requests, to bytes and
//! back.

mod history;
mod queue;
mod turn;
mod view;

use std::sync::Arc;

use prost::Message;

pub use self::{
    history::{Noted, decode_history, decode_noted, encode_history, encode_note},
    queue::{decode_queued, encode_queued},
    turn::{
        Incoming, Letter, decode_incoming, decode_letter, decode_mark, decode_task, encode_letter, encode_mark,
        encode_outcome, encode_task, failure_details, is_end, sent_event,
    },
    view::{decode_names, decode_view},
};
use crate::{
    core::{
        command::Payload,
        ids::{Arrival, ClaimId, ExecutionId, InstanceKey, Name, PayloadRow, Revision},
        instance::{Instance, Purged},
        lease::{Cancellation, FinalReport, Lease, Proof},
        policy::{RetryPolicy, WorkerKind},
        queue::Queue,
        request::{Memory, Outcome, Remembered},
        status::{Due, Execution, Failure, Spec, Status, Transition, View},
        time::{Now, Span, Steady, Timestamp},
    },
    proto::store as disk,
};

/// The bytes of a row are not what this version writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undecodable(String);

/// An instance as its record holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    pub key: InstanceKey,
    /// Without its remembered requests, queued starts and tasks, which have rows of their own.
    pub instance: Instance,
    /// How many starts wait.
    pub queued_starts: u32,
}

/// An external event as its row holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxEvent {
    pub sequence: u64,
    pub name: String,
    pub input: Option<String>,
    pub raised_at: Timestamp,
}

pub fn encode_instance(key: &InstanceKey, instance: &Instance) -> Vec<u8> {
    disk::InstanceRecord {
        task_hub: key.hub().into(),
        instance_id: key.id().into(),
        born: instance.born.0,
        revision: instance.revision.0,
        sequence: instance.sequence,
        fencing_token: instance.fencing_token.0,
        execution: Some(execution_to_disk(&instance.execution)),
        lease: instance.lease.as_deref().map(lease_to_disk),
        last_report: instance.last_report.as_deref().map(|report| disk::FinalReport {
            token: report.proof.token.0,
            claim: report.proof.claim.0.to_vec(),
            digest: report.digest.to_be_bytes().to_vec(),
        }),
        inbox_after: instance.inbox_after,
        inbox_last: instance.inbox_last,
        purged: instance
            .purged
            .as_deref()
            .map(|purged| disk::Purged { forget_at: purged.forget_at.map(|at| at.as_micros()) }),
        queued_starts: instance.queue.len(),
        former_outputs: instance.former_outputs.into_iter().map(|row| row.number()).collect(),
        turns: instance.turns.as_deref().map(turn::turns_to_disk),
    }
    .encode_to_vec()
}

/// A lease counts anew from `now`.
pub fn decode_instance(arrival: Arrival, bytes: &[u8], now: Now) -> Result<Recovered, Undecodable> {
    let record = disk::InstanceRecord::decode(bytes).map_err(undecodable)?;
    let key = key_from_disk(&record.task_hub, &record.instance_id)?;
    let instance = Instance {
        arrival,
        born: Revision(record.born),
        revision: Revision(record.revision),
        sequence: record.sequence,
        fencing_token: Revision(record.fencing_token),
        execution: execution_from_disk(present(record.execution, "execution")?)?,
        lease: record.lease.map(|lease| lease_from_disk(lease, now.steady)).transpose()?.map(Box::new),
        last_report: record.last_report.map(report_from_disk).transpose()?.map(Box::new),
        inbox_after: record.inbox_after,
        inbox_last: record.inbox_last,
        memory: Memory::default(),
        queue: Queue::default(),
        former_outputs: record.former_outputs.into_iter().filter_map(PayloadRow::new).collect::<Vec<_>>().into(),
        turns: record.turns.map(turn::turns_from_disk).map(Box::new),
        turn_held: None,
        purged: record.purged.map(|purged| Box::new(Purged { forget_at: purged.forget_at.map(Steady::from_micros) })),
    };
    Ok(Recovered { key, instance, queued_starts: record.queued_starts })
}

pub fn encode_transition(view: &View) -> Vec<u8> {
    disk::Transition {
        revision: view.revision.0,
        fencing_token: view.fencing_token.0,
        execution: Some(execution_to_disk(&view.execution)),
        worker: view.worker.as_ref().map(Name::to_string).unwrap_or_default(),
        lease_expires_at: view.lease_expires_at.map(|at| at.as_micros()),
        queued_starts: view.queued_starts,
    }
    .encode_to_vec()
}

pub fn decode_transition(key: &InstanceKey, sequence: u64, bytes: &[u8]) -> Result<Transition, Undecodable> {
    let row = disk::Transition::decode(bytes).map_err(undecodable)?;
    let view = View {
        key: key.clone(),
        revision: Revision(row.revision),
        fencing_token: Revision(row.fencing_token),
        execution: execution_from_disk(present(row.execution, "execution")?)?,
        worker: Some(row.worker).filter(|worker| !worker.is_empty()).map(|worker| name(&worker)).transpose()?,
        lease_expires_at: row.lease_expires_at.map(Timestamp::from_micros),
        queued_starts: row.queued_starts,
        queue_position: 0,
        purged: false,
    };
    Ok(Transition { sequence, view })
}

pub fn encode_event(name: &Name, input: Option<&Payload>, raised_at: Timestamp) -> Vec<u8> {
    disk::ExternalEvent {
        name: name.to_string(),
        input: input.map(|input| input.to_string()),
        raised_at: raised_at.as_micros(),
        task_ended: None,
    }
    .encode_to_vec()
}

pub fn decode_event(sequence: u64, bytes: &[u8]) -> Result<InboxEvent, Undecodable> {
    let row = disk::ExternalEvent::decode(bytes).map_err(undecodable)?;
    Ok(InboxEvent { sequence, name: row.name, input: row.input, raised_at: Timestamp::from_micros(row.raised_at) })
}

pub fn encode_request(remembered: &Remembered) -> Vec<u8> {
    disk::RememberedRequest {
        request_id: remembered.id.clone(),
        digest: remembered.digest.to_be_bytes().to_vec(),
        outcome: match remembered.outcome {
            Outcome::Started => 1,
            Outcome::Joined => 2,
            Outcome::Replaced => 3,
            Outcome::Queued => 4,
            Outcome::Coalesced => 5,
        },
        execution: remembered.execution.0.to_vec(),
        accepted_at: remembered.accepted_at.as_micros(),
    }
    .encode_to_vec()
}

pub fn decode_request(bytes: &[u8]) -> Result<Remembered, Undecodable> {
    let row = disk::RememberedRequest::decode(bytes).map_err(undecodable)?;
    Ok(Remembered {
        id: row.request_id,
        digest: u128::from_be_bytes(sixteen(&row.digest, "digest")?),
        outcome: match row.outcome {
            1 => Outcome::Started,
            2 => Outcome::Joined,
            3 => Outcome::Replaced,
            4 => Outcome::Queued,
            5 => Outcome::Coalesced,
            other => return Err(unknown("outcome", other)),
        },
        execution: ExecutionId(sixteen(&row.execution, "execution")?),
        accepted_at: Steady::from_micros(row.accepted_at),
    })
}

fn execution_to_disk(execution: &Execution) -> disk::Execution {
    let (spec, due) = (&execution.spec, execution.due.value());
    disk::Execution {
        id: execution.id.0.to_vec(),
        function: spec.function.to_string(),
        version: spec.version.clone(),
        tags: spec.tags.clone(),
        worker_kind: match spec.worker_kind {
            WorkerKind::Any => 1,
            WorkerKind::Native => 2,
            WorkerKind::DurableTask => 3,
        },
        status: status_to_disk(execution.status),
        created_at: execution.created_at.as_micros(),
        started_at: execution.started_at.map(|at| at.as_micros()),
        last_updated_at: execution.last_updated_at.as_micros(),
        completed_at: execution.completed_at.map(|at| at.as_micros()),
        input: execution.input.map_or(0, PayloadRow::number),
        output: execution.output.map_or(0, PayloadRow::number),
        custom_status: execution.custom_status.map_or(0, PayloadRow::number),
        failure: execution.failure.as_deref().map(failure_to_disk),
        termination_reason: execution.termination_reason.as_deref().unwrap_or_default().into(),
        attempt: execution.attempt,
        accepted_attempts: execution.accepted_attempts,
        retry: Some(disk::Retry {
            max_attempts: spec.retry.max_attempts,
            initial_backoff: spec.retry.initial_backoff.as_micros(),
            max_backoff: spec.retry.max_backoff.as_micros(),
            multiplier: spec.retry.multiplier,
        }),
        start_deadline: spec.start_deadline.map(Span::as_micros),
        run_timeout: spec.run_timeout.map(Span::as_micros),
        start_by: due.start_by.map(Steady::as_micros),
        run_until: due.run_until.map(Steady::as_micros),
        retry_at: due.retry_at.map(Steady::as_micros),
        resumes_as: execution.resumes_as.map_or(0, status_to_disk),
        scheduled: due.scheduled.map(Steady::as_micros),
        start_left: due.start_left.map(Span::as_micros),
        history: execution.history,
        start_at: spec.start_at.map(|at| at.as_micros()),
        parent: spec.parent.as_deref().map(turn::parent_to_disk),
        trace: spec.trace.as_deref().map(<[u8]>::to_vec),
    }
}

fn execution_from_disk(row: disk::Execution) -> Result<Execution, Undecodable> {
    let retry = present(row.retry, "retry")?;
    let spec = Spec {
        function: name(&row.function)?,
        version: row.version,
        tags: row.tags,
        worker_kind: match row.worker_kind {
            1 => WorkerKind::Any,
            2 => WorkerKind::Native,
            3 => WorkerKind::DurableTask,
            other => return Err(unknown("worker kind", other)),
        },
        retry: RetryPolicy {
            max_attempts: retry.max_attempts,
            initial_backoff: Span::from_micros(retry.initial_backoff),
            max_backoff: Span::from_micros(retry.max_backoff),
            multiplier: retry.multiplier,
        },
        start_deadline: row.start_deadline.map(Span::from_micros),
        run_timeout: row.run_timeout.map(Span::from_micros),
        start_at: row.start_at.map(Timestamp::from_micros),
        parent: row.parent.map(turn::parent_from_disk).transpose()?.map(Arc::new),
        trace: row.trace.map(Arc::from),
    };
    let due = Due {
        scheduled: row.scheduled.map(Steady::from_micros),
        start_by: row.start_by.map(Steady::from_micros),
        start_left: row.start_left.map(Span::from_micros),
        run_until: row.run_until.map(Steady::from_micros),
        retry_at: row.retry_at.map(Steady::from_micros),
    };
    Ok(Execution {
        id: ExecutionId(sixteen(&row.id, "execution id")?),
        spec: Arc::new(spec),
        status: status_from_disk(row.status)?,
        created_at: Timestamp::from_micros(row.created_at),
        started_at: row.started_at.map(Timestamp::from_micros),
        last_updated_at: Timestamp::from_micros(row.last_updated_at),
        completed_at: row.completed_at.map(Timestamp::from_micros),
        input: PayloadRow::new(row.input),
        output: PayloadRow::new(row.output),
        custom_status: PayloadRow::new(row.custom_status),
        failure: row.failure.map(failure_from_disk).map(Arc::new),
        termination_reason: Some(row.termination_reason)
            .filter(|_| row.status == 6)
            .map(|reason| Arc::from(reason.as_str())),
        attempt: row.attempt,
        accepted_attempts: row.accepted_attempts,
        resumes_as: (row.resumes_as != 0).then(|| status_from_disk(row.resumes_as)).transpose()?,
        due: due.into(),
        history: row.history,
    })
}

fn status_to_disk(status: Status) -> u32 {
    match status {
        Status::Pending => 1,
        Status::Running => 2,
        Status::Suspended => 3,
        Status::Completed => 4,
        Status::Failed => 5,
        Status::Terminated => 6,
    }
}

fn status_from_disk(number: u32) -> Result<Status, Undecodable> {
    Ok(match number {
        1 => Status::Pending,
        2 => Status::Running,
        3 => Status::Suspended,
        4 => Status::Completed,
        5 => Status::Failed,
        6 => Status::Terminated,
        other => return Err(unknown("status", other)),
    })
}

fn failure_to_disk(failure: &Failure) -> disk::Failure {
    disk::Failure {
        error_type: failure.error_type.clone(),
        message: failure.message.clone(),
        details: failure.details.clone(),
        non_retriable: failure.non_retriable,
        origin: failure.origin.as_deref().map(<[u8]>::to_vec),
    }
}

fn failure_from_disk(row: disk::Failure) -> Failure {
    Failure {
        error_type: row.error_type,
        message: row.message,
        details: row.details,
        non_retriable: row.non_retriable,
        origin: row.origin.map(Arc::from),
    }
}

fn lease_to_disk(lease: &Lease) -> disk::Lease {
    disk::Lease {
        token: lease.token.0,
        claim: lease.claim.0.to_vec(),
        worker: lease.worker.to_string(),
        execution: lease.execution.0.to_vec(),
        ttl: lease.ttl.as_micros(),
        accepted: lease.accepted,
        cancelled: match lease.cancelled {
            None => 0,
            Some(Cancellation::Terminated) => 1,
            Some(Cancellation::Replaced) => 2,
            Some(Cancellation::TimedOut) => 3,
        },
    }
}

fn lease_from_disk(row: disk::Lease, now: Steady) -> Result<Lease, Undecodable> {
    let ttl = Span::from_micros(row.ttl);
    Ok(Lease {
        token: Revision(row.token),
        claim: ClaimId(sixteen(&row.claim, "claim")?),
        worker: name(&row.worker)?,
        execution: ExecutionId(sixteen(&row.execution, "execution")?),
        ttl,
        accepted: row.accepted,
        cancelled: match row.cancelled {
            0 => None,
            1 => Some(Cancellation::Terminated),
            2 => Some(Cancellation::Replaced),
            3 => Some(Cancellation::TimedOut),
            other => return Err(unknown("cancellation", other)),
        },
        expires_at: now + ttl,
    })
}

fn report_from_disk(row: disk::FinalReport) -> Result<FinalReport, Undecodable> {
    Ok(FinalReport {
        proof: Proof { token: Revision(row.token), claim: ClaimId(sixteen(&row.claim, "claim")?) },
        digest: u128::from_be_bytes(sixteen(&row.digest, "digest")?),
    })
}

fn key_from_disk(hub: &str, id: &str) -> Result<InstanceKey, Undecodable> {
    InstanceKey::parse(hub, id).map_err(undecodable)
}

fn name(text: &str) -> Result<Name, Undecodable> {
    Name::parse(text).map_err(undecodable)
}

fn present<T>(value: Option<T>, what: &str) -> Result<T, Undecodable> {
    value.ok_or_else(|| Undecodable(format!("{what} is missing")))
}

fn sixteen(bytes: &[u8], what: &str) -> Result<[u8; 16], Undecodable> {
    bytes.try_into().map_err(|_| Undecodable(format!("{what} has {} bytes, not 16", bytes.len())))
}

fn unknown(what: &str, number: u32) -> Undecodable {
    Undecodable(format!("{what} {number} is not known to this version"))
}

fn undecodable(error: impl std::fmt::Display) -> Undecodable {
    Undecodable(error.to_string())
}
