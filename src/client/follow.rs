//! One execution, followed to its end.

use super::{Client, Error, Watch, WatchEvent, is_terminal};
use crate::proto::v1::{InstanceStatus, WatchStatusRequest};

/// Follows one execution to its end: from the queue, if it waits there, and on where its function continues as new.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    watch: Watch,
    /// The watch is of this execution alone; none where it is of the instance.
    execution_id: Option<String>,
    last: Option<InstanceStatus>,
}

// === impl Follow ===

impl Follow {
    pub(super) fn of_execution(client: Client, instance_id: String, execution_id: String) -> Follow {
        let request =
            WatchStatusRequest { instance_id, execution_id: execution_id.clone(), ..WatchStatusRequest::default() };
        Follow { watch: client.watch(request), client, execution_id: Some(execution_id), last: None }
    }

    /// Follows the latest execution, whose status is known.
    pub(super) fn from_status(client: Client, status: InstanceStatus) -> Follow {
        Follow { watch: client.watch(after(&status)), client, execution_id: None, last: Some(status) }
    }

    /// The next status, or that the connection is lost; `None` after the end.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such execution, or if how it ended is not known: other executions have taken its
    /// place meanwhile and its transitions are not kept any more. Nothing follows an error.
    pub async fn next_event(&mut self) -> Option<Result<WatchEvent, Error>> {
        loop {
            if self.last.as_ref().is_some_and(|last| is_terminal(last.runtime_status())) {
                return None;
            }
            let event = match (self.watch.next_event().await, &self.last) {
                (Some(event), _) => event,
                // The execution is over without an end: its function has continued as new. What follows is the
                // instance's next transition.
                (None, Some(last)) if self.execution_id.is_some() => {
                    self.watch = self.client.watch(after(last));
                    self.execution_id = None;
                    continue;
                }
                (None, _) => return None,
            };
            if let Ok(WatchEvent::Item(item)) = &event {
                if let Some(lost) = self.last.as_ref().filter(|last| {
                    // Without a gap, another execution id is a function that continued as new; across a gap it may be
                    // anything.
                    item.resync && item.status.execution_id != last.execution_id
                }) {
                    return Some(Err(Error::missed(&lost.execution_id, Some(&item.status.execution_id))));
                }
                self.last = Some(item.status.clone());
            }
            return Some(event);
        }
    }

    /// The status after the end, without payloads.
    ///
    /// # Errors
    /// As [`Follow::next_event`].
    pub async fn end(mut self) -> Result<InstanceStatus, Error> {
        while let Some(event) = self.next_event().await {
            event?;
        }
        self.last.ok_or_else(|| Error::incomplete("a status in the watch"))
    }

    /// The newest status that is known.
    pub fn last(&self) -> Option<&InstanceStatus> {
        self.last.as_ref()
    }
}

/// The instance's transitions after this one, up to the end of an execution.
fn after(status: &InstanceStatus) -> WatchStatusRequest {
    WatchStatusRequest {
        instance_id: status.instance_id.clone(),
        from_revision: Some(status.revision),
        until_terminal: true,
        ..WatchStatusRequest::default()
    }
}
