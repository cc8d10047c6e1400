//! What requests have in common, and the small ones.

use std::sync::Arc;

use prost_types::Timestamp as WireTimestamp;
use tonic::Status;

use super::violations::Violations;
use crate::{
    core::{
        command::{RaiseEvent, Signal},
        ids::{ExecutionId, InstanceId, InstanceKey, Name, Revision, TaskHub},
        time::Timestamp,
    },
    engine::watch::Wish,
    grpc::Door,
    proto::v1,
};

pub fn raise_event(
    door: &Door,
    hub: &TaskHub,
    request: v1::RaiseEventRequest,
) -> Result<(InstanceKey, RaiseEvent), Status> {
    let mut wrong = Violations::default();
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    let name = wrong.name("name", &request.name);
    payload(&mut wrong, "input", request.input.as_deref(), door.payload_bytes_max);
    let expected_execution = expected_execution(&mut wrong, &request.expected_execution_id);
    let (key, name) = wrong.finish(key.zip(name))?;
    let signal = Signal { name, input: request.input.map(Arc::from) };
    Ok((key, RaiseEvent { signal, expected_execution }))
}

pub fn wish(hub: &TaskHub, request: &v1::WatchStatusRequest) -> Result<(InstanceKey, Wish), Status> {
    let (key, execution) = execution(hub, &request.instance_id, &request.execution_id)?;
    let wish = Wish {
        execution,
        from: request.from_revision.map(Revision),
        wait_for_start: request.wait_for_start,
        payloads: request.include_payloads,
    };
    Ok((key, wish))
}

/// The instance that a request names, and the execution of it if it names one.
pub fn execution(
    hub: &TaskHub,
    instance_id: &str,
    execution_id: &str,
) -> Result<(InstanceKey, Option<ExecutionId>), Status> {
    let mut wrong = Violations::default();
    let execution = execution_id_of(&mut wrong, "execution_id", execution_id);
    let key = instance_key(&mut wrong, hub, instance_id);
    Ok((wrong.finish(key)?, execution))
}

pub(super) fn instance_key(wrong: &mut Violations, hub: &TaskHub, id: &str) -> Option<InstanceKey> {
    wrong.parse("instance_id", id, InstanceId::parse).map(|id| InstanceKey::new(hub, &id))
}

pub(super) fn expected_execution(wrong: &mut Violations, id: &str) -> Option<ExecutionId> {
    execution_id_of(wrong, "expected_execution_id", id)
}

pub(super) fn execution_id_of(wrong: &mut Violations, field: &str, id: &str) -> Option<ExecutionId> {
    if id.is_empty() { None } else { wrong.parse(field, id, ExecutionId::parse) }
}

pub fn payload(wrong: &mut Violations, field: &str, payload: Option<&str>, max: usize) {
    wrong.check_bytes(field, payload.unwrap_or_default(), max);
}

pub(super) fn names(wrong: &mut Violations, field: &str, names: &[String]) -> Vec<Name> {
    let names = names.iter().enumerate();
    names.filter_map(|(index, name)| wrong.name(&format!("{field}[{index}]"), name)).collect()
}

/// A moment between the years 1 and 9999, to the microsecond.
pub fn timestamp(wrong: &mut Violations, field: &str, at: Option<WireTimestamp>) -> Option<Timestamp> {
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let at = at?;
    if !SECONDS.contains(&at.seconds) || !(0..=999_999_999).contains(&at.nanos) {
        let shown = format!("{} s and {} ns", at.seconds, at.nanos);
        wrong.add(field, "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z", &shown);
        return None;
    }
    Some(Timestamp::from_micros(at.seconds * 1_000_000 + i64::from(at.nanos / 1_000)))
}
