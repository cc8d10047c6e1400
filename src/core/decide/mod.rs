//! The rules: what a command does to an instance as it stands.

mod lifecycle;
mod message;
mod queue;
mod run;
mod start;
mod timer;
mod turn;

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
        /// Its place in the queue, from 1, if it waits there.
        queue_position: u32,
    },
    EventRaised {
        execution: ExecutionId,
        sequence: u64,
    },
    /// This execution has ended, or will never begin: it is what the caller is shown.
    Ended {
        execution: ExecutionId,
    },
    Done,
}

/// An instance as a command finds it; absent if the id was never started, or if nothing is left of it after a purge.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub key: &'a InstanceKey,
    pub instance: Option<&'a Instance>,
    pub now: Now,
}

/// Decides what `command` does. Changes nothing.
pub fn decide(found: Found<'_>, command: &Command) -> Result<Decision, Rejection> {
    let mut decision = decide_alone(found, command)?;
    decision.events.extend(turn::tell_parent(found, &decision.events));
    decision.events.extend(queue::next(found, &decision.events));
    Ok(decision)
}

fn decide_alone(found: Found<'_>, command: &Command) -> Result<Decision, Rejection> {
    match command {
        Command::Start(start) => start::start(found, start),
        Command::Restart(restart) => start::restart(found, restart),
        Command::RaiseEvent(raise) => message::raise_event(found, raise),
        Command::Suspend(suspend) => lifecycle::suspend(found, suspend),
        Command::Resume(resume) => lifecycle::resume(found, resume),
        Command::Terminate(terminate) => lifecycle::terminate(found, terminate),
        Command::Purge(purge) => lifecycle::purge(found, purge),
        Command::Grant(grant) => run::grant(found, grant),
        Command::Report(report) => run::report(found, report),
        Command::CompleteTurn(complete) => turn::complete(found, complete),
        Command::EndTask(end) => turn::end_task(found, end),
        Command::Receive(message) => turn::receive(found, message),
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
    /// The instance as callers find it: not what a purge left of it.
    fn there(self) -> Option<&'a Instance> {
        self.instance.filter(|instance| instance.is_there())
    }

    fn present(self) -> Result<&'a Instance, Rejection> {
        self.there().ok_or_else(|| Rejection::NotFound { id: self.key.id().into() })
    }

    /// The instance, where the caller expects an execution only at that one.
    fn expected(self, expected: Option<ExecutionId>) -> Result<&'a Instance, Rejection> {
        let instance = self.present()?;
        match expected {
            Some(expected) if expected != instance.execution.id => {
                let current = Box::new(instance.view(self.key, self.now));
                Err(Rejection::ExecutionMismatch { current, expected })
            }
            _ => Ok(instance),
        }
    }

    /// The instance if it is live and, where the caller expects an execution, at that one.
    fn live(self, expected: Option<ExecutionId>) -> Result<&'a Instance, Rejection> {
        let instance = self.expected(expected)?;
        if instance.execution.status.is_live() {
            Ok(instance)
        } else {
            Err(Rejection::NotLive(Box::new(instance.view(self.key, self.now))))
        }
    }
}
