//! Watchers: every transition of an instance in order, without a gap, or word that there is one.

mod execution;
mod inbox;
mod panorama;
mod wait;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

pub(super) use self::execution::Follow;
use self::inbox::{Inbox, Pattern};
pub use self::{
    panorama::{Glimpse, Panorama, Wanted},
    wait::Milestone,
};
use super::{Payloads, Refusal, Shared, query::Sighting};
use crate::{
    core::{
        ids::{Arrival, ExecutionId, InstanceKey, Revision, TaskHub},
        instance::Instance,
        limits,
        rejection::Rejection,
        status::{News, Told, Transition},
    },
    mutant::Mutant,
    store::{Table, record},
};

/// Transitions that a watcher may fall behind before it is told to start afresh.
const BUFFERED_TRANSITIONS: usize = 64;

/// Watches by a pattern in one task hub: every transition there asks each of them.
const PATTERNS_MAX: usize = 1_000;

/// Who watches which instance.
pub struct Watchers {
    topics: DashMap<InstanceKey, Topic, RandomState>,
    /// By task hub; empty where nobody watches by a pattern.
    patterns: RwLock<HashMap<TaskHub, Vec<Pattern>>>,
    places: Arc<Semaphore>,
    places_max: usize,
    /// As many more, for calls that wait.
    waits: Arc<Semaphore>,
}

/// Who watches one instance by its id.
#[derive(Default)]
struct Topic {
    channel: Option<broadcast::Sender<Arc<News>>>,
    /// Of those who watch others too.
    inboxes: Vec<Arc<Inbox>>,
}

/// What a watcher asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// This execution only, from the queue to its end.
    pub execution: Option<ExecutionId>,
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
    /// The life of the id that it belongs to.
    born: Option<Revision>,
    /// Transitions were missed: the current state comes next.
    behind: bool,
    /// What it saw, or asks to go on after, is of a life of the id that is over: the next one begins with a resync.
    estranged: bool,
    follow: Option<Follow>,
    /// Nothing follows the backlog.
    over: bool,
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
    /// The instance is gone; its last state. Whether transitions before it could not be delivered.
    Purged {
        gap: bool,
    },
}

struct Subscription {
    key: InstanceKey,
    shared: Arc<Shared>,
    receiver: Option<broadcast::Receiver<Arc<News>>>,
    _place: OwnedSemaphorePermit,
}

impl Watchers {
    pub fn new(watchers_max: usize) -> Watchers {
        let places_max = watchers_max.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places_max));
        let waits = Arc::new(Semaphore::new(places_max));
        Watchers { topics: DashMap::default(), patterns: RwLock::default(), places, places_max, waits }
    }

    /// How many watch.
    pub fn open(&self) -> usize {
        self.places_max.saturating_sub(self.places.available_permits())
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        self.places_max.saturating_sub(self.waits.available_permits())
    }

    /// Tells everybody who watches the instance.
    pub fn publish(&self, news: Arc<News>) {
        let view = news.view();
        let topic = self.topics.get(&view.key);
        let patterns = self.patterns.read();
        let of_hub = if patterns.is_empty() { None } else { patterns.get(view.key.hub()) };
        for pattern in of_hub.into_iter().flatten().filter(|pattern| pattern.means(&news)) {
            pattern.inbox.put(&news);
        }
        if let Some(topic) = topic {
            topic.inboxes.iter().for_each(|inbox| inbox.put(&news));
            if let Some(channel) = &topic.channel {
                // Without receivers there is nobody to tell: the last one is just leaving.
                let _ = channel.send(news);
            }
        }
    }

    fn take_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.places.clone().try_acquire_owned().map_err(|_| Refusal::TooMany("watchers"))
    }

    /// Who waits must not be refused because many watch, nor the other way round.
    fn take_place_to_wait(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.waits.clone().try_acquire_owned().map_err(|_| Refusal::TooMany("calls that wait"))
    }
}

impl Topic {
    fn is_deserted(&self) -> bool {
        self.inboxes.is_empty() && self.channel.as_ref().is_none_or(|channel| channel.receiver_count() == 0)
    }
}

impl Subscription {
    fn new(shared: &Arc<Shared>, key: &InstanceKey, place: OwnedSemaphorePermit) -> Subscription {
        let mut topic = shared.watchers.topics.entry(key.clone()).or_default();
        let channel = topic.channel.get_or_insert_with(|| broadcast::Sender::new(BUFFERED_TRANSITIONS));
        let receiver = channel.subscribe();
        drop(topic);
        Subscription { key: key.clone(), shared: shared.clone(), receiver: Some(receiver), _place: place }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        drop(self.receiver.take());
        self.shared.watchers.topics.remove_if(&self.key, |_, topic| topic.is_deserted());
    }
}

impl Watch {
    /// Begins to watch: from the current state, or with the transitions after a revision.
    pub(super) async fn begin(shared: Arc<Shared>, key: InstanceKey, wish: Wish) -> Result<Watch, Refusal> {
        let place = shared.watchers.take_place()?;
        Watch::begin_at(place, shared, key, wish).await
    }

    async fn begin_at(
        place: OwnedSemaphorePermit,
        shared: Arc<Shared>,
        key: InstanceKey,
        wish: Wish,
    ) -> Result<Watch, Refusal> {
        // First subscribe, then look: what is committed in between comes twice, and the sequence number tells.
        let subscription = Subscription::new(&shared, &key, place);
        let mut watch = Watch {
            shared,
            payloads: wish.payloads,
            subscription,
            backlog: VecDeque::new(),
            sequence: 0,
            born: None,
            behind: false,
            estranged: false,
            follow: wish.execution.map(Follow::new),
            over: false,
        };
        match watch.look_first(wish.from).await {
            // An execution whose instance is not there never comes.
            Err(refusal) if wish.wait_for_start && wish.execution.is_none() && is_absence(&refusal) => {
                watch.await_start(wish.from).await?;
            }
            other => other?,
        }
        Ok(watch)
    }

    async fn look_first(&mut self, from: Option<Revision>) -> Result<(), Refusal> {
        match from {
            None => self.look_at_current(ItemKind::Current).await,
            Some(after) => self.catch_up(after).await,
        }
    }

    /// There is no instance: what comes of a former life of the id, purged just now, is none of this watcher's.
    async fn await_start(&mut self, from: Option<Revision>) -> Result<(), Refusal> {
        let key = self.subscription.key.clone();
        match self.shared.look_or_absent(&key, |_, _| ()).await? {
            Ok(()) => self.look_first(from).await,
            Err(absent_at) => {
                self.born = Some(Revision(absent_at.0 + 1));
                self.estranged = from.is_some_and(|after| after != Revision(0));
                Ok(())
            }
        }
    }

    /// The next item; nothing after the end of what is watched. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Item>, Refusal> {
        loop {
            if let Some(item) = self.backlog.pop_front() {
                if Mutant::SubscribeLate.is_on() && self.backlog.is_empty() {
                    let place = self.shared.watchers.take_place()?;
                    self.subscription = Subscription::new(&self.shared, &self.subscription.key, place);
                }
                return Ok(Some(item));
            }
            if self.over {
                return Ok(None);
            }
            // Remembered, so that it comes also if this future is dropped while the state is looked at.
            if self.behind {
                match self.look_at_current(ItemKind::Resync).await {
                    // It was purged: the word of that is among what still comes.
                    Err(refusal) if is_absence(&refusal) => (self.sequence, self.estranged) = (0, true),
                    looked => looked?,
                }
                self.behind = false;
                continue;
            }
            let Some(receiver) = &mut self.subscription.receiver else {
                return Err(Refusal::Unavailable("the watch has ended"));
            };
            match receiver.recv().await {
                Ok(news) => self.take(&news),
                // The state tells whether any was missed that it had not shown.
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = !Mutant::HideLag.is_on(),
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Refusal::Unavailable("the server is shutting down"));
                }
            }
        }
    }

    /// Whether nothing is left to deliver of an instance that has ended.
    pub fn is_over(&self) -> bool {
        let key = &self.subscription.key;
        let look = |i: &Instance| (i.born, i.sequence, i.execution.status.is_live());
        let state = self.shared.partition(key).look(key, look).found;
        let ended = state.is_some_and(|state| state == (self.born.unwrap_or_default(), self.sequence, false));
        self.backlog.is_empty() && (self.over || ended)
    }

    fn take(&mut self, news: &News) {
        match &news.told {
            // Of a former life of the id.
            Told::Transition(old) | Told::Purged(old) if self.born.is_some_and(|born| old.view.revision < born) => {}
            Told::Transition(transition) if transition.sequence <= self.sequence => {}
            Told::Transition(_) if self.estranged => self.behind = true,
            Told::Transition(transition) if transition.sequence == self.sequence + 1 || Mutant::HideLag.is_on() => {
                if transition.sequence == 1 {
                    self.born = Some(transition.view.revision);
                }
                self.sequence = transition.sequence;
                self.show(Arc::new(transition.clone()), ItemKind::Transition, None);
            }
            Told::Transition(_) => self.behind = true,
            Told::Withdrawn(view) => {
                if self.follow.as_ref().is_some_and(|follow| follow.is_of(view)) {
                    let transition = Transition { sequence: self.sequence, view: view.clone() };
                    self.show(Arc::new(transition), ItemKind::Transition, None);
                }
            }
            Told::Purged(last) => {
                let gap = last.sequence != self.sequence;
                self.over = true;
                if self.follow.is_none() {
                    self.backlog.push_back(Item {
                        transition: Arc::new(last.clone()),
                        kind: ItemKind::Purged { gap },
                        payloads: None,
                    });
                }
            }
        }
    }

    /// Puts an item into the backlog, unless it is not of the execution that is watched.
    fn show(&mut self, transition: Arc<Transition>, kind: ItemKind, payloads: Option<Box<Payloads>>) {
        let shown = self.follow.as_mut().is_none_or(|follow| follow.shows(&transition.view));
        self.over |= self.follow.as_ref().is_some_and(Follow::is_over);
        if shown {
            self.backlog.push_back(Item { transition, kind, payloads });
        }
    }

    async fn look_at_current(&mut self, kind: ItemKind) -> Result<(), Refusal> {
        if self.follow.is_some() {
            return self.look_at_execution(kind).await;
        }
        let key = self.subscription.key.clone();
        let (sighting, payloads) = if self.payloads {
            let (sighting, payloads) = self.shared.look_with_payloads(&key, None).await?;
            (sighting, Some(Box::new(payloads)))
        } else {
            (self.shared.look_at(&key, None).await?, None)
        };
        self.look_shows(sighting, kind, payloads);
        Ok(())
    }

    /// The state that was looked at comes next, unless the watcher has seen it.
    fn look_shows(&mut self, sighting: Sighting, kind: ItemKind, payloads: Option<Box<Payloads>>) {
        let Sighting { born, newest, transition, .. } = sighting;
        let is_news = kind == ItemKind::Current || self.born != Some(born) || self.sequence != newest;
        self.born = Some(born);
        self.sequence = newest;
        self.estranged = false;
        if is_news {
            self.show(Arc::new(transition), kind, payloads);
        }
    }

    /// The kept transitions after a revision, if all of them are kept.
    async fn catch_up(&mut self, after: Revision) -> Result<(), Refusal> {
        let key = self.subscription.key.clone();
        let look = |i: &Instance, now| (i.arrival, i.born, i.revision, i.first_transition(&key, now));
        let (arrival, born, newest, first) = self.shared.look(&key, look).await?;
        // What was seen before the store was restored may be of a future that it lost, but for what still stands.
        let restored = self.shared.partition(&key).restored;
        if after > newest || (after < born.max(restored) && after != newest && after.0 != 0) {
            return self.look_at_current(ItemKind::Resync).await;
        }
        let mut kept = self.shared.kept_transitions(&key, arrival).await?;
        if kept.is_empty() {
            kept.extend(first);
        }
        let reaches_back = |first: &Transition| first.sequence == 1 || after >= first.view.revision;
        // Where the id was purged and started meanwhile, the rows are those of its new life.
        let is_same_life = self.shared.partition(&key).look(&key, |instance| instance.born).found == Some(born);
        let is_whole = is_same_life && kept.first().is_some_and(reaches_back);
        if !is_whole && !Mutant::HideGapAtResume.is_on() {
            return self.look_at_current(ItemKind::Resync).await;
        }
        self.born = Some(born);
        self.sequence = kept.last().map_or(0, |t| t.sequence);
        // An execution that waits in the queue has no transition yet, and one that is over may have none after this.
        if let Some(follow) = &mut self.follow {
            for transition in kept.iter().filter(|transition| transition.view.revision <= after) {
                follow.shows(&transition.view);
            }
            if !follow.has_begun() && !kept.iter().any(|transition| follow.is_of(&transition.view)) {
                return self.look_at_execution(ItemKind::Resync).await;
            }
            self.over = follow.is_over();
        }
        for transition in kept.into_iter().filter(|transition| transition.view.revision > after) {
            self.show(Arc::new(transition), ItemKind::Transition, None);
        }
        Ok(())
    }
}

impl Shared {
    /// The transitions of an instance that are kept, the oldest first: none where there was but one.
    pub(super) async fn kept_transitions(
        &self,
        key: &InstanceKey,
        arrival: Arrival,
    ) -> Result<Vec<Transition>, Refusal> {
        let limit = limits::TRANSITIONS_KEPT as usize * 2;
        let rows = self.read(move |store| store.read(Table::Transition, arrival, 0, limit)).await?;
        rows.iter()
            .map(|row| record::decode_transition(key, row.key.number, &row.bytes))
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Damaged(error.to_string()))
    }
}

fn is_absence(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Rejected(rejection) if matches!(**rejection, Rejection::NotFound { .. }))
}

impl Item {
    /// Whether a watcher that waits for the end may leave after this.
    pub fn is_terminal(&self) -> bool {
        !self.transition.view.execution.status.is_live()
    }
}
