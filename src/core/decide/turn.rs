//! Turns: what a Durable Task worker makes of one, what becomes of the tasks that it schedules, and what instances
//! tell each other.

use std::sync::Arc;

use super::{Decision, Found, lifecycle};
use crate::core::{
    command::{Action, CompleteTurn, EndTask, Ending, Payload},
    event::Event,
    ids::InstanceId,
    instance::Instance,
    limits,
    rejection::Rejection,
    status::{Failure, Spec},
    time::Steady,
    turn::{Message, MessageBody, Parent, Task, TaskKind, TaskOutcome},
};

/// Takes what the worker made of the turn that it has.
pub(super) fn complete(found: Found<'_>, turn: &CompleteTurn) -> Result<Decision, Rejection> {
    let instance = found
        .instance
        .filter(|instance| instance.turn_held.as_deref() == Some(&turn.token))
        .ok_or(Rejection::StaleCompletionToken)?;
    // What goes on as new has no history, and what it had scheduled is of no use to it.
    let renews = matches!(turn.ending, Some(Ending::ContinuedAsNew { .. }));
    let mut events = vec![Event::TurnCompleted {
        through: turn.through,
        notes: if renews { Vec::new() } else { turn.notes.clone() },
        began_at: turn.began_at,
        trace: turn.trace.clone(),
        begins: instance.execution.started_at.is_none() && !instance.is_suspended(),
    }];
    if let Some(custom_status) = &turn.custom_status
        && (custom_status.is_some() || instance.execution.custom_status.is_some())
    {
        events.push(Event::ProgressReported { custom_status: custom_status.clone() });
    }
    for action in &turn.actions {
        events.extend(act(found, instance, action, turn.ending.is_some()));
    }
    events.extend(turn.ending.as_ref().map(end));
    Ok(Decision::done(events))
}

/// What an action does. An execution that ends with its turn waits for no task any more.
fn act(found: Found<'_>, instance: &Instance, action: &Action, ends: bool) -> Vec<Event> {
    let send = |to, body| Event::MessageSent(Message { to, body });
    match action {
        Action::ScheduleActivity { .. } | Action::CreateTimer { .. } if ends => Vec::new(),
        Action::ScheduleActivity { id, name, version, note } => {
            let row = instance.execution.history + note + 1;
            let kind = TaskKind::Activity { name: name.clone(), version: version.clone(), row };
            vec![Event::TaskScheduled(Task { id: *id, kind })]
        }
        Action::CreateTimer { id, fire_at } => {
            vec![Event::TaskScheduled(Task { id: *id, kind: TaskKind::Timer { fire_at: *fire_at } })]
        }
        Action::StartChild { id, instance: child, execution, spec, input } => {
            let kind = TaskKind::Child { instance: child.clone(), ended: false };
            let parent = Parent {
                instance: found.key.instance_id(),
                execution: instance.execution.id,
                function: instance.execution.spec.function.clone(),
                version: instance.execution.spec.version.clone(),
                task: *id,
            };
            let spec = Arc::new(Spec { parent: Some(Arc::new(parent)), ..Spec::clone(spec) });
            let start = MessageBody::Start { execution: *execution, spec, input: input.clone() };
            vec![Event::TaskScheduled(Task { id: *id, kind }), send(child.clone(), start)]
        }
        Action::SendEvent { to, execution, signal } => {
            vec![send(to.clone(), MessageBody::Raise { execution: *execution, signal: signal.clone() })]
        }
        Action::Terminate { to, output, recurse } => {
            let terminate = MessageBody::Terminate { parent: None, output: output.clone(), recurse: *recurse };
            vec![send(to.clone(), terminate)]
        }
    }
}

fn end(ending: &Ending) -> Event {
    match ending {
        Ending::Completed { output } => Event::ExecutionCompleted { output: output.clone() },
        Ending::Failed { failure, output } => {
            Event::ExecutionFailed { failure: failure.clone(), output: output.clone() }
        }
        Ending::Terminated { output } => lifecycle::terminated(output.clone()),
        Ending::ContinuedAsNew { execution, spec, input, carried } => Event::ExecutionRenewed {
            execution: *execution,
            spec: spec.clone(),
            input: input.clone(),
            carried: carried.clone(),
        },
    }
}

/// Takes the result of an activity, unless nobody waits for it any more.
pub(super) fn end_task(found: Found<'_>, end: &EndTask) -> Result<Decision, Rejection> {
    let turns = found.instance.and_then(|instance| instance.turns.as_ref());
    let task = turns.and_then(|turns| turns.task(end.task));
    match task.map(|task| &task.kind) {
        Some(TaskKind::Activity { .. }) => {
            Ok(Decision::done(vec![Event::TaskEnded { task: end.task, outcome: end.outcome.clone() }]))
        }
        Some(TaskKind::Timer { .. } | TaskKind::Child { .. }) | None => Err(Rejection::StaleCompletionToken),
    }
}

/// The timers whose time has come, as many as one step takes.
pub(super) fn fired(instance: &Instance, now: Steady) -> Vec<Event> {
    let due = instance.turns.iter().flat_map(|turns| turns.due_timers(now));
    due.take(limits::TIMERS_AT_ONCE).map(|task| Event::TaskEnded { task, outcome: TaskOutcome::Fired }).collect()
}

/// Takes what another instance says; what is of no use any more changes nothing.
pub(super) fn receive(found: Found<'_>, message: &Message) -> Result<Decision, Rejection> {
    let live = found.there().filter(|instance| instance.execution.status.is_live());
    let events = match &message.body {
        MessageBody::Start { execution, spec, input } => match live {
            None => vec![Event::ExecutionStarted { execution: *execution, spec: spec.clone(), input: input.clone() }],
            Some(instance) => refused(found, instance, spec).into_iter().collect(),
        },
        MessageBody::ChildEnded { execution, task, outcome } => {
            let instance = live.filter(|instance| instance.execution.id == *execution);
            let task = instance.and_then(|instance| instance.turns.as_ref()).and_then(|turns| turns.child(*task));
            task.map(|task| Event::TaskEnded { task, outcome: outcome.clone() }).into_iter().collect()
        }
        MessageBody::Raise { execution, signal } => {
            let wanted = live.filter(|instance| execution.is_none_or(|execution| execution == instance.execution.id));
            let raised = || Event::EventRaised { name: signal.name.clone(), input: signal.input.clone() };
            wanted.map(|_| raised()).into_iter().collect()
        }
        MessageBody::Terminate { parent, output, recurse } => {
            let is_meant = |instance: &&Instance| match (parent, &instance.execution.spec.parent) {
                (None, _) => true,
                (Some((id, execution)), Some(parent)) => parent.instance == *id && parent.execution == *execution,
                (Some(_), None) => false,
            };
            let instance = found.there().filter(is_meant);
            let ended = live.and(instance).map(|_| lifecycle::terminated(output.clone()));
            let family = instance.filter(|_| *recurse).map(|instance| cascade(found, instance, output.clone()));
            ended.into_iter().chain(family.into_iter().flatten()).collect()
        }
    };
    Ok(Decision::done(events))
}

/// A sub-orchestration can't begin: its id is taken by a live instance, unless that is this very one.
fn refused(found: Found<'_>, existing: &Instance, spec: &Spec) -> Option<Event> {
    let parent = spec.parent.as_deref().filter(|_| !spec.tags.contains_key(FIRE_AND_FORGET))?;
    let is_this = existing.execution.spec.parent.as_deref().is_some_and(|other| {
        (&other.instance, other.execution, other.task) == (&parent.instance, parent.execution, parent.task)
    });
    let message = format!("An Orchestration instance with the ID '{}' already exists.", found.key.id());
    let failure = Failure { non_retriable: false, ..Failure::declared("OrchestrationAlreadyExists", message) };
    let outcome = TaskOutcome::Failed { failure: Arc::new(failure) };
    (!is_this).then(|| child_ended(parent, outcome))
}

/// All sub-orchestrations of the latest execution are to end, also those of such as have ended themselves.
pub(super) fn cascade(found: Found<'_>, instance: &Instance, output: Option<Payload>) -> Vec<Event> {
    let parent = (found.key.instance_id(), instance.execution.id);
    let terminate = |to: &InstanceId| {
        let body = MessageBody::Terminate { parent: Some(parent.clone()), output: output.clone(), recurse: true };
        Event::MessageSent(Message { to: to.clone(), body })
    };
    instance.turns.iter().flat_map(|turns| turns.children()).map(terminate).collect()
}

/// Whoever started a sub-orchestration hears of its end, whatever that is.
pub(super) fn tell_parent(found: Found<'_>, events: &[Event]) -> Option<Event> {
    let spec = &found.instance?.execution.spec;
    let parent = spec.parent.as_deref().filter(|_| !spec.tags.contains_key(FIRE_AND_FORGET))?;
    let outcome = match events.iter().find(|event| event.is_end())? {
        Event::ExecutionCompleted { output } => TaskOutcome::Completed { result: output.clone() },
        Event::ExecutionFailed { failure, .. } => TaskOutcome::Failed { failure: failure.clone() },
        _ => {
            let message = format!("the sub-orchestration '{}' was terminated", found.key.id());
            TaskOutcome::Failed { failure: Arc::new(Failure::declared("SubOrchestrationTerminated", message)) }
        }
    };
    Some(child_ended(parent, outcome))
}

/// The tag of a sub-orchestration that nobody waits for.
const FIRE_AND_FORGET: &str = "FireAndForget";

fn child_ended(parent: &Parent, outcome: TaskOutcome) -> Event {
    let body = MessageBody::ChildEnded { execution: parent.execution, task: parent.task, outcome };
    Event::MessageSent(Message { to: parent.instance.clone(), body })
}
