//! What happened to the instances that one stream watches, until it takes it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::{
    filter::Filter,
    status::{News, Told, View},
};

/// News that a stream may fall behind before it is told to start afresh: what a large commit brings, and more.
const BUFFERED_NEWS: usize = 4_096;

/// Bounded: once it has overrun, it is empty until the stream starts afresh.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    news: VecDeque<Arc<News>>,
    has_overrun: bool,
}

/// Those that are meant, in one task hub.
pub(super) struct Pattern {
    pub(super) filter: Arc<Filter>,
    pub(super) inbox: Arc<Inbox>,
}

impl Pattern {
    /// Whoever watches a function is told when an instance takes another one.
    pub(super) fn means(&self, news: &News) -> bool {
        let View { key, execution, .. } = news.view();
        let left = || news.left.is_some() && news.left == self.filter.function;
        self.filter.admits(key.hub(), key.id()) && (self.filter.means(execution) || left())
    }
}

impl Inbox {
    /// Never waits, but for a stream that is just taking what there is.
    pub(super) fn put(&self, news: &Arc<News>) {
        match news.told {
            Told::Transition(_) | Told::Purged(_) => {}
            // It changes nothing of what the stream shows.
            Told::Withdrawn(_) => return,
        }
        let mut state = self.state.lock();
        if state.news.len() == BUFFERED_NEWS {
            *state = State { news: VecDeque::new(), has_overrun: true };
        } else if !state.has_overrun {
            state.news.push_back(Arc::clone(news));
        }
        // Whoever is woken wants the lock.
        drop(state);
        self.bell.notify_one();
    }

    pub(super) fn take(&self) -> VecDeque<Arc<News>> {
        std::mem::take(&mut self.state.lock().news)
    }

    /// Whether some were lost since the last time; from now on it takes them again.
    pub(super) fn begins_afresh(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_overrun)
    }

    /// Returns when something may have come.
    pub(super) async fn rings(&self) {
        self.bell.notified().await;
    }
}
