//! What an engine has before it that carries out every effect, and what the state calls for.

use soloist::core::{
    effect::{Effect, outstanding},
    ids::{ClaimId, ExecutionId},
    instance::Instance,
    lease::Cancellation,
    time::Steady,
};

/// What an engine that carried out all effects has before it.
#[derive(Debug, Default)]
pub struct Board {
    offer: Option<ExecutionId>,
    /// A turn that waits for a Durable Task worker.
    turn: Option<ExecutionId>,
    cancel: Option<(ClaimId, Cancellation)>,
    /// Who was told that there are events, and up to which.
    events: Option<(ClaimId, u64)>,
    pub armed: Option<Steady>,
    handed_out: Option<ClaimId>,
    /// Who was told to pause, and not yet to go on.
    paused: Option<ClaimId>,
}

impl Board {
    pub fn carry_out(&mut self, effects: &[Effect], after: Option<&Instance>) {
        for effect in effects {
            match effect {
                Effect::Publish(_) => {}
                Effect::Pace { claim, suspended, .. } => {
                    assert_ne!(self.paused == Some(*claim), *suspended, "told what it knows");
                    self.paused = suspended.then_some(*claim);
                }
                Effect::EndClaim { claim, .. } => {
                    self.cancel = self.cancel.filter(|(cancelled, _)| cancelled != claim);
                    self.events = self.events.filter(|(told, _)| told != claim);
                    self.handed_out = self.handed_out.filter(|held| held != claim);
                    self.paused = self.paused.filter(|paused| paused != claim);
                }
                Effect::Cancel { claim, why } => self.cancel = Some((*claim, *why)),
                Effect::HandOut(run) => {
                    let instance = after.expect("a run is of an instance");
                    assert_eq!(Some(run.proof), instance.lease.as_ref().map(|lease| lease.proof()));
                    assert_eq!(self.offer.take(), Some(run.execution), "only what was offered is handed out");
                    assert_eq!(self.handed_out.replace(run.proof.claim), None, "one worker at a time");
                }
                Effect::DeliverEvents { claim } => {
                    self.events = after.map(|instance| (*claim, instance.inbox_last));
                }
                Effect::Withdraw => assert!(self.offer.take().is_some(), "only what was offered is withdrawn"),
                Effect::Offer(offer) => self.offer = Some(offer.execution),
                Effect::OfferTurn { offer, or_run } => {
                    self.turn = Some(offer.execution);
                    assert_eq!(*or_run, after.is_some_and(Instance::is_grantable));
                }
                Effect::WithdrawTurn => assert!(self.turn.take().is_some(), "only what was offered is withdrawn"),
                Effect::OfferActivity(_) | Effect::WithdrawActivities | Effect::Send(_) => {
                    panic!("nobody has completed a turn")
                }
                Effect::Arm(due) => self.arm(*due),
            }
        }
    }

    /// A later time than the one that is armed changes nothing.
    pub fn arm(&mut self, due: Steady) {
        self.armed = Some(self.armed.map_or(due, |armed| armed.min(due)));
    }

    /// What was carried out so far leaves what the state calls for, and so does what a fresh owner begins with.
    pub fn check(&self, instance: &Instance) {
        let held = instance.lease.as_ref().filter(|lease| lease.cancelled.is_none()).map(|lease| lease.claim);
        let due = instance.next_due();
        let offer = instance.is_grantable().then_some(instance.execution.id);
        let turn = instance.awaits_turn().then_some(instance.execution.id);
        let cancel = instance.lease.as_ref().and_then(|lease| Some((lease.claim, lease.cancelled?)));
        let open = |last: u64| last > instance.inbox_after && !instance.is_suspended();
        let events = held.map(|claim| (claim, instance.inbox_last)).filter(|(_, last)| open(*last));
        let paused = held.filter(|_| instance.is_suspended());
        let mut fresh = Board::default();
        fresh.carry_out(&outstanding(instance), Some(instance));
        let begun = (fresh.offer, fresh.turn, fresh.cancel, fresh.events, fresh.paused, fresh.armed);
        assert_eq!(begun, (offer, turn, cancel, events, paused, due));

        let told = self.events.filter(|(claim, last)| held == Some(*claim) && open(*last));
        let paused_now = self.paused.filter(|claim| held == Some(*claim));
        assert_eq!((self.offer, self.turn, self.cancel, told, paused_now), (offer, turn, cancel, events, paused));
        // A lease that was renewed is looked at too early, never too late.
        assert!(due.is_none_or(|due| self.armed.is_some_and(|armed| armed <= due)), "{self:?}, due {due:?}");
    }
}
