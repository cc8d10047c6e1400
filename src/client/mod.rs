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
mod follow;
mod history;
mod instances_watch;
mod lifecycle;
mod pages;
mod request;
mod resuming;
mod retry;
mod silence;
mod watch;

use std::time::Duration;

use tonic::{Code, Request, Streaming, metadata::AsciiMetadataValue, transport::Channel};

pub use self::{
    channel::Builder,
    error::{Error, ErrorKind, Violation},
    follow::Follow,
    history::History,
    instances_watch::{InstancesEvent, InstancesWatch},
    pages::{Instances, Purge},
    resuming::Interruption,
    watch::{Watch, WatchEvent, WatchItem},
};
use crate::proto::v1::{
    GetStatusRequest, GetStatusResponse, InstanceStatus, QueuedStart, RuntimeStatus, StartSingletonRequest,
    StartSingletonResponse, WatchInstancesRequest, WatchInstancesResponse, WatchStatusRequest, WatchStatusResponse,
    orchestration_service_client::OrchestrationServiceClient,
};

/// A connection to a server, for one task hub. Cheap to clone; clones share the connection. A lost connection is opened
/// again by the next call.
#[derive(Clone, Debug)]
pub struct Client {
    stub: OrchestrationServiceClient<Channel>,
    channel: Channel,
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

    /// The connection, for the stubs of the server's other services, such as `grpc.health.v1.Health`.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Checks and starts in one atomic, durable step.
    ///
    /// A start with a `request_id` is tried up to five times while the server is away or can't know what became of it:
    /// the id makes that safe. One without is tried again only where the server said that nothing was applied.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` if the id is taken, and whatever else the server answers.
    pub async fn start_singleton(&self, request: StartSingletonRequest) -> Result<StartSingletonResponse, Error> {
        let has_request_id = !request.request_id.is_empty();
        let call = || async {
            let sent = self.request(request.clone());
            Ok(self.stub.clone().start_singleton(sent).await?.into_inner())
        };
        self.in_time(retry::retry(|error| retry::start_is_safe(error, has_request_id), call)).await
    }

    /// Reads the current status; with an `execution_id` in the request, that of this execution.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started, or the execution is neither the latest, nor queued, nor remembered.
    pub async fn get_status(&self, request: GetStatusRequest) -> Result<InstanceStatus, Error> {
        Ok(self.get_status_and_queue(request).await?.0)
    }

    /// Reads the current status, and the starts that wait in the queue, in their order.
    ///
    /// # Errors
    /// As [`Client::get_status`].
    pub async fn get_status_and_queue(
        &self,
        request: GetStatusRequest,
    ) -> Result<(InstanceStatus, Vec<QueuedStart>), Error> {
        let request = self.request(request);
        let call = async { Ok(self.stub.clone().get_status(request).await?.into_inner()) };
        let GetStatusResponse { status, queue } = self.in_time(call).await?;
        Ok((*status.ok_or_else(|| Error::incomplete("GetStatusResponse.status"))?, queue))
    }

    /// Streams the status and every transition after it, as the server sends them, heartbeats included, until the
    /// connection is lost. [`Client::watch`] goes on by itself.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started and the request does not wait for it.
    pub async fn watch_status(&self, request: WatchStatusRequest) -> Result<Streaming<WatchStatusResponse>, Error> {
        Ok(self.stub.clone().watch_status(self.request(request)).await?.into_inner())
    }

    /// Watches an instance and, when the connection is lost, goes on after the last revision that was seen. Nothing is
    /// sent before the first item is asked for.
    pub fn watch(&self, request: WatchStatusRequest) -> Watch {
        Watch::new(self.clone(), request)
    }

    /// Watches many instances on one stream and, when the connection is lost, begins again with their current statuses.
    /// Nothing is sent before the first event is asked for.
    pub fn watch_instances(&self, request: WatchInstancesRequest) -> InstancesWatch {
        InstancesWatch::new(self.clone(), request)
    }

    /// Follows the execution that a start was answered with to its end, from the queue on if it waits there.
    ///
    /// # Errors
    /// `NOT_FOUND` for an answer without a status: the start was done before, and its instance was purged since.
    pub fn follow(&self, started: &StartSingletonResponse) -> Result<Follow, Error> {
        let status = started.status.clone().ok_or_else(|| Error::missed(&started.execution_id, None))?;
        Ok(if status.execution_id == started.execution_id {
            Follow::from_status(self.clone(), *status)
        } else {
            self.follow_execution(status.instance_id, started.execution_id.clone())
        })
    }

    /// Follows one execution to its end, from the queue on if it waits there.
    pub fn follow_execution(&self, instance_id: impl Into<String>, execution_id: impl Into<String>) -> Follow {
        Follow::of_execution(self.clone(), instance_id.into(), execution_id.into())
    }

    async fn open_watch_instances(
        &self,
        request: WatchInstancesRequest,
    ) -> Result<Streaming<WatchInstancesResponse>, Error> {
        Ok(self.stub.clone().watch_instances(self.request(request)).await?.into_inner())
    }

    /// Waits until the live execution of `instance_id` has ended, over lost connections, and answers its last status:
    /// with its payloads, unless a successor has taken its place or it was purged in the meantime.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started.
    pub async fn wait_for_completion(&self, instance_id: &str) -> Result<InstanceStatus, Error> {
        let mut watch = self.watch(WatchStatusRequest {
            instance_id: instance_id.to_owned(),
            until_terminal: true,
            ..WatchStatusRequest::default()
        });
        let mut ended = None;
        while let Some(item) = watch.next().await {
            ended = Some(item?.status);
        }
        self.with_payloads(ended.ok_or_else(|| Error::incomplete("a status in the watch"))?).await
    }

    /// Waits until one execution has ended, such as one that was QUEUED, and answers its last status as
    /// [`Client::wait_for_completion`] does. Where the function continues as new, the wait goes on with what follows.
    ///
    /// # Errors
    /// `NOT_FOUND` if the instance has no such execution, or how it ended is not known any more.
    pub async fn wait_for_execution(&self, instance_id: &str, execution_id: &str) -> Result<InstanceStatus, Error> {
        let ended = self.follow_execution(instance_id, execution_id).end().await?;
        self.with_payloads(ended).await
    }

    /// The last status of an execution that has ended, with its payloads if they are still there.
    pub(crate) async fn with_payloads(&self, ended: InstanceStatus) -> Result<InstanceStatus, Error> {
        let request = GetStatusRequest {
            instance_id: ended.instance_id.clone(),
            execution_id: ended.execution_id.clone(),
            include_payloads: true,
        };
        match retry::retry(Error::is_transient, || self.get_status(request.clone())).await {
            Ok(status) if status.execution_id == ended.execution_id => Ok(status),
            Ok(_) => Ok(ended),
            // It was purged in the meantime.
            Err(error) if error.code() == Code::NotFound => Ok(ended),
            Err(error) => Err(error),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(channel::HUB_KEY, self.hub.clone());
        request
    }

    /// The time limit is kept here alone: were it sent along, the server could end the call at the same moment, with
    /// another code.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let answered = tokio::time::timeout(self.timeout, call).await;
        answered.unwrap_or_else(|_| Err(Error::timed_out(self.timeout)))
    }
}

/// Whether nothing follows within the execution.
pub(crate) fn is_terminal(status: RuntimeStatus) -> bool {
    match status {
        RuntimeStatus::Completed | RuntimeStatus::Failed | RuntimeStatus::Terminated => true,
        RuntimeStatus::Unspecified | RuntimeStatus::Pending | RuntimeStatus::Running | RuntimeStatus::Suspended => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{ListInstancesRequest, PurgeInstancesRequest};

    fn is_send<T: Send>(_: &T) {}

    #[tokio::test]
    async fn calls_can_be_spawned() {
        let client = Client::connect_lazy("http://localhost:1").expect("a valid address");
        is_send(&client.start_singleton(StartSingletonRequest::new("f", "i")));
        is_send(&client.wait_for_completion("i"));
        is_send(&client.wait_for_execution("i", "e"));
        is_send(&client.watch(WatchStatusRequest::default()).next());
        is_send(&client.watch_instances(WatchInstancesRequest::of_prefix("")).next_event());
        is_send(&client.list_all(ListInstancesRequest::default()).next());
        is_send(&client.purge_all(PurgeInstancesRequest::default()).next());
    }

    #[tokio::test]
    async fn settings_are_checked_before_anything_is_tried() {
        let cases = [Client::builder("no address, this"), Client::builder("http://localhost:1").hub("line\nbreak")];
        for builder in cases {
            let error = builder.connect_lazy().expect_err("it can't be used");
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        }
    }
}
