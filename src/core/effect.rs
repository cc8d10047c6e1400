//! What must be done once a change is durable: the difference between what was outstanding before and after it.

use std::sync::Arc;

use super::{
    event::{Event, LeaseEnd},
    ids::{Arrival, ClaimId, ExecutionId, Name, PayloadRow, Revision},
    instance::Instance,
    lease::{Cancellation, Proof},
    status::{News, Spec},
    time::{Steady, Timestamp},
    turn::{Message, Task, TaskKind},
};
use crate::mutant::Mutant;

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell the watchers.
    Publish(Arc<News>),
    /// The lease is over: its worker has room for another run.
    EndClaim { claim: ClaimId, expired: bool },
    /// Tell the holder of the lease to stop.
    Cancel { claim: ClaimId, why: Cancellation },
    /// Give the worker its run.
    HandOut(Run),
    /// Tell the holder of the lease to pause, or to go on.
    Pace { claim: ClaimId, suspended: bool, at: Revision },
    /// There are events for the holder of the lease.
    DeliverEvents { claim: ClaimId },
    /// It no longer waits for a worker.
    Withdraw,
    /// A worker may be granted it.
    Offer(Offer),
    /// A Durable Task worker may be given a turn. A native one may be granted the run as well, until either has it.
    OfferTurn { offer: Offer, or_run: bool },
    /// It no longer waits for a Durable Task worker.
    WithdrawTurn,
    /// A Durable Task worker may be given an activity.
    OfferActivity(ActivityOffer),
    /// Its activities are no longer wanted.
    WithdrawActivities,
    /// Tell another instance.
    Send(Letter),
    /// Look again at that time.
    Arm(Steady),
}

/// An activity that waits for a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityOffer {
    pub arrival: Arrival,
    pub execution: ExecutionId,
    /// The revision that scheduled it.
    pub task: Revision,
    pub id: i32,
    pub name: Name,
    /// Its own, or else its orchestration's.
    pub version: String,
    /// The row of history that schedules it.
    pub row: u64,
}

/// A message on its way, with the row that keeps it until it has arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub arrival: Arrival,
    pub number: Revision,
    pub message: Message,
}

/// A run that waits for a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub execution: ExecutionId,
    pub spec: Arc<Spec>,
    /// The claim whose worker is preferred.
    pub prefer: Option<ClaimId>,
}

/// What a worker is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub arrival: Arrival,
    pub proof: Proof,
    pub execution: ExecutionId,
    pub spec: Arc<Spec>,
    pub input: Option<PayloadRow>,
    pub attempt: u32,
    /// What people are shown for the end of the run's time: the same for every attempt.
    pub deadline: Option<Timestamp>,
}

/// What is outstanding for an instance, as far as its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Outlook {
    offer: Option<ExecutionId>,
    lease: Option<(Proof, Option<Cancellation>)>,
    /// Whether the holder of a lease that is not cancelled is to pause.
    suspended: bool,
    events: Option<u64>,
    turn: Option<ExecutionId>,
    /// The execution, if it has activities that are not over.
    activities: Option<ExecutionId>,
    due: Option<Steady>,
}

impl Outlook {
    pub fn of(instance: &Instance) -> Outlook {
        let held = instance.lease.as_ref().filter(|lease| lease.cancelled.is_none());
        Outlook {
            offer: instance.is_grantable().then_some(instance.execution.id),
            lease: instance.lease.as_ref().map(|lease| (lease.proof(), lease.cancelled)),
            suspended: held.is_some() && instance.is_suspended(),
            events: held
                .filter(|_| !instance.is_suspended() || Mutant::DeliverWhileSuspended.is_on())
                .and(Some(instance.inbox_last))
                .filter(|last| *last > instance.inbox_after),
            turn: instance.awaits_turn().then_some(instance.execution.id),
            activities: activities(instance).next().map(|_| instance.execution.id),
            due: instance.next_due(),
        }
    }
}

/// As many effects as most changes have, beside what watchers are told.
const USUALLY_MORE: usize = 3;

/// What `events` call for, beyond what was outstanding `before` them.
pub fn effects(before: Outlook, events: &[Event], news: Vec<News>, after: &Instance) -> Vec<Effect> {
    let mut effects = Vec::with_capacity(news.len() + USUALLY_MORE);
    effects.extend(news.into_iter().map(|news| Effect::Publish(Arc::new(news))));
    let ended = before.lease.filter(|(proof, _)| after.lease.as_ref().is_none_or(|lease| lease.proof() != *proof));
    if let Some((proof, _)) = ended {
        let expired = events.contains(&Event::LeaseEnded(LeaseEnd::Expired));
        effects.push(Effect::EndClaim { claim: proof.claim, expired });
    }
    if events.iter().any(|event| matches!(event, Event::RunGranted { .. })) {
        effects.extend(hand_out(after));
    } else if before.offer.is_some() && !after.is_grantable() {
        effects.push(Effect::Withdraw);
    }
    if before.turn.is_some() && !after.awaits_turn() {
        effects.push(Effect::WithdrawTurn);
    }
    if before.activities.is_some() && before.activities != Outlook::of(after).activities {
        effects.push(Effect::WithdrawActivities);
    }
    effects.extend(of_turns(events, after));
    let continued = events.iter().any(|event| matches!(event, Event::ExecutionContinued { .. }));
    let prefer = ended.filter(|_| continued).map(|(proof, _)| proof.claim);
    add_outstanding(&mut effects, before, prefer, after);
    effects
}

/// What a fresh owner of the instance has to do. What it has sent lies in rows of its own.
pub fn outstanding(instance: &Instance) -> Vec<Effect> {
    let mut effects = Vec::new();
    add_outstanding(&mut effects, Outlook::default(), None, instance);
    effects.extend(activities(instance).map(Effect::OfferActivity));
    effects
}

/// What the events of one change ask for, as far as it is still wanted. They have consecutive revisions.
fn of_turns(events: &[Event], after: &Instance) -> Vec<Effect> {
    let first = (after.revision.0 + 1).saturating_sub(events.len() as u64);
    let numbered = (first..).map(Revision).zip(events);
    let effect = |(revision, event): (Revision, &Event)| match event {
        Event::TaskScheduled(_) => {
            let task = after.turns.as_ref().and_then(|turns| turns.task(revision));
            task.and_then(|task| activity(after, revision, task)).map(Effect::OfferActivity)
        }
        Event::MessageSent(message) => {
            Some(Effect::Send(Letter { arrival: after.arrival, number: revision, message: message.clone() }))
        }
        _ => None,
    };
    numbered.filter_map(effect).collect()
}

fn activities(instance: &Instance) -> impl Iterator<Item = ActivityOffer> {
    let turns = instance.turns.as_deref().into_iter();
    turns.flat_map(|turns| turns.activities()).filter_map(|(revision, task)| activity(instance, revision, task))
}

fn activity(instance: &Instance, revision: Revision, task: &Task) -> Option<ActivityOffer> {
    let TaskKind::Activity { name, version, row } = &task.kind else { return None };
    let execution = &instance.execution;
    let version = if version.is_empty() { execution.spec.version() } else { version };
    Some(ActivityOffer {
        arrival: instance.arrival,
        execution: execution.id,
        task: revision,
        id: task.id,
        name: name.clone(),
        version: version.to_owned(),
        row: *row,
    })
}

/// What is outstanding and was not before.
fn add_outstanding(effects: &mut Vec<Effect>, before: Outlook, prefer: Option<ClaimId>, instance: &Instance) {
    let now = Outlook::of(instance);
    if let Some((proof, Some(why))) = now.lease.filter(|_| now.lease != before.lease) {
        effects.push(Effect::Cancel { claim: proof.claim, why });
    }
    if let (Some((proof, None)), true) = (now.lease, now.suspended != before.suspended) {
        effects.push(Effect::Pace { claim: proof.claim, suspended: now.suspended, at: instance.revision });
    }
    if let (Some((proof, _)), true) = (now.lease, now.events.is_some() && now.events != before.events) {
        effects.push(Effect::DeliverEvents { claim: proof.claim });
    }
    if let Some(execution) = now.offer.filter(|_| now.offer != before.offer) {
        effects.push(Effect::Offer(Offer { execution, spec: Arc::clone(&instance.execution.spec), prefer }));
    }
    if let Some(execution) = now.turn.filter(|_| now.turn != before.turn) {
        let offer = Offer { execution, spec: Arc::clone(&instance.execution.spec), prefer: None };
        effects.push(Effect::OfferTurn { offer, or_run: now.offer.is_some() });
    }
    if let Some(due) = now.due.filter(|_| now.due != before.due) {
        effects.push(Effect::Arm(due));
    }
}

fn hand_out(instance: &Instance) -> Option<Effect> {
    let lease = instance.lease.as_ref()?;
    let execution = &instance.execution;
    Some(Effect::HandOut(Run {
        arrival: instance.arrival,
        proof: lease.proof(),
        execution: execution.id,
        spec: Arc::clone(&execution.spec),
        input: execution.input,
        attempt: execution.attempt,
        deadline: execution.started_at.zip(execution.spec.run_timeout).map(|(at, timeout)| at + timeout),
    }))
}
