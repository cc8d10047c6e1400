//! What callers see of an instance.

use prost::Message;
use prost_types::Timestamp as WireTimestamp;

use crate::{
    core::{
        status::{Failure, Status},
        time::Timestamp,
    },
    engine::{Description, Payloads, Seen},
    grpc::RESPONSE_PAYLOAD_BYTES_MAX,
    proto::v1,
};

pub fn to_wire(described: Description, payloads: Option<Payloads>) -> Box<v1::InstanceStatus> {
    to_wire_within(RESPONSE_PAYLOAD_BYTES_MAX, described, payloads)
}

/// The same where so many bytes of payloads have room.
fn to_wire_within(room: usize, described: Description, payloads: Option<Payloads>) -> Box<v1::InstanceStatus> {
    let Description { view, pending_reason } = described;
    let execution = &view.execution;
    let failure = execution.failure.as_deref().filter(|_| execution.status == Status::Failed);
    let mut wire = Box::new(v1::InstanceStatus {
        instance_id: view.key.id().into(),
        function_name: execution.spec.function.to_string(),
        version: execution.spec.version().into(),
        execution_id: execution.id.to_string(),
        runtime_status: runtime_status(execution.status).into(),
        revision: view.revision.0,
        fencing_token: view.fencing_token.0,
        created_at: Some(shown(execution.created_at)),
        started_at: execution.started_at.map(shown),
        last_updated_at: Some(shown(execution.last_updated_at)),
        completed_at: execution.completed_at.map(shown),
        scheduled_start_at: execution.spec.start_at.map(shown),
        failure: failure.map(failure_to_wire),
        tags: execution.spec.tags.clone().into_iter().collect(),
        worker: view.worker.as_ref().map(ToString::to_string).unwrap_or_default(),
        attempt: execution.attempt,
        lease_expires_at: view.lease_expires_at.map(shown),
        pending_reason,
        queued_starts: view.queued_starts,
        termination_reason: execution.termination_reason.as_deref().unwrap_or_default().into(),
        ..Default::default()
    });
    add_payloads(&mut wire, payloads.unwrap_or_default(), room);
    wire
}

pub fn seen(seen: Seen) -> v1::GetStatusResponse {
    let queue = seen.queue.iter().map(|start| v1::QueuedStart {
        execution_id: start.execution.to_string(),
        function_name: start.spec.function.to_string(),
        conflict_policy: if start.coalesces { v1::ConflictPolicy::Coalesce } else { v1::ConflictPolicy::Queue }.into(),
        queued_at: Some(shown(start.queued_at)),
    });
    let response = v1::GetStatusResponse { status: None, queue: queue.collect() };
    let room = RESPONSE_PAYLOAD_BYTES_MAX.saturating_sub(response.encoded_len());
    v1::GetStatusResponse { status: Some(to_wire_within(room, seen.status, Some(seen.payloads))), ..response }
}

/// As many payloads as there is room for, the small ones first.
fn add_payloads(wire: &mut v1::InstanceStatus, payloads: Payloads, mut room: usize) {
    let Payloads { input, output, custom_status } = payloads;
    let mut by_size = [("input", input), ("output", output), ("custom_status", custom_status)];
    by_size.sort_by_key(|(_, payload)| payload.as_ref().map_or(0, String::len));
    for (name, payload) in by_size {
        let size = payload.as_ref().map_or(0, String::len);
        if size > room {
            wire.omitted_payloads.push(name.into());
            continue;
        }
        room -= size;
        match name {
            "input" => wire.input = payload,
            "output" => wire.output = payload,
            _ => wire.custom_status = payload,
        }
    }
}

fn runtime_status(status: Status) -> v1::RuntimeStatus {
    match status {
        Status::Pending => v1::RuntimeStatus::Pending,
        Status::Running => v1::RuntimeStatus::Running,
        Status::Suspended => v1::RuntimeStatus::Suspended,
        Status::Completed => v1::RuntimeStatus::Completed,
        Status::Failed => v1::RuntimeStatus::Failed,
        Status::Terminated => v1::RuntimeStatus::Terminated,
    }
}

pub(super) fn failure_to_wire(failure: &Failure) -> v1::Failure {
    v1::Failure {
        error_type: failure.error_type.clone(),
        message: failure.message.clone(),
        details: failure.details.clone(),
        non_retriable: failure.non_retriable,
    }
}

pub fn shown(at: Timestamp) -> WireTimestamp {
    let nanos = at.as_micros().rem_euclid(1_000_000) * 1_000;
    WireTimestamp { seconds: at.as_micros().div_euclid(1_000_000), nanos: i32::try_from(nanos).unwrap_or(0) }
}
