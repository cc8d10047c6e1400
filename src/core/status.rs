//! What callers see of an instance.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ids::{Arrival, ExecutionId, FencingToken, InstanceKey, Name, PayloadRow, Revision},
    policy::{RetryPolicy, WorkerKind},
    rare::Rare,
    time::{Span, Steady, Timestamp},
    turn::Parent,
};

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Pending,
    Running,
    Suspended,
    Completed,
    Failed,
    Terminated,
}

/// Why an execution or an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    pub error_type: String,
    pub message: String,
    pub details: String,
    pub non_retriable: bool,
    /// All that a Durable Task worker said of it, in that protocol's bytes: causes and properties too.
    pub origin: Option<Arc<[u8]>>,
}

/// What an execution was started with and keeps to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub function: Name,
    /// One that is empty and none are the same to workers' filters, but told as they were given.
    pub version: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub worker_kind: WorkerKind,
    pub retry: RetryPolicy,
    pub start_deadline: Option<Span>,
    pub run_timeout: Option<Span>,
    /// Not handed out before.
    pub start_at: Option<Timestamp>,
    /// The execution that it is a sub-orchestration of.
    pub parent: Option<Arc<Parent>>,
    /// The caller's trace context, in the Durable Task protocol's bytes.
    pub trace: Option<Arc<[u8]>>,
}

/// One run of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub id: ExecutionId,
    pub spec: Arc<Spec>,
    pub status: Status,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub last_updated_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    /// The rows that hold the payloads.
    pub input: Option<PayloadRow>,
    pub output: Option<PayloadRow>,
    pub custom_status: Option<PayloadRow>,
    /// Of the execution if it is Failed, else of its latest attempt.
    pub failure: Option<Arc<Failure>>,
    pub termination_reason: Option<Arc<str>>,
    /// The number of the latest attempt, from 1.
    pub attempt: u32,
    /// How many attempts a worker accepted: those count.
    pub accepted_attempts: u32,
    /// What it goes on as when it is resumed; only while it is suspended.
    pub resumes_as: Option<Status>,
    /// What time alone will do to it.
    pub due: Rare<Due>,
    /// How many rows of history were written.
    pub history: u64,
}

/// What time alone will do to an execution, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Due {
    /// When it may be handed out, while that lies ahead.
    pub scheduled: Option<Steady>,
    /// When the first grant must have happened.
    pub start_by: Option<Steady>,
    /// What was left of the start deadline when it was suspended.
    pub start_left: Option<Span>,
    /// When the run must have ended.
    pub run_until: Option<Steady>,
    /// When the next attempt is due; no grant before.
    pub retry_at: Option<Steady>,
}

/// An instance as it stood at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub key: InstanceKey,
    pub revision: Revision,
    pub fencing_token: FencingToken,
    pub execution: Execution,
    /// Who holds the lease, also one that outlasts its execution.
    pub worker: Option<Name>,
    pub lease_expires_at: Option<Timestamp>,
    /// How many starts wait behind it.
    pub queued_starts: u32,
    /// The place in the queue, from 1, of an execution that waits there; else 0.
    pub queue_position: u32,
    /// The instance was purged: callers are not shown it.
    pub purged: bool,
}

/// A change that watchers see, with its number: per instance, from 1, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub sequence: u64,
    pub view: View,
}

/// What watchers are told.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The arrival of the instance that it is about.
    pub arrival: Arrival,
    pub told: Told,
    /// The function of the execution before, if the one that begins with this has another.
    pub left: Option<Name>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A change of the instance, with its number.
    Transition(Transition),
    /// A start was withdrawn from the queue: those who watch its execution care.
    Withdrawn(View),
    /// The instance was purged; this is its last transition.
    Purged(Transition),
}

impl Status {
    pub fn is_live(self) -> bool {
        matches!(self, Status::Pending | Status::Running | Status::Suspended)
    }

    /// The field's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Running => "Running",
            Status::Suspended => "Suspended",
            Status::Completed => "Completed",
            Status::Failed => "Failed",
            Status::Terminated => "Terminated",
        }
    }
}

impl Spec {
    /// None is one that is empty.
    pub fn version(&self) -> &str {
        self.version.as_deref().unwrap_or_default()
    }
}

impl Execution {
    const REPLACED: &str = "replaced by execution ";

    /// Why an execution ends that another one takes the place of.
    pub fn replaced_reason(by: ExecutionId) -> String {
        format!("{}{by}", Self::REPLACED)
    }

    /// The execution that took its place, as far as its reason tells.
    pub fn replaced_by(&self) -> Option<ExecutionId> {
        let by = self.termination_reason.as_deref()?.strip_prefix(Self::REPLACED)?;
        ExecutionId::parse(by).ok()
    }
}

impl News {
    pub fn view(&self) -> &View {
        match &self.told {
            Told::Transition(transition) | Told::Purged(transition) => &transition.view,
            Told::Withdrawn(view) => view,
        }
    }
}

impl Failure {
    /// A failure that the server itself declares.
    pub fn declared(error_type: &str, message: String) -> Failure {
        Failure { error_type: error_type.into(), message, details: String::new(), non_retriable: true, origin: None }
    }
}
