//! A watch that goes on over lost connections.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::{Client, Error, backoff::Backoff, is_terminal};
use crate::proto::v1::{InstanceStatus, WatchStatusRequest, WatchStatusResponse};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A watch of one instance. When the connection is lost it goes on after the last revision that was seen, for as long
/// as the server may come back.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: WatchStatusRequest,
    stream: Stream,
    backoff: Backoff,
    seen_terminal: bool,
}

/// What a watcher sees.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchItem {
    /// The status after a transition, or the current one.
    pub status: InstanceStatus,
    /// The number of the transition, per instance id, without gaps.
    pub sequence: u64,
    /// True if transitions before this item could not be delivered: start afresh from it.
    pub resync: bool,
}

/// An item, or that the next one may take longer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the small one is the rare one")]
pub enum WatchEvent {
    /// What [`Watch::next`] answers.
    Item(WatchItem),
    /// There is no stream now. Nothing is lost by it: ask for the next event to go on.
    Interrupted(Interruption),
}

/// A watch without its stream.
#[derive(Debug)]
pub struct Interruption {
    /// Why; none if the server ended the stream without a word.
    pub error: Option<Error>,
    /// How long until the stream is opened again.
    pub wait: Duration,
    /// It goes on after this revision; none if it begins with the current status.
    pub after_revision: Option<u64>,
}

#[derive(Debug)]
enum Stream {
    Open(Box<Streaming<WatchStatusResponse>>),
    /// To be opened then.
    Closed(Instant),
    /// Nothing follows.
    Over,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(client: Client, request: WatchStatusRequest) -> Watch {
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Watch { client, request, stream: Stream::Closed(Instant::now()), backoff, seen_terminal: false }
    }

    /// The next item; `None` after the terminal status of a watch `until_terminal`. Nothing is lost when this future is
    /// dropped: call it again.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started and the request does not wait for it, and whatever else the server
    /// answers where trying again would not help; nothing follows it.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Error>> {
        loop {
            match self.next_event().await? {
                Ok(WatchEvent::Item(item)) => return Some(Ok(item)),
                Ok(WatchEvent::Interrupted(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Like [`Watch::next`], but also tells when the connection is lost.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn next_event(&mut self) -> Option<Result<WatchEvent, Error>> {
        loop {
            let error = match self.read().await {
                Ok(Some(response)) => match self.take(response) {
                    Some(item) => return Some(Ok(WatchEvent::Item(item))),
                    None => continue,
                },
                Ok(None) => None,
                Err(error) => Some(error),
            };
            // What was asked for has been seen, or nothing can be; at most the end of the stream was lost.
            if matches!(self.stream, Stream::Over) || self.seen_terminal && self.request.until_terminal {
                self.stream = Stream::Over;
                return None;
            }
            return Some(match error {
                Some(error) if !error.is_transient() => {
                    self.stream = Stream::Over;
                    Err(error)
                }
                error => Ok(WatchEvent::Interrupted(self.rest(error))),
            });
        }
    }

    async fn read(&mut self) -> Result<Option<WatchStatusResponse>, Error> {
        if let Stream::Closed(until) = self.stream {
            tokio::time::sleep_until(until).await;
            self.stream = Stream::Open(Box::new(self.client.watch_status(self.request.clone()).await?));
        }
        match &mut self.stream {
            Stream::Open(stream) => Ok(stream.message().await?),
            Stream::Closed(_) | Stream::Over => Ok(None),
        }
    }

    /// Remembers where to go on; nothing for a heartbeat.
    fn take(&mut self, response: WatchStatusResponse) -> Option<WatchItem> {
        self.backoff.reset();
        let status = response.status.filter(|_| !response.heartbeat)?;
        self.request.from_revision = Some(status.revision);
        self.seen_terminal = is_terminal(status.runtime_status());
        Some(WatchItem { status, sequence: response.sequence, resync: response.resync })
    }

    fn rest(&mut self, error: Option<Error>) -> Interruption {
        let wait = self.backoff.wait_after(error.as_ref());
        tracing::debug!(?error, ?wait, "the watch was interrupted");
        self.stream = Stream::Closed(Instant::now() + wait);
        Interruption { error, wait, after_revision: self.request.from_revision }
    }
}
