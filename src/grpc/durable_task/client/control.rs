//! Events, and what holds an instance back or ends it. What has come true already is no error.

use tonic::Status;

use super::status::is_absence;
use crate::{
    core::{
        command::{Resume, Suspend, Target, Terminate},
        ids::{InstanceKey, TaskHub},
        rejection::Rejection,
    },
    engine::Refusal,
    grpc::{Door, durable_task::convert},
    proto::durable_task as pb,
};

/// An event for an instance that has ended is dropped.
pub async fn raise_event(
    door: &Door,
    hub: &TaskHub,
    request: pb::RaiseEventRequest,
) -> Result<pb::RaiseEventResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?;
    let raise = convert::raise_event(door, request)?;
    let raised = door.engine.raise_event(&key.present()?, raise).await;
    unless_ended(raised.map(drop))?;
    Ok(pb::RaiseEventResponse {})
}

pub async fn suspend(door: &Door, hub: &TaskHub, request: pb::SuspendRequest) -> Result<pb::SuspendResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?;
    let suspend = Suspend { reason: convert::reason(request.reason)?, expected_execution: None };
    unless_ended(door.engine.suspend(&key.present()?, suspend).await.map(drop))?;
    Ok(pb::SuspendResponse {})
}

pub async fn resume(door: &Door, hub: &TaskHub, request: pb::ResumeRequest) -> Result<pb::ResumeResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?;
    let resume = Resume { reason: convert::reason(request.reason)?, expected_execution: None };
    unless_ended(door.engine.resume(&key.present()?, resume).await.map(drop))?;
    Ok(pb::ResumeResponse {})
}

pub async fn terminate(
    door: &Door,
    hub: &TaskHub,
    request: pb::TerminateRequest,
) -> Result<pb::TerminateResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?;
    let terminate = convert::terminate(door, request.output, request.recursive)?;
    if let Some(key) = key.key() {
        end(door, key, terminate).await?;
    }
    Ok(pb::TerminateResponse {})
}

/// Ends instances one by one; answers which of them were not live.
pub async fn skip_graceful_terminations(
    door: &Door,
    hub: &TaskHub,
    request: pb::SkipGracefulOrchestrationTerminationsRequest,
) -> Result<pb::SkipGracefulOrchestrationTerminationsResponse, Status> {
    let batch = convert::batch(hub, request.instance_batch)?;
    let reason = convert::reason(request.reason)?;
    let mut unterminated_instance_ids = Vec::new();
    for target in batch {
        let terminate = Terminate { reason: reason.clone(), output: None, target: Target::Latest, recurse: false };
        let ended = match target.key() {
            Some(key) => end(door, key, terminate).await?,
            None => false,
        };
        if !ended {
            unterminated_instance_ids.push(target.id().into());
        }
    }
    Ok(pb::SkipGracefulOrchestrationTerminationsResponse { unterminated_instance_ids })
}

/// Answers whether there was something to end.
async fn end(door: &Door, key: &InstanceKey, terminate: Terminate) -> Result<bool, Status> {
    match door.engine.terminate(key, terminate).await {
        Ok(_) => Ok(true),
        Err(refusal) if has_ended(&refusal) || is_absence(&refusal) => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}

fn unless_ended(done: Result<(), Refusal>) -> Result<(), Status> {
    match done {
        Err(refusal) if has_ended(&refusal) => Ok(()),
        other => Ok(other?),
    }
}

fn has_ended(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Rejected(rejection) if matches!(**rejection, Rejection::NotLive(_)))
}
