//! What happened to an instance. Each event gets a revision when it is numbered.

use std::sync::Arc;

use super::{
    command::Payload,
    ids::{ClaimId, ExecutionId, Name, Revision},
    lease::{Cancellation, FinalReport},
    request::Remembered,
    status::{Failure, Spec},
    time::{Span, Steady},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    ExecutionStarted { execution: ExecutionId, spec: Arc<Spec>, input: Option<Payload> },
    RequestRemembered(Remembered),
    RequestsForgotten { through: Revision },
    RunGranted { claim: ClaimId, worker: Name, ttl: Span },
    RunAccepted,
    LeaseLengthened { ttl: Span },
    ProgressReported { custom_status: Option<Payload> },
    EventRaised { name: Name, input: Option<Payload> },
    EventsAcknowledged { through: u64 },
    LeaseEnded(LeaseEnd),
    RetryScheduled { failure: Option<Arc<Failure>>, at: Steady },
    RetryDue,
    ExecutionCompleted { output: Option<Payload> },
    ExecutionFailed { failure: Arc<Failure> },
    ExecutionTerminated { reason: Arc<str>, cancellation: Cancellation },
    ExecutionContinued { execution: ExecutionId, input: Option<Payload> },
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
            | Event::RunGranted { .. }
            | Event::ProgressReported { .. }
            | Event::ExecutionCompleted { .. }
            | Event::ExecutionFailed { .. }
            | Event::ExecutionTerminated { .. }
            | Event::ExecutionContinued { .. } => true,
            Event::RequestRemembered(_)
            | Event::RequestsForgotten { .. }
            | Event::RunAccepted
            | Event::LeaseLengthened { .. }
            | Event::EventRaised { .. }
            | Event::EventsAcknowledged { .. }
            | Event::LeaseEnded(_)
            | Event::RetryScheduled { .. }
            | Event::RetryDue => false,
        }
    }
}
