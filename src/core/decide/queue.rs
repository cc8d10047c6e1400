//! Starts that wait for the live execution to end.

use super::{Found, start::Accepted};
use crate::{
    core::{
        command::Start, event::Event, instance::Instance, policy::ConflictPolicy, queue::QueuedStart,
        rejection::Rejection, request::Outcome,
    },
    mutant::Mutant,
};

/// Puts the start at the end of the queue, if it has room.
pub(super) fn queue(found: Found<'_>, instance: &Instance, start: &Start) -> Result<Accepted, Rejection> {
    let waiting = instance.queue.len();
    if waiting >= start.max_queue && !Mutant::OverfillQueue.is_on() {
        return Err(Rejection::QueueFull { id: found.key.id().into(), waiting, max: start.max_queue });
    }
    let queued = Event::StartQueued {
        execution: start.execution,
        spec: start.spec.clone(),
        input: start.input.clone(),
        coalesces: start.conflict_policy == ConflictPolicy::Coalesce,
    };
    Ok(Accepted {
        outcome: Outcome::Queued,
        execution: start.execution,
        queue_position: waiting + 1,
        events: vec![queued],
    })
}

/// Lets the start take the place of the one that waits to run once more, or be that one.
pub(super) fn coalesce(found: Found<'_>, instance: &Instance, start: &Start) -> Result<Accepted, Rejection> {
    let Some(QueuedStart { execution, spec, .. }) = instance.queue.coalescing() else {
        return queue(found, instance, start);
    };
    if spec.function != start.spec.function {
        let existing = instance.view_of(*execution, found.key, found.now);
        let existing = Box::new(existing.unwrap_or_else(|| instance.view(found.key, found.now)));
        return Err(Rejection::FunctionMismatch { existing, requested: start.spec.function.to_string() });
    }
    let (execution, spec, input) = (*execution, start.spec.clone(), start.input.clone());
    let events = vec![Event::StartCoalesced { execution, spec, input }];
    Ok(Accepted { outcome: Outcome::Coalesced, execution, queue_position: instance.queue.position(execution), events })
}

/// The first of the queue begins in the step in which the execution ends, whatever that end is.
pub(super) fn next(found: Found<'_>, events: &[Event]) -> Option<Event> {
    let instance = found.instance?;
    let last = events.iter().rfind(|event| event.is_end() || matches!(event, Event::ExecutionStarted { .. }))?;
    let waits = !instance.queue.is_empty() && !Mutant::ForgetQueuedStart.is_on();
    (last.is_end() && waits).then_some(Event::ExecutionDequeued)
}
