//! `soloist.v1.OrchestrationService`.

use std::pin::Pin;

use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, async_trait};

use super::{
    Door, convert,
    door::draining,
    history::Teller,
    idle::{Beat, Idle},
    panorama::Onlooker,
};
use crate::{
    core::ids::TaskHub,
    engine::{
        Description,
        watch::{Item, ItemKind, Watch},
    },
    proto::v1::{self, orchestration_service_server::OrchestrationService},
};

pub struct Orchestration {
    pub door: Door,
}

impl Orchestration {
    /// An instance id for a caller who names none.
    pub fn draw_instance_id(&self) -> String {
        self.door.engine.draw_execution_id().to_string()
    }

    /// What is counted, as Prometheus reads it.
    pub fn metrics(&self) -> String {
        self.door.engine.metrics()
    }
}

#[async_trait]
impl OrchestrationService for Orchestration {
    async fn start_singleton(
        &self,
        request: Request<v1::StartSingletonRequest>,
    ) -> Result<Response<v1::StartSingletonResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, start) = convert::start(&self.door, &hub, request)?;
        let started = self.door.engine.start(&key, start).await?;
        Ok(Response::new(convert::started(started)))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, execution) = convert::execution(&hub, &request.instance_id, &request.execution_id)?;
        let seen = self.door.engine.status(&key, execution, request.include_payloads).await?;
        Ok(Response::new(convert::seen(seen)))
    }

    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<v1::WatchStatusResponse, Status>> + Send>>;

    async fn watch_status(
        &self,
        request: Request<v1::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let watcher = Watcher::begin(self.door.clone(), &hub, &request).await?;
        Ok(Response::new(Box::pin(stream::unfold(watcher, Watcher::next))))
    }

    async fn raise_event(
        &self,
        request: Request<v1::RaiseEventRequest>,
    ) -> Result<Response<v1::RaiseEventResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, raise) = convert::raise_event(&self.door, &hub, request)?;
        let (execution, sequence) = self.door.engine.raise_event(&key, raise).await?;
        Ok(Response::new(v1::RaiseEventResponse { execution_id: execution.to_string(), sequence }))
    }

    async fn terminate_instance(
        &self,
        request: Request<v1::TerminateInstanceRequest>,
    ) -> Result<Response<v1::TerminateInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, terminate) = convert::terminate(&hub, &request)?;
        let status = self.door.engine.terminate(&key, terminate).await?;
        Ok(Response::new(v1::TerminateInstanceResponse { status: Some(convert::to_wire(status, None)) }))
    }

    type WatchInstancesStream = Pin<Box<dyn Stream<Item = Result<v1::WatchInstancesResponse, Status>> + Send>>;

    async fn watch_instances(
        &self,
        request: Request<v1::WatchInstancesRequest>,
    ) -> Result<Response<Self::WatchInstancesStream>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let onlooker = Onlooker::begin(self.door.clone(), &hub, request)?;
        Ok(Response::new(Box::pin(stream::unfold(onlooker, Onlooker::next))))
    }

    type GetHistoryStream = Pin<Box<dyn Stream<Item = Result<v1::GetHistoryResponse, Status>> + Send>>;

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<Self::GetHistoryStream>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, expected) = convert::history(&hub, &request)?;
        let teller = Teller::new(self.door.clone(), self.door.engine.history(&key, expected).await?);
        Ok(Response::new(Box::pin(stream::unfold(teller, Teller::next))))
    }

    async fn list_instances(
        &self,
        request: Request<v1::ListInstancesRequest>,
    ) -> Result<Response<v1::ListInstancesResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let part = convert::list(&hub, &request)?;
        let page = self.door.engine.list(part.filter.clone(), part.after, part.limit).await?;
        Ok(Response::new(convert::listed(&part, page)))
    }

    async fn suspend_instance(
        &self,
        request: Request<v1::SuspendInstanceRequest>,
    ) -> Result<Response<v1::SuspendInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, suspend) = convert::suspend(&hub, &request)?;
        let status = self.door.engine.suspend(&key, suspend).await?;
        Ok(Response::new(v1::SuspendInstanceResponse { status: Some(convert::to_wire(status, None)) }))
    }

    async fn resume_instance(
        &self,
        request: Request<v1::ResumeInstanceRequest>,
    ) -> Result<Response<v1::ResumeInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, resume) = convert::resume(&hub, &request)?;
        let status = self.door.engine.resume(&key, resume).await?;
        Ok(Response::new(v1::ResumeInstanceResponse { status: Some(convert::to_wire(status, None)) }))
    }

    async fn restart_instance(
        &self,
        request: Request<v1::RestartInstanceRequest>,
    ) -> Result<Response<v1::RestartInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, restart) = convert::restart(&self.door, &hub, &request)?;
        let started = self.door.engine.restart(&key, restart).await?;
        Ok(Response::new(convert::restarted(started)))
    }

    async fn purge_instance(
        &self,
        request: Request<v1::PurgeInstanceRequest>,
    ) -> Result<Response<v1::PurgeInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let (key, expected_execution) = convert::purge(&hub, &request)?;
        self.door.engine.purge(&key, expected_execution).await?;
        Ok(Response::new(v1::PurgeInstanceResponse {}))
    }

    async fn purge_instances(
        &self,
        request: Request<v1::PurgeInstancesRequest>,
    ) -> Result<Response<v1::PurgeInstancesResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        let part = convert::purge_many(&hub, &request)?;
        let swept = self.door.engine.purge_many(part.filter.clone(), part.after, part.limit).await?;
        Ok(Response::new(convert::purged(&part, swept)))
    }
}

/// One WatchStatus stream.
struct Watcher {
    door: Door,
    watch: Watch,
    idle: Idle,
    until_terminal: bool,
    ended: bool,
}

impl Watcher {
    async fn begin(door: Door, hub: &TaskHub, request: &v1::WatchStatusRequest) -> Result<Box<Watcher>, Status> {
        let (key, wish) = convert::wish(hub, request)?;
        let watch = door.engine.watch(key, wish).await?;
        let idle = Idle::new(door.drain.clone(), door.watch_heartbeat);
        Ok(Box::new(Watcher { door, watch, idle, until_terminal: request.until_terminal, ended: false }))
    }

    async fn next(mut self: Box<Self>) -> Option<(Result<v1::WatchStatusResponse, Status>, Box<Watcher>)> {
        if self.ended || (self.until_terminal && self.watch.is_over()) {
            return None;
        }
        let item = match self.idle.unless(self.watch.next()).await {
            Beat::Item(item) => item.transpose()?.map(|item| self.encode(item)).map_err(Status::from),
            Beat::Heartbeat => Ok(v1::WatchStatusResponse { heartbeat: true, ..Default::default() }),
            Beat::Drained => Err(draining()),
        };
        self.ended |= item.is_err();
        Some((item, self))
    }

    fn encode(&mut self, item: Item) -> v1::WatchStatusResponse {
        self.ended = self.until_terminal && item.is_terminal();
        let (gap, purged) = match item.kind {
            ItemKind::Current | ItemKind::Transition => (false, false),
            ItemKind::Resync => (true, false),
            ItemKind::Purged { gap } => (gap, true),
        };
        let sequence = item.transition.sequence;
        let view = item.transition.view.clone();
        let described = match item.kind {
            ItemKind::Current | ItemKind::Resync => self.door.engine.describe(view),
            ItemKind::Transition | ItemKind::Purged { .. } => Description { view, pending_reason: String::new() },
        };
        v1::WatchStatusResponse {
            status: Some(convert::to_wire(described, item.payloads.map(|payloads| *payloads))),
            sequence,
            resync: gap,
            purged,
            heartbeat: false,
        }
    }
}
