//! StartInstance.

use tonic::{Code, Status};
use tonic_types::ErrorDetails;

use crate::{
    core::{ids::TaskHub, rejection::Rejection, status::View},
    engine::Refusal,
    grpc::{
        Door,
        durable_task::convert::{self, Asked, Reuse},
        status::{about, error, of_view, reason},
    },
    proto::durable_task as pb,
};

/// What SDKs look for.
const ALREADY_EXISTS: &str = "orchestration instance already exists";
const EXCEPT_TERMINATED: &str =
    "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances";

pub async fn start(
    door: &Door,
    hub: &TaskHub,
    request: pb::CreateInstanceRequest,
) -> Result<pb::CreateInstanceResponse, Status> {
    let Asked { key, start, reuse } = convert::start(door, hub, request)?;
    match door.engine.start(&key, start).await {
        Ok(_) => {}
        Err(Refusal::Rejected(rejection)) => refused(&reuse, *rejection)?,
        Err(refusal) => return Err(refusal.into()),
    }
    Ok(pb::CreateInstanceResponse { instance_id: key.id().into() })
}

/// What it means that nothing was started.
fn refused(reuse: &Reuse, rejection: Rejection) -> Result<(), Status> {
    let view = match &rejection {
        Rejection::AlreadyRunning(view) | Rejection::StatusNotReplaceable(view) => view,
        _ => return Err(Refusal::from(rejection).into()),
    };
    let status = view.execution.status;
    match reuse {
        Reuse::Welcome(statuses) if statuses.contains(&status) => Ok(()),
        Reuse::ExceptTerminated(live) if live.contains(&status) => {
            let details = ErrorDetails::with_bad_request_violation(POLICY_FIELD, EXCEPT_TERMINATED);
            Err(error(
                Code::InvalidArgument,
                "INVALID_FIELD",
                EXCEPT_TERMINATED,
                [("field", POLICY_FIELD.into())],
                details,
            ))
        }
        Reuse::AlreadyExists | Reuse::Welcome(_) | Reuse::ExceptTerminated(_) => {
            Err(already_exists(view, reason(&rejection)))
        }
    }
}

const POLICY_FIELD: &str = "orchestrationIdReusePolicy";

fn already_exists(view: &View, reason: &str) -> Status {
    let message = format!("{ALREADY_EXISTS}: '{}' is {}", view.key.id(), view.execution.status.name());
    error(Code::AlreadyExists, reason, &message, of_view(view), about(view, &message))
}
