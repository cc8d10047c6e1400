//! What is asked of an instance. Whoever holds a command holds a valid one.

use std::sync::Arc;

use super::{
    ids::{ClaimId, CompletionToken, ExecutionId, InstanceId, Name, Revision},
    lease::Proof,
    policy::{ConflictPolicy, Replaceable},
    request::{Digest, Request},
    status::{Failure, Spec},
    time::{Span, Timestamp},
    turn::{Message, Note, TaskOutcome},
};

/// A text that is never interpreted.
pub type Payload = Arc<str>;

/// What is asked of one instance.
#[derive(Clone, Debug)]
pub enum Command {
    Start(Start),
    Restart(Restart),
    RaiseEvent(RaiseEvent),
    Suspend(Suspend),
    Resume(Resume),
    Terminate(Terminate),
    Purge(Purge),
    Grant(Grant),
    Report(Report),
    CompleteTurn(CompleteTurn),
    EndTask(EndTask),
    Receive(Message),
    /// A granted run never left the server: the lease ends and the attempt does not count.
    TakeBack(Proof),
    /// The holder of the lease will be told that leases last this long: from then on its own must last as long.
    Lengthen(Span),
    /// Something may be due.
    Tick,
}

/// Check and start.
#[derive(Clone, Debug)]
pub struct Start {
    /// The id of the execution, should there be a new one.
    pub execution: ExecutionId,
    pub spec: Arc<Spec>,
    pub input: Option<Payload>,
    pub conflict_policy: ConflictPolicy,
    pub replaceable: Replaceable,
    /// How many starts may wait, this one included.
    pub max_queue: u32,
    /// What a live execution is told instead.
    pub signal: Option<Signal>,
    pub request: Option<Request>,
}

/// An external event.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub name: Name,
    pub input: Option<Payload>,
}

/// Start what has ended anew.
#[derive(Clone, Debug)]
pub struct Restart {
    /// The id of the new execution.
    pub execution: ExecutionId,
    pub expected_execution: Option<ExecutionId>,
    pub request: Option<Request>,
}

/// Deliver an external event.
#[derive(Clone, Debug)]
pub struct RaiseEvent {
    pub signal: Signal,
    pub expected_execution: Option<ExecutionId>,
}

/// Hold events and attempts of the live execution back.
#[derive(Clone, Debug)]
pub struct Suspend {
    pub reason: Arc<str>,
    pub expected_execution: Option<ExecutionId>,
}

/// Go on with a suspended execution.
#[derive(Clone, Debug)]
pub struct Resume {
    pub reason: Arc<str>,
    pub expected_execution: Option<ExecutionId>,
}

/// End the live execution, or withdraw one that waits in the queue.
#[derive(Clone, Debug)]
pub struct Terminate {
    pub reason: Arc<str>,
    /// The output that the live execution ends with.
    pub output: Option<Payload>,
    pub target: Target,
    /// Its children are to end too.
    pub recurse: bool,
}

/// Which execution is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The latest, whichever it is.
    Latest,
    /// The latest, if it is this one.
    Expected(ExecutionId),
    /// This one, the latest or queued.
    Exactly(ExecutionId),
}

/// Delete what has ended.
#[derive(Clone, Debug)]
pub struct Purge {
    pub expected_execution: Option<ExecutionId>,
    /// Only if it ended before this.
    pub ended_before: Option<Timestamp>,
    /// How long its requests are remembered.
    pub remember: Span,
}

/// Hand a run to a worker.
#[derive(Clone, Debug)]
pub struct Grant {
    pub execution: ExecutionId,
    pub claim: ClaimId,
    pub worker: Name,
    pub ttl: Span,
}

/// What a worker says of its run.
#[derive(Clone, Debug)]
pub struct Report {
    pub proof: Proof,
    pub body: ReportBody,
}

#[derive(Clone, Debug)]
pub enum ReportBody {
    Accept,
    Progress {
        custom_status: Option<Payload>,
    },
    EventsAcked {
        through: u64,
    },
    Completed {
        output: Option<Payload>,
    },
    Failed {
        failure: Failure,
    },
    ContinueAsNew {
        input: Option<Payload>,
        /// The id of the next execution.
        execution: ExecutionId,
    },
    Stopped,
}

impl ReportBody {
    /// For a report that ends the lease: tells the same report from another one.
    pub fn final_digest(&self) -> Option<u128> {
        let mut digest = Digest::default();
        match self {
            ReportBody::Accept | ReportBody::Progress { .. } | ReportBody::EventsAcked { .. } => return None,
            ReportBody::Completed { output } => digest.part(&[1]).optional(output.as_deref()),
            ReportBody::Failed { failure } => digest
                .part(&[2])
                .part(failure.error_type.as_bytes())
                .part(failure.message.as_bytes())
                .part(failure.details.as_bytes())
                .part(&[u8::from(failure.non_retriable)]),
            ReportBody::ContinueAsNew { input, .. } => digest.part(&[3]).optional(input.as_deref()),
            ReportBody::Stopped => digest.part(&[4]),
        };
        Some(digest.finish())
    }
}

/// What a Durable Task worker makes of one turn.
#[derive(Clone, Debug)]
pub struct CompleteTurn {
    pub token: CompletionToken,
    /// The turn's part of the history: what the worker was told, then one event an action.
    pub notes: Vec<Note>,
    /// The last event of the inbox that the worker was told.
    pub through: u64,
    pub began_at: Timestamp,
    /// Nothing where the worker says nothing of it.
    pub custom_status: Option<Option<Payload>>,
    pub trace: Option<Arc<[u8]>>,
    pub actions: Vec<Action>,
    pub ending: Option<Ending>,
}

/// What an orchestrator asks for.
#[derive(Clone, Debug)]
pub enum Action {
    /// `note` is the place among the turn's notes of the one that schedules it.
    ScheduleActivity {
        id: i32,
        name: Name,
        version: String,
        note: u64,
    },
    CreateTimer {
        id: i32,
        fire_at: Timestamp,
    },
    StartChild {
        id: i32,
        instance: InstanceId,
        execution: ExecutionId,
        spec: Arc<Spec>,
        input: Option<Payload>,
    },
    SendEvent {
        to: InstanceId,
        execution: Option<ExecutionId>,
        signal: Signal,
    },
    Terminate {
        to: InstanceId,
        output: Option<Payload>,
        recurse: bool,
    },
}

/// How an orchestrator ends its execution.
#[derive(Clone, Debug)]
pub enum Ending {
    Completed { output: Option<Payload> },
    Failed { failure: Arc<Failure>, output: Option<Payload> },
    Terminated { output: Option<Payload> },
    ContinuedAsNew { execution: ExecutionId, spec: Arc<Spec>, input: Option<Payload>, carried: Vec<Signal> },
}

/// What became of an activity.
#[derive(Clone, Debug)]
pub struct EndTask {
    /// The revision that scheduled it.
    pub task: Revision,
    pub outcome: TaskOutcome,
}
