//! The singleton rules: at most one live execution of an instance.

use super::{Answer, Decision, Found};
use crate::core::{
    command::Start,
    event::Event,
    ids::ExecutionId,
    instance::Instance,
    lease::Cancellation,
    limits,
    policy::ConflictPolicy,
    rejection::Rejection,
    request::{Outcome, Remembered},
};
use crate::mutant::Mutant;

/// Checks and starts.
pub(super) fn start(found: Found<'_>, start: &Start) -> Result<Decision, Rejection> {
    if let Some(first) = remembered(found, start)? {
        let answer = Answer::Start { outcome: first.outcome, deduplicated: true, execution: first.execution };
        return Ok(Decision { events: Vec::new(), answer });
    }
    let (outcome, execution, mut events) = match found.instance {
        None => (Outcome::Started, start.execution, vec![started(start)]),
        Some(instance) if instance.execution.status.is_live() => on_conflict(found, instance, start)?,
        Some(instance) if start.replaceable.contains(instance.execution.status) => {
            (Outcome::Started, start.execution, vec![started(start)])
        }
        Some(instance) => return Err(Rejection::StatusNotReplaceable(Box::new(instance.view(found.key, found.now)))),
    };
    remember(found, start, outcome, execution, &mut events);
    Ok(Decision { events, answer: Answer::Start { outcome, deduplicated: false, execution } })
}

fn on_conflict(
    found: Found<'_>,
    instance: &Instance,
    start: &Start,
) -> Result<(Outcome, ExecutionId, Vec<Event>), Rejection> {
    let existing = || Box::new(instance.view(found.key, found.now));
    if Mutant::StartOverLive.is_on() && start.conflict_policy == ConflictPolicy::Fail {
        return Ok((Outcome::Started, start.execution, vec![started(start)]));
    }
    match start.conflict_policy {
        ConflictPolicy::Fail => Err(Rejection::AlreadyRunning(existing())),
        ConflictPolicy::UseExisting if instance.execution.spec.function != start.spec.function => {
            Err(Rejection::FunctionMismatch { existing: existing(), requested: start.spec.function.to_string() })
        }
        ConflictPolicy::UseExisting => Ok((Outcome::Joined, instance.execution.id, Vec::new())),
        ConflictPolicy::Replace => {
            let reason = format!("replaced by execution {}", start.execution).into();
            let terminated = Event::ExecutionTerminated { reason, cancellation: Cancellation::Replaced };
            Ok((Outcome::Replaced, start.execution, vec![terminated, started(start)]))
        }
    }
}

fn started(start: &Start) -> Event {
    Event::ExecutionStarted { execution: start.execution, spec: start.spec.clone(), input: start.input.clone() }
}

/// The earlier start with the same request id, if it asked for the same.
fn remembered<'a>(found: Found<'a>, start: &Start) -> Result<Option<&'a Remembered>, Rejection> {
    let (Some(instance), Some(request)) = (found.instance, &start.request) else { return Ok(None) };
    match instance.memory.find(request, found.now.steady) {
        Some(first) if first.digest != request.digest => {
            Err(Rejection::RequestIdReused { request_id: request.id.clone() })
        }
        first => Ok(first),
    }
}

fn remember(found: Found<'_>, start: &Start, outcome: Outcome, execution: ExecutionId, events: &mut Vec<Event>) {
    let Some(request) = start.request.as_ref().filter(|_| !Mutant::ForgetRequest.is_on()) else { return };
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
