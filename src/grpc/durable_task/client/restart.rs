//! RestartInstance: the same once more, under the same id or a new one.

use std::sync::Arc;

use tonic::{Code, Status};

use crate::{
    core::{
        command::{Restart, Start},
        ids::{InstanceId, InstanceKey, TaskHub},
        limits,
        policy::{ConflictPolicy, Replaceable},
        rejection::Rejection,
        status::Spec,
    },
    engine::{Refusal, Seen},
    grpc::{
        Door,
        durable_task::convert,
        status::{about, error, of_view, reason},
    },
    proto::durable_task as pb,
};

pub async fn restart(
    door: &Door,
    hub: &TaskHub,
    request: pb::RestartInstanceRequest,
) -> Result<pb::RestartInstanceResponse, Status> {
    let key = convert::instance(hub, &request.instance_id)?.present()?;
    let instance_id = match request.restart_with_new_instance_id {
        true => as_another(door, hub, &key).await?,
        false => anew(door, &key).await?,
    };
    Ok(pb::RestartInstanceResponse { instance_id })
}

/// Only what has ended begins anew.
async fn anew(door: &Door, key: &InstanceKey) -> Result<String, Status> {
    let execution = door.engine.draw_execution_id();
    match door.engine.restart(key, Restart { execution, expected_execution: None, request: None }).await {
        Ok(_) => Ok(key.id().into()),
        Err(Refusal::Rejected(rejection)) => Err(refused(*rejection)),
        Err(refusal) => Err(refusal.into()),
    }
}

fn refused(rejection: Rejection) -> Status {
    let Rejection::AlreadyRunning(view) = &rejection else { return Refusal::from(rejection).into() };
    let status = view.execution.status.name();
    let message = format!("instance '{}' is {status}: only one that has ended can be restarted", view.key.id());
    error(Code::FailedPrecondition, reason(&rejection), &message, of_view(view), about(view, &message))
}

/// The one that is there, live or not, stays as it is.
async fn as_another(door: &Door, hub: &TaskHub, key: &InstanceKey) -> Result<String, Status> {
    let Seen { status, payloads, .. } = door.engine.status(key, None, true).await?;
    let spec = Spec { start_at: None, ..Spec::clone(&status.view.execution.spec) };
    let id = door.engine.draw_execution_id().to_string();
    let parsed = InstanceId::parse(&id).map_err(|malformed| Status::internal(malformed.allowed))?;
    let start = Start {
        execution: door.engine.draw_execution_id(),
        spec: Arc::new(spec),
        input: payloads.input.map(Arc::from),
        conflict_policy: ConflictPolicy::Fail,
        replaceable: Replaceable::ALL,
        max_queue: limits::QUEUE_DEFAULT,
        signal: None,
        request: None,
    };
    door.engine.start(&InstanceKey::new(hub, &parsed), start).await?;
    Ok(id)
}
