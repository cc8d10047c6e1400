//! What a stream does while there is nothing to tell: it says now and then that it is alive, and ends with the server.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Door;

/// Kept from item to item: ten thousand watchers who are told the same would otherwise take and leave their places in
/// the queue for the drain, and their timers, once for each of them.
pub(super) struct Idle {
    drained: Pin<Box<WaitForCancellationFutureOwned>>,
    heartbeat: Pin<Box<Sleep>>,
    interval: Duration,
}

/// What comes next on a stream.
pub(super) enum Beat<T> {
    Item(T),
    /// Nothing has come for a while.
    Heartbeat,
    /// The server is going away.
    Drained,
}

impl Idle {
    pub fn new(door: &Door) -> Idle {
        Idle {
            drained: Box::pin(door.drain.clone().cancelled_owned()),
            heartbeat: Box::pin(tokio::time::sleep(door.watch_heartbeat)),
            interval: door.watch_heartbeat,
        }
    }

    /// The next item, unless something else comes first. What is there already comes before the drain.
    pub async fn unless<T>(&mut self, item: impl Future<Output = T>) -> Beat<T> {
        let beat = tokio::select! {
            biased;
            item = item => Beat::Item(item),
            () = &mut self.drained => Beat::Drained,
            () = &mut self.heartbeat => Beat::Heartbeat,
        };
        self.heartbeat.as_mut().reset(Instant::now() + self.interval);
        beat
    }
}
