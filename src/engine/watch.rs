//! Watchers: every transition of an instance in order, without a gap, or word that there is one.

use std::{collections::VecDeque, sync::Arc};

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use super::{Payloads, Refusal, Shared};
use crate::{
    core::{
        ids::{InstanceKey, Revision},
        instance::Instance,
        limits,
        rejection::Rejection,
        status::Transition,
    },
    mutant::Mutant,
    store::{Table, record},
};

/// Transitions that a watcher may fall behind before it is told to start afresh.
const BUFFERED_TRANSITIONS: usize = 64;

/// Who watches which instance.
pub struct Watchers {
    topics: DashMap<InstanceKey, broadcast::Sender<Arc<Transition>>>,
    places: Arc<Semaphore>,
}

/// What a watcher asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// The transitions after this revision, instead of the current state first.
    pub from: Option<Revision>,
    /// Wait for an instance that was never started.
    pub wait_for_start: bool,
    /// Payloads with the current state.
    pub payloads: bool,
}

/// One watcher's stream.
pub struct Watch {
    shared: Arc<Shared>,
    payloads: bool,
    subscription: Subscription,
    /// What comes before the live transitions.
    backlog: VecDeque<Item>,
    /// The sequence number of the last item.
    sequence: u64,
    /// Transitions were missed: the current state comes next.
    behind: bool,
    /// It has seen an instance that is not there: what comes next is of another one with its id.
    bereft: bool,
}

/// One thing that a watcher sees.
#[derive(Clone, Debug)]
pub struct Item {
    pub transition: Arc<Transition>,
    pub kind: ItemKind,
    /// Only with the current state, and only where they were asked for.
    pub payloads: Option<Box<Payloads>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// The state as it is, which the watcher asked for.
    Current,
    /// The state as it is: transitions before it could not be delivered.
    Resync,
    Transition,
}

struct Subscription {
    key: InstanceKey,
    shared: Arc<Shared>,
    receiver: Option<broadcast::Receiver<Arc<Transition>>>,
    _place: OwnedSemaphorePermit,
}

impl Watchers {
    pub fn new(watchers_max: usize) -> Watchers {
        let places = Arc::new(Semaphore::new(watchers_max.min(Semaphore::MAX_PERMITS)));
        Watchers { topics: DashMap::new(), places }
    }

    /// Tells everybody who watches the instance.
    pub fn publish(&self, transition: Transition) {
        if let Some(topic) = self.topics.get(&transition.view.key) {
            // Without receivers there is nobody to tell: the last one is just leaving.
            let _ = topic.send(Arc::new(transition));
        }
    }
}

impl Subscription {
    fn new(shared: &Arc<Shared>, key: &InstanceKey) -> Result<Subscription, Refusal> {
        let places = shared.watchers.places.clone();
        let place = places.try_acquire_owned().map_err(|_| Refusal::TooMany("watchers"))?;
        let topic = shared.watchers.topics.entry(key.clone());
        let receiver = topic.or_insert_with(|| broadcast::Sender::new(BUFFERED_TRANSITIONS)).subscribe();
        Ok(Subscription { key: key.clone(), shared: shared.clone(), receiver: Some(receiver), _place: place })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        drop(self.receiver.take());
        self.shared.watchers.topics.remove_if(&self.key, |_, topic| topic.receiver_count() == 0);
    }
}

impl Watch {
    /// Begins to watch: from the current state, or with the transitions after a revision.
    pub(super) async fn begin(shared: Arc<Shared>, key: InstanceKey, wish: Wish) -> Result<Watch, Refusal> {
        // First subscribe, then look: what is committed in between comes twice, and the sequence number tells.
        let subscription = Subscription::new(&shared, &key)?;
        let mut watch = Watch {
            shared,
            payloads: wish.payloads,
            subscription,
            backlog: VecDeque::new(),
            sequence: 0,
            behind: false,
            bereft: false,
        };
        let began = match wish.from {
            None => watch.look_at_current(ItemKind::Current).await,
            Some(after) => watch.catch_up(after).await,
        };
        match began {
            Err(Refusal::Rejected(rejection))
                if wish.wait_for_start && matches!(*rejection, Rejection::NotFound { .. }) =>
            {
                watch.bereft = wish.from.is_some_and(|after| after.0 != 0);
            }
            other => other?,
        }
        Ok(watch)
    }

    /// The next item. Cancel-safe.
    pub async fn next(&mut self) -> Result<Item, Refusal> {
        loop {
            if let Some(item) = self.backlog.pop_front() {
                self.sequence = item.transition.sequence;
                if Mutant::SubscribeLate.is_on() && self.backlog.is_empty() {
                    self.subscription = Subscription::new(&self.shared, &self.subscription.key)?;
                }
                return Ok(item);
            }
            // Remembered, so that it comes also if this future is dropped while the state is looked at.
            if self.behind {
                self.look_at_current(ItemKind::Resync).await?;
                self.behind = false;
                continue;
            }
            let Some(receiver) = &mut self.subscription.receiver else {
                return Err(Refusal::Unavailable("the watch has ended"));
            };
            match receiver.recv().await {
                Ok(_) if self.bereft => (self.bereft, self.behind) = (false, true),
                Ok(transition) if transition.sequence <= self.sequence => {}
                Ok(transition) if transition.sequence == self.sequence + 1 || Mutant::HideLag.is_on() => {
                    self.backlog.push_back(Item::transition(transition));
                }
                Ok(_) => self.behind = true,
                // The number of the next one tells whether any was missed that the current state had not shown.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Refusal::Unavailable("the server is shutting down"));
                }
            }
        }
    }

    /// Whether nothing is left to deliver of an instance that has ended.
    pub fn is_over(&self) -> bool {
        let key = &self.subscription.key;
        let state = self.shared.partition(key).look(key, |i| (i.sequence, i.execution.status.is_live())).found;
        self.backlog.is_empty() && state.is_some_and(|(sequence, live)| !live && sequence == self.sequence)
    }

    async fn look_at_current(&mut self, kind: ItemKind) -> Result<(), Refusal> {
        let key = &self.subscription.key;
        let (current, payloads) = if self.payloads {
            let (current, payloads) = self.shared.look_with_payloads(key).await?;
            (current, Some(Box::new(payloads)))
        } else {
            let look = |i: &Instance, now| Transition { sequence: i.sequence, view: i.view(key, now) };
            (self.shared.look(key, look).await?, None)
        };
        self.backlog.push_back(Item { transition: Arc::new(current), kind, payloads });
        Ok(())
    }

    /// The kept transitions after a revision, if all of them are kept.
    async fn catch_up(&mut self, after: Revision) -> Result<(), Refusal> {
        let key = self.subscription.key.clone();
        let (arrival, born, newest) = self.shared.look(&key, |i, _| (i.arrival, i.born, i.revision)).await?;
        // What was seen before the store was restored may be of a future that it lost, but for what still stands.
        let restored = self.shared.partition(&key).restored;
        if after > newest || (after < born.max(restored) && after != newest && after.0 != 0) {
            return self.look_at_current(ItemKind::Resync).await;
        }
        let limit = limits::TRANSITIONS_KEPT as usize * 2;
        let rows = self.shared.read(move |store| store.read(Table::Transition, arrival, 0, limit)).await?;
        let kept: Vec<Transition> = rows
            .iter()
            .map(|row| record::decode_transition(&key, row.key.number, &row.bytes))
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Damaged(error.to_string()))?;
        let reaches_back = |first: &Transition| first.sequence == 1 || after >= first.view.revision;
        if !kept.first().is_some_and(reaches_back) && !Mutant::HideGapAtResume.is_on() {
            return self.look_at_current(ItemKind::Resync).await;
        }
        self.sequence = kept.iter().rev().find(|t| t.view.revision <= after).map_or(0, |t| t.sequence);
        let news = kept.into_iter().filter(|transition| transition.view.revision > after);
        self.backlog.extend(news.map(|t| Item::transition(Arc::new(t))));
        Ok(())
    }
}

impl Item {
    fn transition(transition: Arc<Transition>) -> Item {
        Item { transition, kind: ItemKind::Transition, payloads: None }
    }

    /// Whether a watcher that waits for the end may leave after this.
    pub fn is_terminal(&self) -> bool {
        !self.transition.view.execution.status.is_live()
    }
}
