//! How an instance stands, and calls that wait until it has come so far.

use std::time::Duration;

use tonic::Status;

use crate::{
    core::{
        ids::{ExecutionId, InstanceKey, TaskHub},
        rejection::Rejection,
    },
    engine::{Refusal, watch::Milestone},
    grpc::{Door, door::draining, durable_task::convert},
    proto::durable_task as pb,
};

pub async fn get(
    door: &Door,
    hub: &TaskHub,
    request: pb::GetInstanceRequest,
) -> Result<pb::GetInstanceResponse, Status> {
    match convert::instance(hub, &request.instance_id)?.key() {
        Some(key) => look(door, key, None, request.get_inputs_and_outputs).await,
        None => Ok(absent()),
    }
}

/// Waits for as long as the caller does: `patience`.
pub async fn until(
    door: &Door,
    hub: &TaskHub,
    request: pb::GetInstanceRequest,
    milestone: Milestone,
    patience: Duration,
) -> Result<pb::GetInstanceResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?.possible()?;
    let reached = tokio::select! {
        biased;
        () = door.drain.cancelled() => return Err(draining()),
        reached = tokio::time::timeout(patience, door.engine.until(&key, milestone)) => reached,
    };
    match reached.map_err(|_| Status::deadline_exceeded("the instance has not come so far in the call's time"))?? {
        None => Ok(absent()),
        Some(view) if request.get_inputs_and_outputs => look(door, &key, Some(view.execution.id), true).await,
        Some(view) => Ok(convert::existing(&view, None)),
    }
}

async fn look(
    door: &Door,
    key: &InstanceKey,
    execution: Option<ExecutionId>,
    with_payloads: bool,
) -> Result<pb::GetInstanceResponse, Status> {
    match door.engine.status(key, execution, with_payloads).await {
        Ok(seen) => Ok(convert::existing(&seen.status.view, with_payloads.then_some(seen.payloads))),
        Err(refusal) if is_absence(&refusal) => Ok(absent()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn absent() -> pb::GetInstanceResponse {
    pb::GetInstanceResponse { exists: false, orchestration_state: None }
}

/// There is no such instance, or no such execution of it any more.
pub fn is_absence(refusal: &Refusal) -> bool {
    let is_absence =
        |rejection: &Rejection| matches!(rejection, Rejection::NotFound { .. } | Rejection::ExecutionNotFound { .. });
    matches!(refusal, Refusal::Rejected(rejection) if is_absence(rejection))
}
