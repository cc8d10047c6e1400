//! `TaskHubSidecarService`, the protocol of the Durable Task SDKs: other words for the same instances.

mod client;
mod convert;
mod worker;

use tonic::{Request, Response, Status, async_trait};

use super::Door;
use crate::{
    engine::watch::Milestone,
    proto::durable_task::{self as pb, task_hub_sidecar_service_server::TaskHubSidecarService},
};

pub struct Sidecar {
    pub door: Door,
}

#[async_trait]
impl TaskHubSidecarService for Sidecar {
    async fn hello(&self, request: Request<()>) -> Result<Response<()>, Status> {
        self.door.enter(request)?;
        Ok(Response::new(()))
    }

    async fn start_instance(
        &self,
        request: Request<pb::CreateInstanceRequest>,
    ) -> Result<Response<pb::CreateInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::start(&self.door, &hub, request).await?))
    }

    async fn get_instance(
        &self,
        request: Request<pb::GetInstanceRequest>,
    ) -> Result<Response<pb::GetInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::get(&self.door, &hub, request).await?))
    }

    async fn wait_for_instance_start(
        &self,
        request: Request<pb::GetInstanceRequest>,
    ) -> Result<Response<pb::GetInstanceResponse>, Status> {
        let patience = convert::patience(request.metadata());
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::until(&self.door, &hub, request, Milestone::Begun, patience).await?))
    }

    async fn wait_for_instance_completion(
        &self,
        request: Request<pb::GetInstanceRequest>,
    ) -> Result<Response<pb::GetInstanceResponse>, Status> {
        let patience = convert::patience(request.metadata());
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::until(&self.door, &hub, request, Milestone::Ended, patience).await?))
    }

    async fn raise_event(
        &self,
        request: Request<pb::RaiseEventRequest>,
    ) -> Result<Response<pb::RaiseEventResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::raise_event(&self.door, &hub, request).await?))
    }

    async fn terminate_instance(
        &self,
        request: Request<pb::TerminateRequest>,
    ) -> Result<Response<pb::TerminateResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::terminate(&self.door, &hub, request).await?))
    }

    async fn suspend_instance(
        &self,
        request: Request<pb::SuspendRequest>,
    ) -> Result<Response<pb::SuspendResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::suspend(&self.door, &hub, request).await?))
    }

    async fn resume_instance(
        &self,
        request: Request<pb::ResumeRequest>,
    ) -> Result<Response<pb::ResumeResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::resume(&self.door, &hub, request).await?))
    }

    async fn query_instances(
        &self,
        request: Request<pb::QueryInstancesRequest>,
    ) -> Result<Response<pb::QueryInstancesResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::query(&self.door, &hub, request).await?))
    }

    async fn list_instance_ids(
        &self,
        request: Request<pb::ListInstanceIdsRequest>,
    ) -> Result<Response<pb::ListInstanceIdsResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::list_ended(&self.door, &hub, request).await?))
    }

    async fn purge_instances(
        &self,
        request: Request<pb::PurgeInstancesRequest>,
    ) -> Result<Response<pb::PurgeInstancesResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::purge(&self.door, &hub, request).await?))
    }

    async fn restart_instance(
        &self,
        request: Request<pb::RestartInstanceRequest>,
    ) -> Result<Response<pb::RestartInstanceResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::restart(&self.door, &hub, request).await?))
    }

    async fn skip_graceful_orchestration_terminations(
        &self,
        request: Request<pb::SkipGracefulOrchestrationTerminationsRequest>,
    ) -> Result<Response<pb::SkipGracefulOrchestrationTerminationsResponse>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::skip_graceful_terminations(&self.door, &hub, request).await?))
    }

    type StreamInstanceHistoryStream = client::Chunks;

    async fn stream_instance_history(
        &self,
        request: Request<pb::StreamInstanceHistoryRequest>,
    ) -> Result<Response<Self::StreamInstanceHistoryStream>, Status> {
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(client::history(&self.door, &hub, request).await?))
    }

    /// A task hub is there from its first use on, and what is in it stays.
    async fn create_task_hub(
        &self,
        request: Request<pb::CreateTaskHubRequest>,
    ) -> Result<Response<pb::CreateTaskHubResponse>, Status> {
        self.door.enter(request)?;
        Ok(Response::new(pb::CreateTaskHubResponse {}))
    }

    /// Deletes nothing.
    async fn delete_task_hub(
        &self,
        request: Request<pb::DeleteTaskHubRequest>,
    ) -> Result<Response<pb::DeleteTaskHubResponse>, Status> {
        self.door.enter(request)?;
        Ok(Response::new(pb::DeleteTaskHubResponse {}))
    }

    type GetWorkItemsStream = worker::Items;

    async fn get_work_items(
        &self,
        request: Request<pb::GetWorkItemsRequest>,
    ) -> Result<Response<Self::GetWorkItemsStream>, Status> {
        let agent = request.metadata().get("user-agent").map(|agent| agent.as_bytes()).unwrap_or_default();
        let manners = worker::Manners {
            // The JavaScript package sets its channels no limit.
            unbounded: agent.starts_with(b"durabletask-js"),
            // The package for Go, and former ones for Java.
            nameless: agent.starts_with(b"grpc-go") || agent.starts_with(b"grpc-java"),
        };
        let (hub, request) = self.door.enter(request)?;
        Ok(Response::new(worker::work_items(&self.door, hub, request, manners)?))
    }

    async fn complete_activity_task(
        &self,
        request: Request<pb::ActivityResponse>,
    ) -> Result<Response<pb::CompleteTaskResponse>, Status> {
        let (hub, response) = self.door.admit(request)?;
        worker::complete_activity(&self.door, &hub, response).await?;
        Ok(Response::new(pb::CompleteTaskResponse {}))
    }

    async fn complete_orchestrator_task(
        &self,
        request: Request<pb::OrchestratorResponse>,
    ) -> Result<Response<pb::CompleteTaskResponse>, Status> {
        let (hub, response) = self.door.admit(request)?;
        worker::complete_turn(&self.door, &hub, response).await?;
        Ok(Response::new(pb::CompleteTaskResponse {}))
    }

    async fn abandon_task_activity_work_item(
        &self,
        request: Request<pb::AbandonActivityTaskRequest>,
    ) -> Result<Response<pb::AbandonActivityTaskResponse>, Status> {
        worker::abandon(&self.door, &self.door.admit(request)?.1.completion_token);
        Ok(Response::new(pb::AbandonActivityTaskResponse {}))
    }

    async fn abandon_task_orchestrator_work_item(
        &self,
        request: Request<pb::AbandonOrchestrationTaskRequest>,
    ) -> Result<Response<pb::AbandonOrchestrationTaskResponse>, Status> {
        worker::abandon(&self.door, &self.door.admit(request)?.1.completion_token);
        Ok(Response::new(pb::AbandonOrchestrationTaskResponse {}))
    }

    async fn rewind_instance(
        &self,
        _: Request<pb::RewindInstanceRequest>,
    ) -> Result<Response<pb::RewindInstanceResponse>, Status> {
        Err(Status::unimplemented("rewinding instances is not supported"))
    }

    async fn complete_entity_task(
        &self,
        _: Request<pb::EntityBatchResult>,
    ) -> Result<Response<pb::CompleteTaskResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }

    async fn abandon_task_entity_work_item(
        &self,
        _: Request<pb::AbandonEntityTaskRequest>,
    ) -> Result<Response<pb::AbandonEntityTaskResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }

    async fn signal_entity(
        &self,
        _: Request<pb::SignalEntityRequest>,
    ) -> Result<Response<pb::SignalEntityResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }

    async fn get_entity(&self, _: Request<pb::GetEntityRequest>) -> Result<Response<pb::GetEntityResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }

    async fn query_entities(
        &self,
        _: Request<pb::QueryEntitiesRequest>,
    ) -> Result<Response<pb::QueryEntitiesResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }

    async fn clean_entity_storage(
        &self,
        _: Request<pb::CleanEntityStorageRequest>,
    ) -> Result<Response<pb::CleanEntityStorageResponse>, Status> {
        Err(Status::unimplemented("entities are not supported"))
    }
}
