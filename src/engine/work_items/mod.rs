//! Durable Task work items: turns and activities, and the streams of the workers that take them.

mod board;
mod calls;
mod content;
mod filters;
mod item;
mod lanes;
mod leases;
mod seat;
mod stream;

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use self::{
    board::{Joined, Lapsed, Match},
    content::Wanted,
};
pub use self::{
    board::{Out, Sent, WorkItems},
    content::{Content, TurnContent},
    filters::{Filters, Wishes},
    item::{Item, Work},
    stream::{Assignment, Stream, StreamId},
};
use super::{Engine, Refusal, Shared, partition::TurnClaim};
use crate::core::{
    command::{Command, CompleteTurn, EndTask, Ending},
    effect::{Effect, Offer},
    ids::{CompletionToken, InstanceKey, Revision, TaskHub},
    instance::Instance,
    status::Failure,
    time::{Now, Span},
    turn::TaskOutcome,
};

/// A worker's stream in the engine. Dropped when it has ended: what the worker did not complete is handed out again.
pub struct Attendance {
    shared: Arc<Shared>,
    pub stream: Arc<Stream>,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let (lost, matches) = self.shared.work_items.leave(self.stream.id);
        for (token, item) in lost {
            self.shared.take_back_item(token, &item);
        }
        self.shared.hand_out(matches);
    }
}

impl Engine {
    /// A worker's stream has come.
    pub fn attend(&self, wishes: Wishes) -> Result<Attendance, Refusal> {
        let shared = &self.shared;
        let id = StreamId(shared.sessions.fetch_add(1, Ordering::Relaxed));
        let stream = Stream::new(id, wishes);
        let matches = shared.work_items.join(&stream, shared.config.workers_max);
        let Joined { matches, is_first } = matches.ok_or(Refusal::TooMany("workers"))?;
        let attendance = Attendance { shared: shared.clone(), stream };
        shared.hand_out(matches);
        if is_first {
            shared.offer_unattended(&attendance.stream.wishes.hub);
        }
        Ok(attendance)
    }

    /// The time, on both clocks.
    pub fn moment(&self) -> Now {
        self.shared.clock.now()
    }

    /// Whether what this work item's worker is to be told is durable.
    pub fn is_tellable(&self, assignment: &Assignment) -> bool {
        let partition = self.shared.partition(&assignment.item.key);
        assignment.claim.as_ref().is_none_or(|claim| partition.is_durable(claim.speaks_of))
    }

    /// Waits until it is.
    pub async fn until_tellable(&self, assignment: &Assignment) -> Result<(), Refusal> {
        let Some(claim) = &assignment.claim else { return Ok(()) };
        let partition = self.shared.partition(&assignment.item.key);
        self.shared.until_durable(partition, claim.speaks_of).await.map_err(Refusal::from_read)
    }

    /// What the workers of these are to be told, of one after the other until that is much: of the first one in any case.
    /// Nothing of what is no longer wanted. All are read at once, since to go to the store costs more than to read there.
    pub async fn contents(&self, assignments: &[Assignment]) -> Vec<Result<Option<Content>, Refusal>> {
        let wanted: Vec<Wanted> = assignments.iter().map(Wanted::of).collect();
        let read = if wanted.iter().any(Wanted::is_stored) {
            self.shared.read(move |store| Ok(content::read_all(store, &wanted))).await
        } else {
            Ok(content::read_all(&*self.shared.store, &wanted))
        };
        let contents = match read {
            Ok(contents) => contents,
            Err(refusal) => return vec![Err(refusal)],
        };
        let still_wanted = contents.into_iter().zip(assignments).map(|(content, Assignment { token, item, .. })| {
            // What was read may be gone because nobody wants it any more.
            let is_wanted = match item.work {
                Work::Turn => self.shared.partition(&item.key).holds_turn(&item.key, *token),
                Work::Activity(_) => self.shared.is_wanted(item),
            };
            if is_wanted { Ok(content?) } else { Ok(None) }
        });
        still_wanted.collect()
    }

    /// What was sent to the worker of a turn is remembered for its completion.
    pub fn was_sent(&self, token: CompletionToken, sent: Sent) {
        self.shared.work_items.was_sent(token, sent);
    }

    /// The work item that a worker has.
    pub fn item_out(&self, token: CompletionToken) -> Option<Out> {
        self.shared.work_items.out(token)
    }

    /// The turn of this instance that a worker has which names no tokens.
    pub fn turn_out(&self, key: &InstanceKey) -> Option<CompletionToken> {
        self.shared.work_items.called(key, None)
    }

    /// The activity of this instance that such a worker has, by the orchestrator's number.
    pub fn activity_out(&self, key: &InstanceKey, id: i32) -> Option<CompletionToken> {
        self.shared.work_items.called(key, Some(id))
    }

    /// The worker that has this work item has named its token.
    pub fn names_tokens(&self, token: CompletionToken) {
        self.shared.hand_out(self.shared.work_items.names_tokens(token));
    }

    /// Takes what a worker made of its turn: decided at once, and durable when this returns.
    pub fn complete_turn(
        &self,
        key: InstanceKey,
        turn: CompleteTurn,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let token = turn.token;
        self.complete(key, Command::CompleteTurn(turn), token)
    }

    /// Takes the result of an activity: decided at once, and durable when this returns.
    pub fn end_activity(
        &self,
        out: &Out,
        token: CompletionToken,
        outcome: TaskOutcome,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let task = match &out.item.work {
            Work::Activity(offer) => offer.task,
            Work::Turn => Revision(0),
        };
        self.complete(out.item.key.clone(), Command::EndTask(EndTask { task, outcome }), token)
    }

    fn complete(
        &self,
        key: InstanceKey,
        command: Command,
        token: CompletionToken,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let submit = || shared.partition(&key).submit(&key, &command, shared.clock.now(), None);
        let verdict = shared.check_store().map(|()| submit());
        if verdict.is_ok() {
            shared.hand_out(shared.work_items.done(token));
        }
        async move {
            let partition = shared.partition(&key);
            shared.answer(partition, verdict?).await.map(|_| ())
        }
    }

    /// The worker won't do it: somebody is asked again, after a rest.
    pub fn abandon(&self, token: CompletionToken) {
        let shared = &self.shared;
        let Some(Out { item, .. }) = shared.work_items.out(token) else { return };
        // The turn is free before it rests: a stream that comes meanwhile takes what rests, and must find it free.
        let (mut effects, is_wanted) = match item.work {
            Work::Turn => {
                let effects = shared.partition(&item.key).release_turn(&item.key, token);
                let is_wanted = effects.iter().any(is_turn_offer);
                (effects, is_wanted)
            }
            Work::Activity(_) => (Vec::new(), shared.is_wanted(&item)),
        };
        if !is_wanted {
            shared.effects(&item.key, effects);
            return self.take_back_item(token);
        }
        let abandoned = shared.work_items.abandon(token, shared.clock.now().steady);
        if abandoned.is_some() {
            effects.retain(|effect| !is_turn_offer(effect));
        }
        shared.effects(&item.key, effects);
        if let Some((due, matches)) = abandoned {
            shared.timers.arm(item.key.clone(), due);
            shared.hand_out(matches);
        }
    }

    /// A work item never reached its worker, or is to be told anew.
    pub fn take_back_item(&self, token: CompletionToken) {
        if let Some((item, matches)) = self.shared.work_items.take_back(token) {
            self.shared.take_back_item(token, &item);
            self.shared.hand_out(matches);
        }
    }

    /// No worker can be told all of the turn: the execution ends here, lest it be handed out for ever.
    pub async fn give_turn_up(&self, key: &InstanceKey, token: CompletionToken, claim: &TurnClaim, failure: Failure) {
        tracing::error!(?key, error = failure.message, "an orchestration has failed because its turn can't be told");
        let turn = CompleteTurn {
            token,
            notes: Vec::new(),
            through: claim.inbox_last,
            began_at: self.now(),
            custom_status: None,
            trace: None,
            actions: Vec::new(),
            ending: Some(Ending::Failed { failure: Arc::new(failure), output: None }),
        };
        // It may have been overtaken.
        let _ = self.complete_turn(key.clone(), turn).await;
    }
}

impl Shared {
    /// A turn or an activity waits for a worker.
    /// While nobody attends to its hub, a turn that native workers are offered as a run waits with these alone.
    pub(super) fn offer_item(&self, item: Item, or_run: bool) {
        let matches = self.work_items.offer(item, or_run);
        self.hand_out(matches);
    }

    /// The hub's first stream is there: what has waited with native workers alone is offered to it too.
    fn offer_unattended(&self, hub: &TaskHub) {
        for (key, execution) in self.dispatch.waiting_in(hub) {
            let offer = |instance: &Instance| {
                let spec = &instance.execution.spec;
                instance.awaits_turn().then(|| Offer { execution, spec: Arc::clone(spec), prefer: None })
            };
            if let Some(offer) = self.partition(&key).inspect(&key, offer).flatten() {
                self.offer_item(Item::turn(key, offer), true);
            }
        }
    }

    /// Gives work items to the streams that they were matched with. One that is no longer wanted frees its stream's
    /// place for the next, so this ends when no item or no place is left.
    fn hand_out(&self, matches: Vec<Match>) {
        let mut matches = std::collections::VecDeque::from(matches);
        while let Some(Match { item, stream }) = matches.pop_front() {
            let token = CompletionToken(self.entropy.sixteen_bytes());
            let leased = match &item.work {
                Work::Turn => match self.partition(&item.key).claim_turn(&item.key, item.execution, token) {
                    Some(claim) => {
                        // No native worker is to have it meanwhile.
                        self.dispatch.withdraw_execution(&item.key, item.execution);
                        Some((claim, self.clock.now().steady + self.config.turn_ttl))
                    }
                    None => {
                        matches.extend(self.work_items.free(stream, &item));
                        continue;
                    }
                },
                Work::Activity(_) if self.is_wanted(&item) => None,
                Work::Activity(_) => {
                    matches.extend(self.work_items.free(stream, &item));
                    continue;
                }
            };
            match self.work_items.hand_out(token, stream, &item, leased) {
                Ok(false) => {}
                Ok(true) => self.timers.look_again(),
                Err(freed) => {
                    matches.extend(freed);
                    self.take_back_item(token, &item);
                }
            }
        }
    }

    /// Whether the orchestration waits for the activity.
    fn is_wanted(&self, item: &Item) -> bool {
        let Work::Activity(offer) = &item.work else { return true };
        let waits = |instance: &Instance| {
            let turns = instance.turns.as_ref().filter(|_| instance.execution.id == offer.execution);
            turns.is_some_and(|turns| turns.task(offer.task).is_some())
        };
        self.partition(&item.key).inspect(&item.key, waits).unwrap_or(false)
    }

    /// Whoever had it did not complete it.
    fn take_back_item(&self, token: CompletionToken, item: &Arc<Item>) {
        match item.work {
            Work::Turn => {
                let effects = self.partition(&item.key).release_turn(&item.key, token);
                if !effects.iter().any(is_turn_offer) {
                    self.work_items.forget(item);
                }
                self.effects(&item.key, effects);
            }
            Work::Activity(_) if self.is_wanted(item) => {
                let matches = self.work_items.offer_again(item);
                self.hand_out(matches);
            }
            // Nobody would withdraw it.
            Work::Activity(_) => self.work_items.forget(item),
        }
    }

    /// Offers the next turn again that its worker has had for too long. Answers whether there was one.
    pub(super) fn lapse_turn(&self) -> bool {
        let lapsed = self.work_items.lapse(self.clock.now().steady, self.config.turn_ttl);
        let Some(Lapsed { token, item, stream, matches }) = lapsed else { return false };
        let effects = self.partition(&item.key).release_turn(&item.key, token);
        if effects.iter().any(is_turn_offer) {
            tracing::warn!(key = ?item.key, stream = stream.0, "a worker has not answered for its turn: it is offered again");
            self.work_items.avoid(&item, stream);
        } else {
            self.work_items.forget(&item);
        }
        self.hand_out(matches);
        self.effects(&item.key, effects);
        true
    }

    /// What has rested for long enough is offered again.
    pub(super) fn wake_items(&self, key: &InstanceKey) {
        let (matches, next) = self.work_items.wake(key, self.clock.now().steady);
        if let Some(due) = next {
            self.timers.arm(key.clone(), due);
        }
        self.hand_out(matches);
    }
}

fn is_turn_offer(effect: &Effect) -> bool {
    matches!(effect, Effect::OfferTurn { .. })
}

/// How long a work item rests after it was abandoned for the n-th time in a row.
fn rest(strikes: u32) -> Span {
    const FIRST: Span = Span::from_micros(100_000);
    const LONGEST: Span = Span::from_secs(30);
    FIRST.scale(f64::from(1_u32 << strikes.min(16))).min(LONGEST)
}

#[cfg(test)]
mod tests;
