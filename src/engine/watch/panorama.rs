//! A watch of many instances on one stream: how each of them stands, then every transition of theirs.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Refusal, Shared,
    inbox::{Inbox, Pattern},
};
use crate::core::{
    filter::Filter,
    ids::{Arrival, InstanceKey, Revision, TaskHub},
    limits,
    status::{News, Told, Transition},
};

/// Which instances are watched.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// These, whether or not they were ever started.
    These(Arc<[InstanceKey]>),
    /// Those of a task hub that the filter means, by what a transition can't change back.
    Pattern(TaskHub, Arc<Filter>),
}

/// One thing that is seen.
#[derive(Clone, Debug)]
pub enum Glimpse {
    /// How an instance stands, with the number of its latest transition.
    Current(Box<Transition>),
    /// All of them were shown: from now on come transitions only.
    Synced,
    /// Transitions were missed: how each of them stands comes anew.
    Resync,
    /// A transition, or a purge.
    News(Arc<News>),
}

/// One stream.
pub struct Panorama {
    shared: Arc<Shared>,
    wanted: Wanted,
    inbox: Arc<Inbox>,
    stage: Stage,
    /// What was seen and not yet told.
    backlog: VecDeque<Glimpse>,
    _place: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Shows how things stand, in the order of arrival: this far it has come.
    Looking {
        after: Arrival,
    },
    Following,
}

/// What was shown of an instance, or that it wasn't there.
#[derive(Clone, Copy)]
struct Shown {
    /// The revision with which the life of the id began, or could begin.
    born: Revision,
    revision: Revision,
}

impl Panorama {
    pub(in crate::engine) fn begin(shared: Arc<Shared>, wanted: Wanted) -> Result<Panorama, Refusal> {
        let place = shared.watchers.take_place()?;
        let inbox = Arc::<Inbox>::default();
        // First subscribe, then look: what is committed in between comes twice, and the revisions tell.
        match &wanted {
            Wanted::These(keys) => {
                for key in &**keys {
                    shared.watchers.topics.entry(key.clone()).or_default().inboxes.push(inbox.clone());
                }
            }
            Wanted::Pattern(hub, filter) => {
                let pattern = Pattern { filter: filter.clone(), inbox: inbox.clone() };
                shared.watchers.patterns.write().entry(hub.clone()).or_default().push(pattern);
            }
        }
        let stage = Stage::Looking { after: Arrival(0) };
        Ok(Panorama { shared, wanted, inbox, stage, backlog: VecDeque::new(), _place: place })
    }

    /// What is seen next. Cancel-safe.
    pub async fn next(&mut self) -> Result<Glimpse, Refusal> {
        loop {
            if let Some(glimpse) = self.backlog.pop_front() {
                return Ok(glimpse);
            }
            if self.inbox.begins_afresh() {
                self.stage = Stage::Looking { after: Arrival(0) };
                return Ok(Glimpse::Resync);
            }
            match self.stage {
                Stage::Looking { after } => self.look_further(after).await?,
                Stage::Following => {
                    self.backlog.extend(self.inbox.take().into_iter().map(Glimpse::News));
                    if self.backlog.is_empty() {
                        // Idle streams are many, and what they showed at first was much.
                        self.backlog = VecDeque::new();
                        self.inbox.rings().await;
                    }
                }
            }
        }
    }

    /// Shows how the next instances stand, and what has come in meanwhile. When this returns they stand as they were
    /// shown, or what has changed since then is yet to come in: so nothing of them must be remembered.
    async fn look_further(&mut self, after: Arrival) -> Result<(), Refusal> {
        let (keys, next) = match &self.wanted {
            Wanted::These(keys) => (keys.clone(), None),
            Wanted::Pattern(_, filter) => {
                let page = self.shared.page(filter.clone(), after, limits::PAGE_MAX).await?;
                (page.views.into_iter().map(|view| view.key).collect(), page.next)
            }
        };
        let through = next.unwrap_or(Arrival(u64::MAX));
        // The store has told where they are; how they stand is looked up where it is decided.
        let looks = join_all(keys.iter().map(|key| {
            self.shared.look_or_absent(key, |instance, now| {
                let transition = Transition { sequence: instance.sequence, view: instance.view(key, now) };
                (instance.arrival, instance.born, transition)
            })
        }));
        let (mut shown, mut current) = (HashMap::new(), Vec::new());
        for (key, look) in keys.iter().zip(looks.await) {
            match look? {
                // Begun anew meanwhile: it stands further behind now.
                Ok((arrival, ..)) if arrival > through => {}
                Ok((_, born, transition)) => {
                    shown.insert(key, Shown { born, revision: transition.view.revision });
                    if self.wanted.means(&transition) {
                        current.push(Glimpse::Current(Box::new(transition)));
                    }
                }
                Err(absent_at) => {
                    let born = Revision(absent_at.0 + 1);
                    shown.insert(key, Shown { born, revision: absent_at });
                }
            }
        }
        // An instance that was shown on an earlier page may have been purged and begun anew since, on this one.
        let (former, news): (Vec<_>, Vec<_>) = self.inbox.take().into_iter().partition(|news| {
            let shown = shown.get(&news.view().key).filter(|_| news.arrival <= after);
            shown.is_some_and(|shown| news.view().revision < shown.born)
        });
        self.backlog.extend(former.into_iter().map(Glimpse::News).chain(current));
        match next {
            Some(after) => self.stage = Stage::Looking { after },
            None => {
                self.stage = Stage::Following;
                self.backlog.push_back(Glimpse::Synced);
            }
        }
        let is_news = |news: &Arc<News>| match shown.get(&news.view().key) {
            Some(shown) => shown.is_before(news),
            // What stands further behind is still to be shown.
            None => news.arrival <= through,
        };
        self.backlog.extend(news.into_iter().filter(is_news).map(Glimpse::News));
        Ok(())
    }
}

impl Drop for Panorama {
    fn drop(&mut self) {
        let watchers = &self.shared.watchers;
        match &self.wanted {
            Wanted::These(keys) => {
                for key in &**keys {
                    if let Some(mut topic) = watchers.topics.get_mut(key) {
                        topic.inboxes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
                    }
                    watchers.topics.remove_if(key, |_, topic| topic.is_deserted());
                }
            }
            Wanted::Pattern(hub, _) => {
                let mut patterns = watchers.patterns.write();
                if let Some(of_hub) = patterns.get_mut(hub) {
                    of_hub.retain(|pattern| !Arc::ptr_eq(&pattern.inbox, &self.inbox));
                    if of_hub.is_empty() {
                        patterns.remove(hub);
                    }
                }
            }
        }
    }
}

impl Wanted {
    fn means(&self, transition: &Transition) -> bool {
        match self {
            Wanted::These(_) => true,
            Wanted::Pattern(_, filter) => filter.means(&transition.view.execution),
        }
    }
}

impl Shown {
    /// Whether the news are of what happened after it.
    fn is_before(self, news: &News) -> bool {
        match &news.told {
            Told::Transition(transition) => transition.view.revision > self.revision,
            // Its last state, which may be what was shown.
            Told::Purged(last) => last.view.revision >= self.born,
            Told::Withdrawn(_) => false,
        }
    }
}
