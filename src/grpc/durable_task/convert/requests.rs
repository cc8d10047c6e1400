//! What requests have in common, and the small ones.

use std::sync::Arc;

use tonic::Status;

use crate::{
    core::{
        command::{RaiseEvent, Signal, Target as Which, Terminate},
        ids::{InstanceId, InstanceKey, TaskHub},
        limits,
        rejection::Rejection,
    },
    engine::Refusal,
    grpc::{
        Door,
        convert::{Violations, payload},
    },
    proto::durable_task as pb,
};

/// Instances that one request may name.
const BATCH_MAX: usize = 500;

/// Which instance a request means.
pub enum Target {
    Key(InstanceKey),
    /// An id that no instance can have: that of an entity, or one that no start accepts.
    Nobody(String),
}

impl Target {
    pub fn key(&self) -> Option<&InstanceKey> {
        match self {
            Target::Key(key) => Some(key),
            Target::Nobody(_) => None,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Target::Key(key) => key.id(),
            Target::Nobody(id) => id,
        }
    }

    /// The instance, where one that is not there is an error.
    pub fn present(self) -> Result<InstanceKey, Status> {
        match self {
            Target::Key(key) => Ok(key),
            Target::Nobody(id) => Err(Refusal::from(Rejection::NotFound { id }).into()),
        }
    }

    /// The instance, where one that can never be is an error.
    pub fn possible(self) -> Result<InstanceKey, Status> {
        match self {
            Target::Key(key) => Ok(key),
            Target::Nobody(id) => {
                let mut wrong = Violations::default();
                let never = wrong.parse("instanceId", &id, InstanceId::parse);
                wrong.finish(never.and(None))
            }
        }
    }
}

pub fn instance(hub: &TaskHub, id: &str) -> Result<Target, Status> {
    if id.is_empty() {
        let mut wrong = Violations::default();
        wrong.add("instanceId", "must not be empty", id);
        return wrong.finish(None);
    }
    Ok(match InstanceId::parse(id) {
        Ok(parsed) => Target::Key(InstanceKey::new(hub, &parsed)),
        Err(_) => Target::Nobody(id.into()),
    })
}

/// Not too many at once.
pub fn batch(hub: &TaskHub, batch: Option<pb::InstanceBatch>) -> Result<Vec<Target>, Status> {
    let ids = batch.unwrap_or_default().instance_ids;
    if ids.len() > BATCH_MAX {
        let mut wrong = Violations::default();
        wrong.add("instanceBatch", format!("must be at most {BATCH_MAX} instances"), &ids.len().to_string());
        return wrong.finish(None);
    }
    ids.iter().map(|id| instance(hub, id)).collect()
}

pub fn reason(reason: Option<String>) -> Result<Arc<str>, Status> {
    let reason = reason.unwrap_or_default();
    let mut wrong = Violations::default();
    wrong.check_bytes("reason", &reason, limits::REASON_BYTES_MAX);
    wrong.finish(Some(reason.into()))
}

pub fn raise_event(door: &Door, request: pb::RaiseEventRequest) -> Result<RaiseEvent, Status> {
    let mut wrong = Violations::default();
    let name = wrong.name("name", &request.name);
    payload(&mut wrong, "input", request.input.as_deref(), door.payload_bytes_max);
    let name = wrong.finish(name)?;
    let signal = Signal { name, input: request.input.map(Arc::from) };
    Ok(RaiseEvent { signal, expected_execution: None })
}

pub fn terminate(door: &Door, output: Option<String>, recurse: bool) -> Result<Terminate, Status> {
    let mut wrong = Violations::default();
    payload(&mut wrong, "output", output.as_deref(), door.payload_bytes_max);
    let output = wrong.finish(Some(output.map(Arc::from)))?;
    Ok(Terminate { reason: "".into(), output, target: Which::Latest, recurse })
}
