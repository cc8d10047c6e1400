//! What every call passes first: is the server taking calls, and which task hub is meant.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Status, metadata::MetadataMap};

use super::{convert::Violations, status::unavailable};
use crate::{core::ids::TaskHub, engine::Engine};

/// The request metadata that names the task hub.
const TASK_HUB: &str = "taskhub";

/// What the services share.
#[derive(Clone)]
pub struct Door {
    pub engine: Engine,
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// How often an idle watch says that it is alive, so that proxies keep it open.
    pub watch_heartbeat: Duration,
    /// Cancelled when the server begins to drain: no new calls, and streams end.
    pub drain: CancellationToken,
    /// The streams' tasks.
    pub tasks: TaskTracker,
}

impl Door {
    /// Lets a call in that ends what was begun: also while the server drains.
    pub fn admit<T>(&self, request: Request<T>) -> Result<(TaskHub, T), Status> {
        let hub = task_hub(request.metadata())?;
        Ok((hub, request.into_inner()))
    }

    /// Lets the call in.
    pub fn enter<T>(&self, request: Request<T>) -> Result<(TaskHub, T), Status> {
        if self.drain.is_cancelled() {
            return Err(draining());
        }
        self.admit(request)
    }
}

/// The server is going away; nothing was applied.
pub fn draining() -> Status {
    unavailable("DRAINING", "the server is draining; try again, it or another one will be there")
}

fn task_hub(metadata: &MetadataMap) -> Result<TaskHub, Status> {
    let Some(value) = metadata.get(TASK_HUB) else { return Ok(TaskHub::default()) };
    let mut violations = Violations::default();
    let text = String::from_utf8_lossy(value.as_bytes());
    let hub = violations.parse("metadata taskhub", &text, TaskHub::parse);
    violations.finish(hub)
}
