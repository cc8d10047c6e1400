//! What is done to an instance: told, held back, ended, started anew, deleted.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Asked, Face, Input, Problem, start};
use crate::proto::v1::{self, orchestration_service_server::OrchestrationService};

pub async fn raise_event(State(face): State<Face>, asked: Asked, input: Input) -> Result<StatusCode, Problem> {
    let request = v1::RaiseEventRequest {
        instance_id: asked.instance_id(),
        name: asked.part("eventName").unwrap_or_default().to_owned(),
        input: input.0,
        expected_execution_id: asked.execution_id()?,
    };
    face.orchestration.raise_event(asked.call(request)?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn terminate(State(face): State<Face>, asked: Asked) -> Result<StatusCode, Problem> {
    let request = v1::TerminateInstanceRequest {
        instance_id: asked.instance_id(),
        reason: asked.query.text("reason")?,
        // A start that waits in the queue is withdrawn by this.
        execution_id: asked.execution_id()?,
        ..Default::default()
    };
    face.orchestration.terminate_instance(asked.call(request)?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn suspend(State(face): State<Face>, asked: Asked) -> Result<StatusCode, Problem> {
    let request = v1::SuspendInstanceRequest {
        instance_id: asked.instance_id(),
        reason: asked.query.text("reason")?,
        expected_execution_id: asked.execution_id()?,
    };
    face.orchestration.suspend_instance(asked.call(request)?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn resume(State(face): State<Face>, asked: Asked) -> Result<StatusCode, Problem> {
    let request = v1::ResumeInstanceRequest {
        instance_id: asked.instance_id(),
        reason: asked.query.text("reason")?,
        expected_execution_id: asked.execution_id()?,
    };
    face.orchestration.resume_instance(asked.call(request)?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn restart(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    if asked.query.flag("restartWithNewInstanceId", false)? {
        let why = "must be false: a singleton is started anew under its own id";
        return Err(Problem::invalid("restartWithNewInstanceId", why));
    }
    let instance_id = asked.instance_id();
    let request = v1::RestartInstanceRequest {
        instance_id: instance_id.clone(),
        request_id: asked.request_id()?,
        expected_execution_id: asked.execution_id()?,
    };
    let started = face.orchestration.restart_instance(asked.call(request)?).await?.into_inner();
    Ok(start::accepted(&asked, &instance_id, started.outcome(), &started.execution_id))
}

pub async fn purge(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    let request =
        v1::PurgeInstanceRequest { instance_id: asked.instance_id(), expected_execution_id: asked.execution_id()? };
    face.orchestration.purge_instance(asked.call(request)?).await?;
    Ok(purged(1))
}

/// How many instances were deleted.
pub fn purged(count: u64) -> Response {
    let body = json!({ "instancesDeleted": count }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
