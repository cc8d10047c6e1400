//! A watch of many instances that begins again when its connection is lost.

use super::{Client, Error, Interruption, WatchItem, resuming::Resuming};
use crate::proto::v1::{WatchInstancesRequest, WatchInstancesResponse};

/// A watch of many instances on one stream: first their current statuses, then [`InstancesEvent::Synced`], then each
/// transition. When the connection is lost it begins again, for as long as the server may come back.
#[derive(Debug)]
pub struct InstancesWatch {
    client: Client,
    request: WatchInstancesRequest,
    stream: Resuming<WatchInstancesResponse>,
    /// The next message is the first one after a lost stream.
    is_new: bool,
    /// A message that waits behind [`InstancesEvent::BeginsAgain`].
    held: Option<WatchInstancesResponse>,
}

/// What a watcher of many instances sees.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the small ones are the rare ones")]
pub enum InstancesEvent {
    /// The current status of an instance, or the one after a transition. In a watch of a function, one of another function
    /// says that the instance has left; nothing of it follows. Its `resync` is always false.
    Item(WatchItem),
    /// All current statuses have been told.
    Synced,
    /// Transitions were missed. The current statuses follow anew, up to [`InstancesEvent::Synced`]; an instance that is
    /// not among them is no longer there.
    BeginsAgain,
    /// There is no stream now: ask for the next event to begin again.
    Interrupted(Interruption),
}

// === impl InstancesWatch ===

impl InstancesWatch {
    pub(super) fn new(client: Client, request: WatchInstancesRequest) -> InstancesWatch {
        InstancesWatch { client, request, stream: Resuming::new(), is_new: false, held: None }
    }

    /// What happens next; `None` only after an error. Nothing is lost when this future is dropped: call it again.
    ///
    /// # Errors
    /// Whatever the server answers where trying again would not help; nothing follows it.
    pub async fn next_event(&mut self) -> Option<Result<InstancesEvent, Error>> {
        loop {
            if let Some(event) = self.held.take().and_then(take) {
                return Some(Ok(event));
            }
            let (client, request) = (&self.client, &self.request);
            let open = || {
                let (client, request) = (client.clone(), request.clone());
                async move { client.open_watch_instances(request).await }
            };
            let error = match self.stream.read(open).await {
                Ok(Some(response)) => {
                    self.stream.is_alive(response.heartbeat);
                    self.held = Some(response);
                    if std::mem::take(&mut self.is_new) {
                        return Some(Ok(InstancesEvent::BeginsAgain));
                    }
                    continue;
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if self.stream.is_over() {
                return None;
            }
            return Some(match error {
                Some(error) if !self.stream.is_passing(&error) => {
                    self.stream.end();
                    Err(error)
                }
                error => {
                    self.is_new = true;
                    Ok(InstancesEvent::Interrupted(self.stream.rest(error, None)))
                }
            });
        }
    }
}

/// What a message says; nothing for a heartbeat.
fn take(response: WatchInstancesResponse) -> Option<InstancesEvent> {
    let WatchInstancesResponse { status, sequence, synced, resync, purged, heartbeat } = response;
    match status {
        _ if heartbeat => None,
        _ if resync => Some(InstancesEvent::BeginsAgain),
        _ if synced => Some(InstancesEvent::Synced),
        status => Some(InstancesEvent::Item(WatchItem { status: *status?, sequence, resync, purged })),
    }
}
