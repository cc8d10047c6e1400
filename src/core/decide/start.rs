//! The singleton rules: at most one live execution of an instance.

use super::{Answer, Decision, Found, message, queue};
use crate::core::{
    command::{Restart, Start},
    event::Event,
    ids::ExecutionId,
    instance::Instance,
    lease::Cancellation,
    limits,
    policy::ConflictPolicy,
    rejection::Rejection,
    request::{Outcome, Remembered, Request},
    status::Execution,
};
use crate::mutant::Mutant;

/// A start that is accepted, and what it does.
pub(super) struct Accepted {
    pub outcome: Outcome,
    pub execution: ExecutionId,
    pub queue_position: u32,
    pub events: Vec<Event>,
}

/// Checks and starts.
pub(super) fn start(found: Found<'_>, start: &Start) -> Result<Decision, Rejection> {
    once(found, start.request.as_ref(), || match found.there() {
        None => Ok(Accepted::started(start.execution, started(start))),
        Some(instance) if instance.execution.status.is_live() => on_conflict(found, instance, start),
        Some(instance) if start.replaceable.contains(instance.execution.status) => {
            Ok(Accepted::started(start.execution, started(start)))
        }
        Some(instance) => Err(Rejection::StatusNotReplaceable(Box::new(instance.view(found.key, found.now)))),
    })
}

/// Starts what has ended anew, with what it was started with.
pub(super) fn restart(found: Found<'_>, restart: &Restart) -> Result<Decision, Rejection> {
    once(found, restart.request.as_ref(), || {
        let instance = found.expected(restart.expected_execution)?;
        if instance.execution.status.is_live() {
            return Err(Rejection::AlreadyRunning(Box::new(instance.view(found.key, found.now))));
        }
        let execution = restart.execution;
        Ok(Accepted::started(execution, Event::ExecutionRestarted { execution }))
    })
}

/// Does what is asked for, unless a request with the same id was accepted before.
fn once(
    found: Found<'_>,
    request: Option<&Request>,
    accept: impl FnOnce() -> Result<Accepted, Rejection>,
) -> Result<Decision, Rejection> {
    if let Some(Remembered { outcome, execution, .. }) = remembered(found, request)? {
        let (outcome, execution) = (*outcome, *execution);
        let queue_position = found.there().map_or(0, |instance| instance.queue.position(execution));
        let answer = Answer::Start { outcome, deduplicated: true, execution, queue_position };
        return Ok(Decision { events: Vec::new(), answer });
    }
    let Accepted { outcome, execution, queue_position, mut events } = accept()?;
    remember(found, request, outcome, execution, &mut events);
    Ok(Decision { events, answer: Answer::Start { outcome, deduplicated: false, execution, queue_position } })
}

fn on_conflict(found: Found<'_>, instance: &Instance, start: &Start) -> Result<Accepted, Rejection> {
    let existing = || Box::new(instance.view(found.key, found.now));
    if Mutant::StartOverLive.is_on() && start.conflict_policy == ConflictPolicy::Fail {
        return Ok(Accepted::started(start.execution, started(start)));
    }
    match start.conflict_policy {
        ConflictPolicy::Fail => Err(Rejection::AlreadyRunning(existing())),
        ConflictPolicy::UseExisting if instance.execution.spec.function != start.spec.function => {
            Err(Rejection::FunctionMismatch { existing: existing(), requested: start.spec.function.to_string() })
        }
        ConflictPolicy::UseExisting => {
            let signal = start.signal.as_ref().map(|signal| message::raised(found, instance, signal)).transpose()?;
            let events = signal.into_iter().collect();
            Ok(Accepted { outcome: Outcome::Joined, execution: instance.execution.id, queue_position: 0, events })
        }
        ConflictPolicy::Replace if !start.replaceable.contains(instance.execution.status) => {
            Err(Rejection::AlreadyRunning(existing()))
        }
        ConflictPolicy::Replace => {
            let reason = Execution::replaced_reason(start.execution).into();
            let terminated = Event::ExecutionTerminated { reason, output: None, cancellation: Cancellation::Replaced };
            let events = vec![terminated, started(start)];
            Ok(Accepted { outcome: Outcome::Replaced, execution: start.execution, queue_position: 0, events })
        }
        ConflictPolicy::Queue => queue::queue(found, instance, start),
        ConflictPolicy::Coalesce => queue::coalesce(found, instance, start),
    }
}

impl Accepted {
    fn started(execution: ExecutionId, event: Event) -> Accepted {
        Accepted { outcome: Outcome::Started, execution, queue_position: 0, events: vec![event] }
    }
}

fn started(start: &Start) -> Event {
    Event::ExecutionStarted { execution: start.execution, spec: start.spec.clone(), input: start.input.clone() }
}

/// The earlier start with the same request id, if it asked for the same. A purge does not forget it.
fn remembered<'a>(found: Found<'a>, request: Option<&Request>) -> Result<Option<&'a Remembered>, Rejection> {
    let (Some(instance), Some(request)) = (found.instance, request) else { return Ok(None) };
    match instance.memory.find(request, found.now.steady) {
        Some(first) if first.digest != request.digest => {
            Err(Rejection::RequestIdReused { request_id: request.id.clone() })
        }
        first => Ok(first),
    }
}

fn remember(
    found: Found<'_>,
    request: Option<&Request>,
    outcome: Outcome,
    execution: ExecutionId,
    events: &mut Vec<Event>,
) {
    let Some(request) = request.filter(|_| !Mutant::ForgetRequest.is_on()) else { return };
    let accepted_at = found.now.steady;
    let to_forget = found
        .instance
        .and_then(|instance| instance.memory.to_forget(request.remember, limits::REMEMBERED_REQUESTS_MAX, accepted_at));
    events.extend(to_forget.map(|through| Event::RequestsForgotten { through }));
    events.push(Event::RequestRemembered(Remembered {
        id: request.id.clone(),
        digest: request.digest,
        outcome,
        execution,
        accepted_at,
    }));
}
