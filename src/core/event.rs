//! What happened to an instance. Each event gets a revision when it is numbered.

use std::sync::Arc;

use super::{
    command::{Payload, Signal},
    ids::{ClaimId, ExecutionId, Name, Revision},
    lease::{Cancellation, FinalReport},
    request::Remembered,
    status::{Failure, Spec},
    time::{Span, Steady, Timestamp},
    turn::{Message, Note, Task, TaskOutcome},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    ExecutionStarted {
        execution: ExecutionId,
        spec: Arc<Spec>,
        input: Option<Payload>,
    },
    /// The same function with the same input once more.
    ExecutionRestarted {
        execution: ExecutionId,
    },
    StartQueued {
        execution: ExecutionId,
        spec: Arc<Spec>,
        input: Option<Payload>,
        coalesces: bool,
    },
    /// A newer start takes the place of one that waits.
    StartCoalesced {
        execution: ExecutionId,
        spec: Arc<Spec>,
        input: Option<Payload>,
    },
    StartWithdrawn {
        execution: ExecutionId,
        reason: Arc<str>,
    },
    /// The first of the queue begins.
    ExecutionDequeued,
    /// The time that it was scheduled for has come.
    StartDue,
    RequestRemembered(Remembered),
    RequestsForgotten {
        through: Revision,
    },
    RunGranted {
        claim: ClaimId,
        worker: Name,
        ttl: Span,
    },
    RunAccepted,
    LeaseLengthened {
        ttl: Span,
    },
    ProgressReported {
        custom_status: Option<Payload>,
    },
    EventRaised {
        name: Name,
        input: Option<Payload>,
    },
    EventsAcknowledged {
        through: u64,
    },
    LeaseEnded(LeaseEnd),
    RetryScheduled {
        failure: Option<Arc<Failure>>,
        at: Steady,
    },
    RetryDue,
    ExecutionSuspended {
        reason: Arc<str>,
    },
    ExecutionResumed {
        reason: Arc<str>,
    },
    ExecutionCompleted {
        output: Option<Payload>,
    },
    ExecutionFailed {
        failure: Arc<Failure>,
        /// What a Durable Task worker has said beside it.
        output: Option<Payload>,
    },
    ExecutionTerminated {
        reason: Arc<str>,
        output: Option<Payload>,
        cancellation: Cancellation,
    },
    ExecutionContinued {
        execution: ExecutionId,
        input: Option<Payload>,
    },
    /// A Durable Task worker has finished a turn.
    TurnCompleted {
        through: u64,
        notes: Vec<Note>,
        began_at: Timestamp,
        trace: Option<Arc<[u8]>>,
        /// It runs from now on, as callers see it.
        begins: bool,
    },
    TaskScheduled(Task),
    TaskEnded {
        task: Revision,
        outcome: TaskOutcome,
    },
    MessageSent(Message),
    /// The orchestrator goes on under a new execution id, with no history.
    ExecutionRenewed {
        execution: ExecutionId,
        spec: Arc<Spec>,
        input: Option<Payload>,
        carried: Vec<Signal>,
    },
    /// What is left remembers its requests until then, and its lease until that is over.
    InstancePurged {
        forget_at: Option<Steady>,
    },
    /// Nothing is left.
    InstanceForgotten,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    Reported(FinalReport),
    Expired,
    /// The run never left the server.
    TakenBack,
}

impl Event {
    /// Whether watchers see it: a change of status, execution, attempt or custom status.
    pub fn is_transition(&self) -> bool {
        match self {
            Event::ExecutionStarted { .. }
            | Event::ExecutionRestarted { .. }
            | Event::ExecutionDequeued
            | Event::RunGranted { .. }
            | Event::ProgressReported { .. }
            | Event::ExecutionSuspended { .. }
            | Event::ExecutionResumed { .. }
            | Event::ExecutionCompleted { .. }
            | Event::ExecutionFailed { .. }
            | Event::ExecutionTerminated { .. }
            | Event::ExecutionContinued { .. }
            | Event::ExecutionRenewed { .. } => true,
            Event::TurnCompleted { begins, .. } => *begins,
            Event::StartQueued { .. }
            | Event::StartCoalesced { .. }
            | Event::StartWithdrawn { .. }
            | Event::StartDue
            | Event::RequestRemembered(_)
            | Event::RequestsForgotten { .. }
            | Event::RunAccepted
            | Event::LeaseLengthened { .. }
            | Event::EventRaised { .. }
            | Event::EventsAcknowledged { .. }
            | Event::LeaseEnded(_)
            | Event::RetryScheduled { .. }
            | Event::RetryDue
            | Event::TaskScheduled(_)
            | Event::TaskEnded { .. }
            | Event::MessageSent(_)
            | Event::InstancePurged { .. }
            | Event::InstanceForgotten => false,
        }
    }

    /// Whether it has a row in the history of the execution. Beginning and end have none: the record tells them.
    pub fn is_history(&self) -> bool {
        matches!(
            self,
            Event::RunGranted { .. }
                | Event::RetryScheduled { .. }
                | Event::EventRaised { .. }
                | Event::ExecutionSuspended { .. }
                | Event::ExecutionResumed { .. }
        )
    }

    /// Whether the execution is over with it.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Event::ExecutionCompleted { .. } | Event::ExecutionFailed { .. } | Event::ExecutionTerminated { .. }
        )
    }
}
