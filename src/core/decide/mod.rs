//! The rules: what a command does to an instance as it stands.

mod lifecycle;
mod message;
mod run;
mod start;
mod timer;

use super::{
    command::Command,
    event::Event,
    ids::{ExecutionId, InstanceKey},
    instance::Instance,
    rejection::Rejection,
    request::Outcome,
    time::Now,
};

/// What happens, and what the caller is told once it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub events: Vec<Event>,
    pub answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Start {
        outcome: Outcome,
        /// Whether the outcome is that of an earlier start with the same request id.
        deduplicated: bool,
        execution: ExecutionId,
    },
    EventRaised {
        execution: ExecutionId,
        sequence: u64,
    },
    Done,
}

/// An instance as a command finds it; absent if the id was never started.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub key: &'a InstanceKey,
    pub instance: Option<&'a Instance>,
    pub now: Now,
}

/// Decides what `command` does. Changes nothing.
pub fn decide(found: Found<'_>, command: &Command) -> Result<Decision, Rejection> {
    match command {
        Command::Start(start) => start::start(found, start),
        Command::RaiseEvent(raise) => message::raise_event(found, raise),
        Command::Terminate(terminate) => lifecycle::terminate(found, terminate),
        Command::Grant(grant) => run::grant(found, grant),
        Command::Report(report) => run::report(found, report),
        Command::TakeBack(proof) => run::take_back(found, *proof),
        Command::Lengthen(ttl) => Ok(run::lengthen(found, *ttl)),
        Command::Tick => Ok(timer::tick(found)),
    }
}

impl Decision {
    fn done(events: Vec<Event>) -> Decision {
        Decision { events, answer: Answer::Done }
    }
}

impl<'a> Found<'a> {
    /// The instance if it is live and, where the caller expects an execution, at that one.
    fn live(self, expected: Option<ExecutionId>) -> Result<&'a Instance, Rejection> {
        let instance = self.instance.ok_or_else(|| Rejection::NotFound { id: self.key.id().into() })?;
        let view = || Box::new(instance.view(self.key, self.now));
        match expected {
            Some(expected) if expected != instance.execution.id => {
                Err(Rejection::ExecutionMismatch { current: view(), expected })
            }
            _ if !instance.execution.status.is_live() => Err(Rejection::NotLive(view())),
            _ => Ok(instance),
        }
    }
}
