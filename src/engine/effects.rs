//! What is done once a change is durable, in revision order; then whoever waited for it is told.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Shared,
    committer::Committed,
    dispatch::Match,
    partition::Receipt,
    work_items::Item,
    workers::{Session, StopReason},
};
use crate::core::{
    command::{Command, Grant},
    effect::{Effect, Letter},
    ids::{ClaimId, InstanceKey},
    partitioning::PartitionId,
    status::Told,
};
use crate::mutant::Mutant;

impl Shared {
    /// Carries out what the next change of a commit calls for, or, once a partition has none left, tells whoever
    /// waited for it. Never waits. Answers whether there was anything left to do.
    pub(super) fn carry_out_next(&self, committed: &mut Committed) -> bool {
        let Some(part) = committed.0.front_mut() else { return false };
        if let Some(change) = part.changes.next() {
            self.effects(&change.key, change.effects);
            if let Some(Receipt { from, arrival, number }) = change.receipt {
                self.partitions[usize::from(from.0)].acknowledge(&change.key, arrival, number);
            }
        } else if let Some(part) = committed.0.pop_front() {
            part.partition.has_become_durable(part.revision);
        }
        true
    }

    /// Carries out the effects of one change, or what a recovered instance has outstanding.
    pub(super) fn effects(&self, key: &InstanceKey, effects: Vec<Effect>) {
        let mut freed: Option<Arc<Session>> = None;
        let mut matches = Vec::new();
        let mut items = Vec::new();
        for effect in effects {
            if is_dropped(&effect) {
                continue;
            }
            match effect {
                Effect::Publish(news) => self.watchers.publish(news),
                Effect::EndClaim { claim, expired } => freed = self.end_claim(claim, expired),
                Effect::Cancel { claim, why } => self.tell(claim, |s| s.cancel(claim, StopReason::Cancelled(why))),
                Effect::HandOut(run) => {
                    // It may stand on the board again: suspended and resumed between its offer and the grant.
                    self.dispatch.withdraw(key);
                    let (proof, session) = (run.proof, self.dispatch.session_of(run.proof.claim));
                    if !session.is_some_and(|session| session.hand_out(key.clone(), run)) {
                        self.take_back(key, proof);
                    }
                }
                Effect::Pace { claim, suspended, at } => self.tell(claim, |s| s.pace(claim, suspended, at)),
                Effect::DeliverEvents { claim } => self.tell(claim, |s| s.deliver_events(claim)),
                Effect::Withdraw => self.dispatch.withdraw(key),
                Effect::Offer(offer) => {
                    let prefer = offer.prefer.and(freed.as_ref()).map(|session| session.id);
                    matches.extend(self.dispatch.offer(key, &offer, prefer));
                }
                Effect::WithdrawTurn => self.work_items.withdraw_turn(key),
                Effect::WithdrawActivities => self.work_items.withdraw_activities(key),
                Effect::OfferTurn { offer, or_run } => items.push((Item::turn(key.clone(), offer), or_run)),
                Effect::OfferActivity(offer) => items.push((Item::activity(key.clone(), offer), false)),
                Effect::Send(letter) => self.send(key, letter),
                Effect::Arm(due) => self.timers.arm(key.clone(), due),
            }
        }
        matches.extend(freed.into_iter().flat_map(|session| self.dispatch.resume(session.id)));
        self.grant(matches);
        // Where both kinds of worker have room, the native one has it.
        items.into_iter().for_each(|(item, or_run)| self.offer_item(item, or_run));
    }

    pub(super) fn send(&self, from: &InstanceKey, Letter { arrival, number, message }: Letter) {
        let to = from.sibling(&message.to);
        let receipt = Receipt { from: PartitionId::of(from), arrival, number };
        self.partition(&to).receive(&to, receipt, message, self.clock.now());
    }

    fn tell(&self, claim: ClaimId, tell: impl FnOnce(&Session)) {
        if let Some(session) = self.dispatch.session_of(claim) {
            tell(&session);
        }
    }

    fn end_claim(&self, claim: ClaimId, expired: bool) -> Option<Arc<Session>> {
        self.metrics.leases_expired.add(u64::from(expired));
        let session = self.dispatch.end_claim(claim, expired)?;
        if expired {
            session.cancel(claim, StopReason::LeaseLost);
        }
        session.let_go(claim);
        Some(session)
    }

    /// Grants the runs to the workers that they were matched with. A run that was overtaken frees its worker's place
    /// for the next one, so this ends when no run or no place is left.
    pub(super) fn grant(&self, matches: Vec<Match>) {
        let mut matches = VecDeque::from(matches);
        while let Some(Match { key, execution, session, worker }) = matches.pop_front() {
            let claim = ClaimId(self.entropy.sixteen_bytes());
            self.dispatch.route(claim, session);
            let grant = Command::Grant(Grant { execution, claim, worker, ttl: self.config.lease_ttl });
            let verdict = self.partition(&key).submit(&key, &grant, self.clock.now(), None);
            if verdict.result.is_ok() {
                self.metrics.leases_granted.add(1);
            } else {
                self.dispatch.end_claim(claim, false);
                matches.extend(self.dispatch.resume(session));
            }
        }
    }

    /// Does what is due for the instance, and arms its next time: nobody else will where nothing was due yet.
    pub(super) fn tick(&self, key: &InstanceKey) {
        let partition = self.partition(key);
        partition.submit(key, &Command::Tick, self.clock.now(), None);
        self.wake_items(key);
        if let Some(due) = partition.inspect(key, |instance| instance.next_due()).flatten() {
            self.timers.arm(key.clone(), due);
        }
    }
}

/// Only in a mutant.
fn is_dropped(effect: &Effect) -> bool {
    match effect {
        Effect::Publish(news) => match &news.told {
            Told::Transition(transition) => Mutant::DropPublication.is_on() && transition.sequence.is_multiple_of(5),
            Told::Withdrawn(_) => Mutant::DropWithdrawal.is_on(),
            Told::Purged(_) => Mutant::DropPurge.is_on(),
        },
        Effect::EndClaim { .. } => Mutant::DropClaimEnd.is_on(),
        Effect::HandOut(_) => Mutant::DropHandOut.is_on(),
        Effect::DeliverEvents { .. } => Mutant::DropEvents.is_on(),
        Effect::Offer(_) => Mutant::DropOffer.is_on(),
        Effect::Arm(_) => Mutant::DropTimer.is_on(),
        Effect::Pace { .. } => Mutant::DropPace.is_on(),
        Effect::Send(letter) => Mutant::DropMessage.is_on() && letter.number.0.is_multiple_of(3),
        Effect::OfferTurn { .. } => Mutant::DropTurnOffer.is_on(),
        Effect::OfferActivity(_) => Mutant::DropActivityOffer.is_on(),
        Effect::Cancel { .. } | Effect::Withdraw | Effect::WithdrawTurn | Effect::WithdrawActivities => false,
    }
}
