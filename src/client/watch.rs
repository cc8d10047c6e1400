//! A watch that goes on over lost connections.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::{Client, Error, backoff::Backoff, is_terminal};
use crate::proto::v1::{InstanceStatus, WatchStatusRequest, WatchStatusResponse};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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

#[derive(Debug)]
enum Stream {
    Open(Box<Streaming<WatchStatusResponse>>),
    /// To be opened again then.
    Lost(Instant),
    /// Nothing follows.
    Over,
}

// === impl Watch ===

impl Watch {
    pub(super) async fn open(client: Client, request: WatchStatusRequest) -> Result<Watch, Error> {
        let stream = Stream::Open(Box::new(client.watch_status(request.clone()).await?));
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Ok(Watch { client, request, stream, backoff, seen_terminal: false })
    }

    /// The next item; `None` after the terminal status of a watch `until_terminal`. Nothing is lost when this future is
    /// dropped: call it again.
    ///
    /// # Errors
    /// What the server answered where trying again would not help; nothing follows it.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Error>> {
        loop {
            let failed = match &mut self.stream {
                Stream::Over => return None,
                Stream::Lost(until) => {
                    tokio::time::sleep_until(*until).await;
                    match self.client.watch_status(self.request.clone()).await {
                        Ok(stream) => {
                            self.stream = Stream::Open(Box::new(stream));
                            continue;
                        }
                        Err(error) => Some(error),
                    }
                }
                Stream::Open(stream) => match stream.message().await {
                    Ok(Some(response)) => match self.take(response) {
                        Some(item) => return Some(Ok(item)),
                        None => continue,
                    },
                    Ok(None) => None,
                    Err(status) => Some(status.into()),
                },
            };
            if self.seen_terminal && self.request.until_terminal {
                // What was asked for has been seen; at most the end of the stream was lost.
                self.stream = Stream::Over;
                return None;
            }
            match failed {
                Some(error) if !error.is_transient() => {
                    self.stream = Stream::Over;
                    return Some(Err(error));
                }
                failed => self.rest(failed.as_ref()),
            }
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

    fn rest(&mut self, failed: Option<&Error>) {
        let asked = failed.and_then(Error::retry_delay);
        let wait = asked.map_or_else(|| self.backoff.wait(), |asked| asked.min(LONGEST_WAIT));
        tracing::debug!(error = ?failed, ?wait, "the watch was interrupted");
        self.stream = Stream::Lost(Instant::now() + wait);
    }
}
