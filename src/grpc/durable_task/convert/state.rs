//! What clients see of an instance.

use crate::{
    core::status::{Status, View},
    engine::Payloads,
    grpc::convert::shown,
    proto::durable_task::{self as pb, OrchestrationStatus},
    store::record::failure_details,
};

/// An instance that is there; its payloads and its failure where they were asked for.
pub fn existing(view: &View, payloads: Option<Payloads>) -> pb::GetInstanceResponse {
    pb::GetInstanceResponse { exists: true, orchestration_state: Some(state(view, payloads)) }
}

pub fn state(view: &View, payloads: Option<Payloads>) -> pb::OrchestrationState {
    let execution = &view.execution;
    let spec = &execution.spec;
    let failure = execution.failure.as_deref().filter(|_| execution.status == Status::Failed);
    let failure_details = failure.filter(|_| payloads.is_some()).map(failure_details);
    let Payloads { input, output, custom_status } = payloads.unwrap_or_default();
    pb::OrchestrationState {
        instance_id: view.key.id().into(),
        name: spec.function.to_string(),
        version: spec.version.clone(),
        orchestration_status: to_wire(execution.status).into(),
        scheduled_start_timestamp: spec.start_at.map(shown),
        created_timestamp: Some(shown(execution.created_at)),
        last_updated_timestamp: Some(shown(execution.last_updated_at)),
        input,
        output,
        custom_status,
        failure_details,
        execution_id: Some(execution.id.to_string()),
        completed_timestamp: execution.completed_at.map(shown),
        parent_instance_id: spec.parent.as_ref().map(|parent| parent.instance.as_str().into()),
        tags: spec.tags.clone(),
    }
}

pub fn to_wire(status: Status) -> OrchestrationStatus {
    match status {
        Status::Pending => OrchestrationStatus::Pending,
        Status::Running => OrchestrationStatus::Running,
        Status::Suspended => OrchestrationStatus::Suspended,
        Status::Completed => OrchestrationStatus::Completed,
        Status::Failed => OrchestrationStatus::Failed,
        Status::Terminated => OrchestrationStatus::Terminated,
    }
}

/// Those of the statuses that an instance here can have.
pub fn statuses(wire: &[i32]) -> Vec<Status> {
    wire.iter().filter_map(|number| status(*number)).collect()
}

fn status(number: i32) -> Option<Status> {
    match OrchestrationStatus::try_from(number).ok()? {
        OrchestrationStatus::Pending => Some(Status::Pending),
        OrchestrationStatus::Running => Some(Status::Running),
        OrchestrationStatus::Suspended => Some(Status::Suspended),
        OrchestrationStatus::Completed => Some(Status::Completed),
        OrchestrationStatus::Failed => Some(Status::Failed),
        OrchestrationStatus::Terminated => Some(Status::Terminated),
        OrchestrationStatus::ContinuedAsNew | OrchestrationStatus::Canceled => None,
    }
}
