//! What a stream does while there is nothing to tell: it says now and then that it is alive, and ends with the server.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Kept from item to item: ten thousand watchers who are told the same would otherwise take and leave their places in
/// the queue for the drain, and their timers, once for each of them.
pub(super) struct Idle {
    drain: CancellationToken,
    drained: Pin<Box<WaitForCancellationFutureOwned>>,
    heartbeat: Pin<Box<Sleep>>,
    interval: Duration,
    items: u32,
}

/// Items that may still come once the server drains, where they are there already.
const ITEMS_IN_DRAIN: u32 = 64;

/// What comes next on a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat<T> {
    Item(T),
    /// Nothing has come for a while.
    Heartbeat,
    /// The server is going away.
    Drained,
}

impl Idle {
    /// A heartbeat comes when nothing else has for so long.
    pub fn new(drain: CancellationToken, interval: Duration) -> Idle {
        let drained = Box::pin(drain.clone().cancelled_owned());
        Idle { drain, drained, heartbeat: Box::pin(tokio::time::sleep(interval)), interval, items: 0 }
    }

    /// The next item, unless something else comes first.
    pub async fn unless<T>(&mut self, item: impl Future<Output = T>) -> Beat<T> {
        // To ask the drain first for each item would cost as much as the item: those who are behind ask now and then.
        self.items = self.items.wrapping_add(1);
        if self.items.is_multiple_of(ITEMS_IN_DRAIN) && self.drain.is_cancelled() {
            return Beat::Drained;
        }
        let beat = tokio::select! {
            biased;
            item = item => Beat::Item(item),
            () = &mut self.drained => Beat::Drained,
            () = &mut self.heartbeat => Beat::Heartbeat,
        };
        if let Some(next) = Instant::now().checked_add(self.interval) {
            self.heartbeat.as_mut().reset(next);
        }
        beat
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_comes_so_long_after_the_last_item() {
        let mut idle = Idle::new(CancellationToken::new(), INTERVAL);
        let begun = Instant::now();
        for item in 1..=3 {
            assert_eq!(idle.unless(sleep(Duration::from_secs(7))).await, Beat::Item(()), "item {item}");
        }
        for heartbeat in 1..=2 {
            assert_eq!(idle.unless(pending::<()>()).await, Beat::Heartbeat);
            assert_eq!(begun.elapsed(), Duration::from_secs(21) + heartbeat * INTERVAL);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_server_also_where_something_comes_at_all_times() {
        let drain = CancellationToken::new();
        let (mut quiet, mut busy) = (Idle::new(drain.clone(), INTERVAL), Idle::new(drain.clone(), INTERVAL));
        for _ in 0..1_000 {
            assert_eq!(busy.unless(ready(())).await, Beat::Item(()));
        }
        drain.cancel();
        assert_eq!(quiet.unless(pending::<()>()).await, Beat::Drained);
        let mut items = 0;
        while busy.unless(ready(())).await == Beat::Item(()) {
            items += 1;
            assert!(items < ITEMS_IN_DRAIN, "it goes on and on");
        }
    }
}
