//! When to look at which instance again: at most one time each, the earliest.

use std::{cmp::Reverse, collections::BinaryHeap};

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::{ids::InstanceKey, time::Steady};

/// The armed times. A later time than the one that is armed changes nothing: whoever fires finds out that it was too
/// early and arms again, so that a lease that is renewed every few seconds costs nothing here.
#[derive(Default)]
pub struct Timers {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    armed: HashMap<InstanceKey, Steady>,
    /// May hold times that were overtaken by earlier ones; they are skipped.
    queue: BinaryHeap<Reverse<(Steady, InstanceKey)>>,
}

/// As many overtaken times as this are kept, however few are armed.
const OVERTAKEN_MIN: usize = 64;

impl State {
    /// Drops the overtaken times once they are the most: a start with a distant deadline that is granted at once would
    /// otherwise leave one behind until then.
    fn tidy(&mut self) {
        if self.queue.len() > 2 * self.armed.len() + OVERTAKEN_MIN {
            self.queue = self.armed.iter().map(|(key, due)| Reverse((*due, key.clone()))).collect();
        }
    }
}

impl Timers {
    pub fn arm(&self, key: InstanceKey, due: Steady) {
        let mut state = self.state.lock();
        let earlier = state.armed.get(&key).is_none_or(|armed| due < *armed);
        if !earlier {
            return;
        }
        let first = state.queue.peek().is_none_or(|Reverse((next, _))| due < *next);
        state.armed.insert(key.clone(), due);
        state.queue.push(Reverse((due, key)));
        state.tidy();
        drop(state);
        if first {
            self.bell.notify_one();
        }
    }

    /// Takes the next instance whose time has come.
    pub fn pop_due(&self, now: Steady) -> Option<InstanceKey> {
        let mut state = self.state.lock();
        while let Some(Reverse((due, _))) = state.queue.peek()
            && *due <= now
        {
            let Some(Reverse((due, key))) = state.queue.pop() else { break };
            if state.armed.get(&key) == Some(&due) {
                state.armed.remove(&key);
                return Some(key);
            }
        }
        None
    }

    pub fn next_due(&self) -> Option<Steady> {
        self.state.lock().queue.peek().map(|Reverse((due, _))| *due)
    }

    /// Whoever waits for the first time is to look for it again.
    pub fn look_again(&self) {
        self.bell.notify_one();
    }

    /// Returns when an earlier time than the first one was armed.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{InstanceId, TaskHub};

    /// Each round armed a distant time and was done soon: the distant ones piled up until their day had come.
    #[test]
    fn overtaken_times_do_not_pile_up() {
        const DISTANT: i64 = 1_000_000_000;
        let timers = Timers::default();
        let key = InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("an id"));
        for round in 0..10_000 {
            timers.arm(key.clone(), Steady::from_micros(DISTANT + round));
            timers.arm(key.clone(), Steady::from_micros(round));
            assert_eq!(timers.pop_due(Steady::from_micros(round)), Some(key.clone()));
        }
        assert!(timers.state.lock().queue.len() <= OVERTAKEN_MIN + 2);
        timers.arm(key.clone(), Steady::from_micros(DISTANT));
        assert_eq!(timers.pop_due(Steady::from_micros(DISTANT)), Some(key.clone()));
        assert_eq!(timers.pop_due(Steady::from_micros(i64::MAX)), None, "overtaken");
    }
}
