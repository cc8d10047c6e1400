//! What workers make of their work items. None of these calls is answered with an error for a token that is not
//! known (any more): some SDKs take that for the loss of their stream.

use tonic::Status;

use crate::{
    core::{
        ids::{InstanceId, InstanceKey, TaskHub},
        rejection::Rejection,
    },
    engine::Refusal,
    grpc::{Door, durable_task::convert},
    proto::durable_task as pb,
};

pub async fn complete_turn(door: &Door, hub: &TaskHub, response: pb::OrchestratorResponse) -> Result<(), Status> {
    let engine = &door.engine;
    let token = match convert::named_token(&response.completion_token) {
        Some(named) => named.inspect(|token| engine.names_tokens(*token)),
        None => key(hub, &response.instance_id).and_then(|key| engine.turn_out(&key)),
    };
    let out = token.and_then(|token| engine.item_out(token).map(|out| (token, out)));
    let Some((token, out)) = out else { return Ok(()) };
    let Some(sent) = &out.sent else { return Ok(()) };
    if response.requires_history {
        // It was told all of it; another may do with that.
        engine.abandon(token);
        return Ok(());
    }
    let turn = convert::completed_turn(engine, &out.item.key, token, sent, door.payload_bytes_max, response);
    settle(engine.complete_turn(out.item.key.clone(), turn).await)
}

pub async fn complete_activity(door: &Door, hub: &TaskHub, response: pb::ActivityResponse) -> Result<(), Status> {
    let engine = &door.engine;
    let token = match convert::named_token(&response.completion_token) {
        Some(named) => named.inspect(|token| engine.names_tokens(*token)),
        None => key(hub, &response.instance_id).and_then(|key| engine.activity_out(&key, response.task_id)),
    };
    let out = token.and_then(|token| engine.item_out(token).map(|out| (token, out)));
    let Some((token, out)) = out else { return Ok(()) };
    settle(engine.end_activity(&out, token, convert::outcome(response, door.payload_bytes_max)).await)
}

pub fn abandon(door: &Door, token: &str) {
    if let Some(Some(token)) = convert::named_token(token) {
        door.engine.names_tokens(token);
        door.engine.abandon(token);
    }
}

/// Whoever was overtaken need not know.
fn settle(completed: Result<(), Refusal>) -> Result<(), Status> {
    match completed {
        Err(Refusal::Rejected(rejection)) if *rejection == Rejection::StaleCompletionToken => Ok(()),
        other => Ok(other?),
    }
}

fn key(hub: &TaskHub, id: &str) -> Option<InstanceKey> {
    InstanceId::parse(id).ok().map(|id| InstanceKey::new(hub, &id))
}
