//! What must be done once a change is durable: the difference between what was outstanding before and after it.

use std::sync::Arc;

use super::{
    event::{Event, LeaseEnd},
    ids::{Arrival, ClaimId, ExecutionId, Revision},
    instance::Instance,
    lease::{Cancellation, Proof},
    status::{News, Spec},
    time::{Steady, Timestamp},
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
    /// Look again at that time.
    Arm(Steady),
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
    pub input: Option<Revision>,
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
            due: instance.next_due(),
        }
    }
}

/// What `events` call for, beyond what was outstanding `before` them.
pub fn effects(before: Outlook, events: &[Event], news: Vec<News>, after: &Instance) -> Vec<Effect> {
    let mut effects: Vec<Effect> = news.into_iter().map(|news| Effect::Publish(Arc::new(news))).collect();
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
    let continued = events.iter().any(|event| matches!(event, Event::ExecutionContinued { .. }));
    let prefer = ended.filter(|_| continued).map(|(proof, _)| proof.claim);
    effects.extend(outstanding_since(before, prefer, after));
    effects
}

/// What a fresh owner of the instance has to do.
pub fn outstanding(instance: &Instance) -> Vec<Effect> {
    outstanding_since(Outlook::default(), None, instance)
}

fn outstanding_since(before: Outlook, prefer: Option<ClaimId>, instance: &Instance) -> Vec<Effect> {
    let now = Outlook::of(instance);
    let mut effects = Vec::new();
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
    if let Some(due) = now.due.filter(|_| now.due != before.due) {
        effects.push(Effect::Arm(due));
    }
    effects
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
