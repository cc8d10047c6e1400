//! A watch of one instance that goes on over lost connections.

use super::{Client, Error, Interruption, is_terminal, resuming::Resuming};
use crate::proto::v1::{InstanceStatus, WatchStatusRequest, WatchStatusResponse};

/// A watch of one instance. When the connection is lost it goes on after the last revision that was seen, for as long
/// as the server may come back.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: WatchStatusRequest,
    stream: Resuming<WatchStatusResponse>,
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
    /// True if the instance was purged; the status is the one that it had.
    pub purged: bool,
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

// === impl Watch ===

impl Watch {
    pub(super) fn new(client: Client, request: WatchStatusRequest) -> Watch {
        Watch { client, request, stream: Resuming::new(), seen_terminal: false }
    }

    /// The next item; `None` after the last one: the terminal status of a watch `until_terminal`, the end of a watch of
    /// one execution, or that the instance was purged. Nothing is lost when this future is dropped: call it again.
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
            let (client, request) = (&self.client, &self.request);
            let open = || {
                let (client, request) = (client.clone(), request.clone());
                async move { client.watch_status(request).await }
            };
            let error = match self.stream.read(open).await {
                Ok(Some(response)) => match self.take(response) {
                    Some(item) => return Some(Ok(WatchEvent::Item(item))),
                    None => continue,
                },
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if self.stream.is_over() || self.is_complete(error.as_ref()) {
                self.stream.end();
                return None;
            }
            return Some(match error {
                Some(error) if !self.stream.is_passing(&error) => {
                    self.stream.end();
                    Err(error)
                }
                error => Ok(WatchEvent::Interrupted(self.stream.rest(error, self.request.from_revision))),
            });
        }
    }

    /// Whether nothing is missing when the stream has ended, with this error if with one.
    ///
    /// The stream of one execution ends with the execution, which need not be a terminal status: it may have continued
    /// as new. There the server's word that all was sent is the end; a drain and a broken connection are errors.
    fn is_complete(&self, error: Option<&Error>) -> bool {
        let is_of_execution = !self.request.execution_id.is_empty();
        // At most the end of the stream was lost.
        self.seen_terminal && (self.request.until_terminal || is_of_execution) || is_of_execution && error.is_none()
    }

    /// Remembers where to go on; nothing for a heartbeat.
    fn take(&mut self, response: WatchStatusResponse) -> Option<WatchItem> {
        self.stream.is_alive(response.heartbeat);
        let status = response.status.filter(|_| !response.heartbeat)?;
        self.request.from_revision = Some(status.revision);
        // Where it was continued as new, the server may have forgotten what it was continued from.
        if !self.request.execution_id.is_empty() {
            self.request.execution_id.clone_from(&status.execution_id);
        }
        self.seen_terminal = is_terminal(status.runtime_status());
        if response.purged {
            self.stream.end();
        }
        Some(WatchItem {
            status: *status,
            sequence: response.sequence,
            resync: response.resync,
            purged: response.purged,
        })
    }
}
