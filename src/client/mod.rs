//! The client: starts, reads, watches and ends singleton orchestrations.
//!
//! ```no_run
//! use soloist::client::{Client, Error};
//! use soloist::proto::v1::StartSingletonRequest;
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("http://localhost:4001").await?;
//! let start = StartSingletonRequest::new("nightly-report", "report-2025-11-23").with_request_id("cron-7");
//! match client.start_singleton(start).await {
//!     Ok(started) => println!("{:?}: execution {}", started.outcome(), started.execution_id),
//!     Err(error) if error.reason() == Some("INSTANCE_ALREADY_RUNNING") => {
//!         println!("already running on {:?}", error.metadata("worker"));
//!     }
//!     Err(error) => return Err(error),
//! }
//! let status = client.wait_for_completion("report-2025-11-23").await?;
//! println!("{:?}: {:?}", status.runtime_status(), status.output);
//! # Ok(())
//! # }
//! ```

pub(crate) mod backoff;
pub(crate) mod channel;
mod error;
mod start;
mod watch;

use std::time::Duration;

use tonic::{Request, Streaming, metadata::AsciiMetadataValue, transport::Channel};

pub use self::{
    channel::Builder,
    error::{Error, Violation},
    watch::{Watch, WatchItem},
};
use crate::proto::v1::{
    GetStatusRequest, InstanceStatus, RaiseEventRequest, RaiseEventResponse, RuntimeStatus, StartSingletonRequest,
    StartSingletonResponse, TerminateInstanceRequest, WatchStatusRequest, WatchStatusResponse,
    orchestration_service_client::OrchestrationServiceClient,
};

/// A connection to a server, for one task hub. Cheap to clone; clones share the connection. A lost connection is opened
/// again by the next call.
#[derive(Clone, Debug)]
pub struct Client {
    stub: OrchestrationServiceClient<Channel>,
    hub: AsciiMetadataValue,
    timeout: Duration,
}

// === impl Client ===

impl Client {
    /// Connects to a server such as `http://localhost:4001`, for the task hub `default`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none, `UNAVAILABLE` if nobody answers there.
    pub async fn connect(address: impl Into<String>) -> Result<Client, Error> {
        Client::builder(address).connect().await
    }

    /// Like [`Client::connect`], but connects with the first call. Needs a tokio runtime all the same.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn connect_lazy(address: impl Into<String>) -> Result<Client, Error> {
        Client::builder(address).connect_lazy()
    }

    /// A client with other settings than the defaults.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address.into())
    }

    /// Checks and starts in one atomic, durable step.
    ///
    /// A start with a `request_id` is tried up to five times while the server is away or can't know what became of it:
    /// the id makes that safe. One without is tried again only where the server said that nothing was applied.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` if the id is taken, and whatever else the server answers.
    pub async fn start_singleton(&self, request: StartSingletonRequest) -> Result<StartSingletonResponse, Error> {
        start::start(self, request).await
    }

    /// Reads the current status.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started.
    pub async fn get_status(&self, request: GetStatusRequest) -> Result<InstanceStatus, Error> {
        let response = self.stub.clone().get_status(self.unary(request)).await?.into_inner();
        response.status.ok_or_else(|| Error::incomplete("GetStatusResponse.status"))
    }

    /// Streams the status and every transition after it, as the server sends them, heartbeats included, until the
    /// connection is lost. [`Client::watch`] goes on by itself.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started and the request does not wait for it.
    pub async fn watch_status(&self, request: WatchStatusRequest) -> Result<Streaming<WatchStatusResponse>, Error> {
        Ok(self.stub.clone().watch_status(self.streaming(request)).await?.into_inner())
    }

    /// Watches an instance and, when the connection is lost, goes on after the last revision that was seen.
    ///
    /// # Errors
    /// As [`Client::watch_status`]; a server that can't be reached at the beginning is an error too.
    pub async fn watch(&self, request: WatchStatusRequest) -> Result<Watch, Error> {
        Watch::open(self.clone(), request).await
    }

    /// Waits until the live execution of `instance_id` has ended, over lost connections, and answers its last status:
    /// with its payloads, unless a successor has taken its place in the meantime.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started.
    pub async fn wait_for_completion(&self, instance_id: &str) -> Result<InstanceStatus, Error> {
        let mut watch = self
            .watch(WatchStatusRequest {
                instance_id: instance_id.to_owned(),
                until_terminal: true,
                ..WatchStatusRequest::default()
            })
            .await?;
        let mut ended = None;
        while let Some(item) = watch.next().await {
            ended = Some(item?.status);
        }
        let ended = ended.ok_or_else(|| Error::incomplete("a status in the watch"))?;
        let request = GetStatusRequest { instance_id: instance_id.to_owned(), include_payloads: true };
        match self.get_status(request).await {
            Ok(status) if status.execution_id == ended.execution_id => Ok(status),
            // The end is known; only its payloads are out of reach.
            Ok(_) | Err(_) => Ok(ended),
        }
    }

    /// Delivers an external event to the live execution; it is durable when this returns.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended. It is not tried again by itself: the event could arrive twice.
    pub async fn raise_event(&self, request: RaiseEventRequest) -> Result<RaiseEventResponse, Error> {
        Ok(self.stub.clone().raise_event(self.unary(request)).await?.into_inner())
    }

    /// Ends the live execution at once, and answers the status after the end.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended.
    pub async fn terminate_instance(&self, request: TerminateInstanceRequest) -> Result<InstanceStatus, Error> {
        let response = self.stub.clone().terminate_instance(self.unary(request)).await?.into_inner();
        response.status.ok_or_else(|| Error::incomplete("TerminateInstanceResponse.status"))
    }

    fn unary<T>(&self, message: T) -> Request<T> {
        let mut request = self.streaming(message);
        request.set_timeout(self.timeout);
        request
    }

    /// A request without a time limit, which would end a watch.
    fn streaming<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(channel::HUB_KEY, self.hub.clone());
        request
    }
}

/// Whether nothing follows within the execution.
fn is_terminal(status: RuntimeStatus) -> bool {
    match status {
        RuntimeStatus::Completed | RuntimeStatus::Failed | RuntimeStatus::Terminated => true,
        RuntimeStatus::Unspecified | RuntimeStatus::Pending | RuntimeStatus::Running => false,
    }
}
