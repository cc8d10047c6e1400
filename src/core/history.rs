//! What happened in an execution, as people look it up later.

use std::sync::Arc;

use super::{
    event::Event,
    ids::{FencingToken, Name},
    instance::Instance,
    limits,
    status::Failure,
    time::{Now, Timestamp},
};

/// One event of an execution's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    pub at: Timestamp,
    pub happened: Happened,
}

/// What happened between the beginning and the end, which the record of the instance tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    RunGranted { worker: Name, attempt: u32, token: FencingToken },
    RetryScheduled { attempt: u32, failure: Option<Arc<Failure>>, due_at: Timestamp },
    EventRaised { sequence: u64, name: Name, input: EventInput },
    ExecutionSuspended { reason: Arc<str> },
    ExecutionResumed { reason: Arc<str> },
}

/// The input of an event, as far as the history keeps it.
#[derive(Clone, Debug, PartialEq)]
pub enum EventInput {
    Kept(Option<Arc<str>>),
    /// It was larger than the history keeps.
    Omitted {
        bytes: u64,
    },
}

impl EventInput {
    fn of(input: Option<&Arc<str>>) -> EventInput {
        match input {
            Some(input) if input.len() > limits::HISTORY_INPUT_BYTES_MAX => {
                EventInput::Omitted { bytes: input.len() as u64 }
            }
            input => EventInput::Kept(input.cloned()),
        }
    }
}

impl HistoryEvent {
    /// What is noted of an event that has just been applied; nothing of most. What is run in turns notes them itself.
    pub fn of(event: &Event, after: &Instance, now: Now) -> Option<HistoryEvent> {
        if after.turns.is_some() {
            return None;
        }
        let happened = match event {
            Event::RunGranted { worker, .. } => Happened::RunGranted {
                worker: worker.clone(),
                attempt: after.execution.attempt,
                token: after.fencing_token,
            },
            Event::RetryScheduled { failure, at } => Happened::RetryScheduled {
                attempt: after.execution.attempt,
                failure: failure.clone(),
                due_at: now.shown(*at),
            },
            Event::EventRaised { name, input } => Happened::EventRaised {
                sequence: after.inbox_last,
                name: name.clone(),
                input: EventInput::of(input.as_ref()),
            },
            Event::ExecutionSuspended { reason } => Happened::ExecutionSuspended { reason: reason.clone() },
            Event::ExecutionResumed { reason } => Happened::ExecutionResumed { reason: reason.clone() },
            Event::ExecutionStarted { .. }
            | Event::ExecutionRestarted { .. }
            | Event::StartQueued { .. }
            | Event::StartCoalesced { .. }
            | Event::StartWithdrawn { .. }
            | Event::ExecutionDequeued
            | Event::StartDue
            | Event::RequestRemembered(_)
            | Event::RequestsForgotten { .. }
            | Event::RunAccepted
            | Event::LeaseLengthened { .. }
            | Event::ProgressReported { .. }
            | Event::EventsAcknowledged { .. }
            | Event::LeaseEnded(_)
            | Event::RetryDue
            | Event::ExecutionCompleted { .. }
            | Event::ExecutionFailed { .. }
            | Event::ExecutionTerminated { .. }
            | Event::ExecutionContinued { .. }
            | Event::ExecutionRenewed { .. }
            | Event::TurnCompleted { .. }
            | Event::TaskScheduled(_)
            | Event::TaskEnded { .. }
            | Event::MessageSent(_)
            | Event::InstancePurged { .. }
            | Event::InstanceForgotten => return None,
        };
        Some(HistoryEvent { at: after.execution.last_updated_at.max(now.wall), happened })
    }
}
