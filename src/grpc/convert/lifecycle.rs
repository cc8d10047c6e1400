//! The requests that hold back, end, restart and delete.

use tonic::Status;

use super::{
    requests::{execution_id_of, expected_execution, instance_key},
    start::started,
    violations::Violations,
};
use crate::{
    core::{
        command::{Restart, Resume, Suspend, Target, Terminate},
        ids::{ExecutionId, InstanceKey, TaskHub},
        limits,
        request::{Digest, Request},
    },
    engine::Started,
    grpc::Door,
    proto::v1,
};

pub fn suspend(hub: &TaskHub, request: &v1::SuspendInstanceRequest) -> Result<(InstanceKey, Suspend), Status> {
    let (key, expected_execution) =
        with_reason(hub, &request.instance_id, &request.reason, &request.expected_execution_id)?;
    Ok((key, Suspend { reason: request.reason.as_str().into(), expected_execution }))
}

pub fn resume(hub: &TaskHub, request: &v1::ResumeInstanceRequest) -> Result<(InstanceKey, Resume), Status> {
    let (key, expected_execution) =
        with_reason(hub, &request.instance_id, &request.reason, &request.expected_execution_id)?;
    Ok((key, Resume { reason: request.reason.as_str().into(), expected_execution }))
}

fn with_reason(
    hub: &TaskHub,
    instance_id: &str,
    reason: &str,
    expected: &str,
) -> Result<(InstanceKey, Option<ExecutionId>), Status> {
    let mut wrong = Violations::default();
    wrong.check_bytes("reason", reason, limits::REASON_BYTES_MAX);
    let expected = expected_execution(&mut wrong, expected);
    let key = instance_key(&mut wrong, hub, instance_id);
    Ok((wrong.finish(key)?, expected))
}

pub fn terminate(hub: &TaskHub, request: &v1::TerminateInstanceRequest) -> Result<(InstanceKey, Terminate), Status> {
    let mut wrong = Violations::default();
    wrong.check_bytes("reason", &request.reason, limits::REASON_BYTES_MAX);
    let expected = expected_execution(&mut wrong, &request.expected_execution_id);
    let exactly = execution_id_of(&mut wrong, "execution_id", &request.execution_id);
    if expected.is_some() && exactly.is_some() {
        wrong.add("execution_id", "must not be given together with expected_execution_id", &request.execution_id);
    }
    let target = match (exactly, expected) {
        (Some(execution), _) => Target::Exactly(execution),
        (None, Some(execution)) => Target::Expected(execution),
        (None, None) => Target::Latest,
    };
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    let key = wrong.finish(key)?;
    Ok((key, Terminate { reason: request.reason.as_str().into(), output: None, target, recurse: false }))
}

pub fn restart(
    door: &Door,
    hub: &TaskHub,
    request: &v1::RestartInstanceRequest,
) -> Result<(InstanceKey, Restart), Status> {
    let mut wrong = Violations::default();
    let id = request.request_id.clone();
    wrong.check_bytes("request_id", &id, limits::REQUEST_ID_BYTES_MAX);
    let expected_execution = expected_execution(&mut wrong, &request.expected_execution_id);
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    let key = wrong.finish(key)?;
    // Kept on the disk, like the content of a start: fixed for ever.
    let expected_text = (!request.expected_execution_id.is_empty()).then_some(request.expected_execution_id.as_str());
    let request = (!id.is_empty()).then(|| Request {
        digest: Digest::default().part(b"restart").optional(expected_text).finish(),
        id,
        remember: door.engine.config().request_memory,
    });
    Ok((key, Restart { execution: door.engine.draw_execution_id(), expected_execution, request }))
}

pub fn restarted(restarted: Started) -> v1::RestartInstanceResponse {
    let v1::StartSingletonResponse { outcome, first_outcome, execution_id, status, .. } = started(restarted);
    v1::RestartInstanceResponse { outcome, first_outcome, execution_id, status }
}

pub fn purge(hub: &TaskHub, request: &v1::PurgeInstanceRequest) -> Result<(InstanceKey, Option<ExecutionId>), Status> {
    let mut wrong = Violations::default();
    let expected = expected_execution(&mut wrong, &request.expected_execution_id);
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    Ok((wrong.finish(key)?, expected))
}
