//! StartInstance: what is asked for.

use std::sync::Arc;

use prost::Message;
use prost_types::Timestamp as WireTimestamp;
use tonic::Status as Refused;

use super::state::statuses;
use crate::{
    core::{
        command::Start,
        ids::{ExecutionId, InstanceId, InstanceKey, TaskHub},
        limits,
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        request::{Digest, Request},
        status::{Spec, Status},
        time::Timestamp,
    },
    grpc::{
        Door,
        convert::{Violations, payload, tags, timestamp},
    },
    proto::durable_task::{self as pb, CreateOrchestrationAction as LegacyAction},
};

/// Characters of an instance id that a client names.
const INSTANCE_ID_CHARS_MAX: usize = 100;

/// A start, and what its refusal means.
pub struct Asked {
    pub key: InstanceKey,
    pub start: Start,
    pub reuse: Reuse,
}

/// What a start is told whose id is in use, where nothing is replaced.
#[derive(Debug, PartialEq, Eq)]
pub enum Reuse {
    AlreadyExists,
    /// With one of these statuses the instance is what was asked for.
    Welcome(Vec<Status>),
    /// With one of these statuses it would be replaced, were a terminated one not excluded.
    ExceptTerminated(Vec<Status>),
}

pub fn start(door: &Door, hub: &TaskHub, request: pb::CreateInstanceRequest) -> Result<Asked, Refused> {
    let mut wrong = Violations::default();
    let drawn = door.engine.draw_execution_id();
    let id = if request.instance_id.is_empty() { drawn.to_string() } else { request.instance_id };
    let key = instance_key(&mut wrong, hub, &id);
    let function = wrong.name("name", &request.name);
    let version = request.version;
    wrong.check_bytes("version", version.as_deref().unwrap_or_default(), limits::VERSION_BYTES_MAX);
    payload(&mut wrong, "input", request.input.as_deref(), door.payload_bytes_max);
    tags(&mut wrong, "tags", &request.tags);
    let start_at = start_at(&mut wrong, request.scheduled_start_timestamp, door.engine.now());
    let given = request.execution_id.filter(|id| !id.is_empty());
    let given = given.map(|id| wrong.parse("executionId", &id, ExecutionId::parse)).unwrap_or_default();
    let (key, function) = wrong.finish(key.zip(function))?;
    let (conflict_policy, replaceable, reuse) = reuse(request.orchestration_id_reuse_policy.as_ref());
    let spec = Spec {
        function,
        version,
        tags: request.tags,
        worker_kind: WorkerKind::DurableTask,
        retry: RetryPolicy::ONCE,
        start_deadline: None,
        run_timeout: None,
        start_at,
        parent: None,
        trace: request.parent_trace_context.map(|trace| trace.encode_to_vec().into()),
    };
    let start = Start {
        execution: given.unwrap_or_else(|| door.engine.draw_execution_id()),
        spec: Arc::new(spec),
        input: request.input.map(Arc::from),
        conflict_policy,
        replaceable,
        max_queue: limits::QUEUE_DEFAULT,
        signal: None,
        request: given.map(|execution| named(door, execution)),
    };
    Ok(Asked { key, start, reuse })
}

/// The same instance id and execution id ask for the same execution, whatever else they say.
fn named(door: &Door, execution: ExecutionId) -> Request {
    let id = format!("executionId {execution}");
    let digest = Digest::default().part(id.as_bytes()).finish();
    Request { id, digest, remember: door.engine.config().request_memory }
}

fn instance_key(wrong: &mut Violations, hub: &TaskHub, id: &str) -> Option<InstanceKey> {
    if id.chars().nth(INSTANCE_ID_CHARS_MAX).is_some() {
        wrong.add("instanceId", format!("must have a length of at most {INSTANCE_ID_CHARS_MAX} characters"), id);
        return None;
    }
    wrong.parse("instanceId", id, InstanceId::parse).map(|id| InstanceKey::new(hub, &id))
}

/// A time that has passed is none: some clients always give one.
fn start_at(wrong: &mut Violations, at: Option<WireTimestamp>, now: Timestamp) -> Option<Timestamp> {
    timestamp(wrong, "scheduledStartTimestamp", at).filter(|at| *at > now)
}

fn reuse(policy: Option<&pb::OrchestrationIdReusePolicy>) -> (ConflictPolicy, Replaceable, Reuse) {
    let Some(policy) = policy else { return (ConflictPolicy::Fail, Replaceable::ALL, Reuse::AlreadyExists) };
    let listed = statuses(&policy.replaceable_status);
    match LegacyAction::try_from(policy.legacy_action).unwrap_or_default() {
        LegacyAction::Ignore => (ConflictPolicy::Fail, Replaceable::NONE, Reuse::Welcome(listed)),
        LegacyAction::Terminate => (ConflictPolicy::Replace, replaceable(&listed), Reuse::AlreadyExists),
        LegacyAction::Error => {
            let replaceable = replaceable(&listed);
            if replaceable.terminated {
                return (ConflictPolicy::Replace, replaceable, Reuse::AlreadyExists);
            }
            let (live, ended): (Vec<Status>, Vec<Status>) = listed.into_iter().partition(|status| status.is_live());
            (ConflictPolicy::Replace, self::replaceable(&ended), Reuse::ExceptTerminated(live))
        }
    }
}

fn replaceable(listed: &[Status]) -> Replaceable {
    Replaceable {
        pending: listed.contains(&Status::Pending),
        running: listed.contains(&Status::Running),
        suspended: listed.contains(&Status::Suspended),
        completed: listed.contains(&Status::Completed),
        failed: listed.contains(&Status::Failed),
        terminated: listed.contains(&Status::Terminated),
    }
}
