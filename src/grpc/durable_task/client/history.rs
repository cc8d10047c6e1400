//! StreamInstanceHistory: events, as many a chunk as it takes.

use std::{collections::VecDeque, pin::Pin};

use futures_util::stream;
use prost::Message;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    core::{
        ids::{ExecutionId, InstanceKey, TaskHub},
        rejection::Rejection,
    },
    engine::{Refusal, history::History},
    grpc::{Door, door::draining, durable_task::convert},
    proto::durable_task as pb,
};

/// Events of one chunk, and their bytes; a larger event comes alone.
const CHUNK_EVENTS: usize = 100;
const CHUNK_BYTES: usize = 256 << 10;

pub type Chunks = Pin<Box<dyn Stream<Item = Result<pb::HistoryChunk, Status>> + Send>>;

pub async fn history(door: &Door, hub: &TaskHub, request: pb::StreamInstanceHistoryRequest) -> Result<Chunks, Status> {
    let key = convert::instance(hub, &request.instance_id)?.present()?;
    let expected = request.execution_id.filter(|id| !id.is_empty());
    // Another execution's history is not there, whatever its id looks like.
    let gone = || Refusal::from(Rejection::NotFound { id: key.id().into() });
    let expected = expected.map(|id| ExecutionId::parse(&id)).transpose().map_err(|_| gone())?;
    let history = match door.engine.history(&key, expected).await {
        Err(Refusal::Rejected(rejection)) if matches!(*rejection, Rejection::ExecutionMismatch { .. }) => {
            return Err(gone().into());
        }
        other => other?,
    };
    let teller = Teller { door: door.clone(), key, history, held: VecDeque::new(), ended: false };
    Ok(Box::pin(stream::unfold(teller, Teller::next)))
}

struct Teller {
    door: Door,
    key: InstanceKey,
    history: History,
    /// Read and not yet told.
    held: VecDeque<pb::HistoryEvent>,
    ended: bool,
}

impl Teller {
    async fn next(mut self) -> Option<(Result<pb::HistoryChunk, Status>, Teller)> {
        if self.ended {
            return None;
        }
        let chunk = self.chunk().await;
        self.ended |= chunk.is_err();
        match chunk {
            Ok(events) if events.is_empty() => None,
            chunk => Some((chunk.map(|events| pb::HistoryChunk { events }), self)),
        }
    }

    async fn chunk(&mut self) -> Result<Vec<pb::HistoryEvent>, Status> {
        if self.door.drain.is_cancelled() {
            return Err(draining());
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < CHUNK_EVENTS {
            let Some(event) = self.event().await? else {
                self.ended = true;
                break;
            };
            bytes += event.encoded_len();
            if bytes > CHUNK_BYTES && !events.is_empty() {
                self.held.push_front(event);
                break;
            }
            events.push(event);
        }
        Ok(events)
    }

    async fn event(&mut self) -> Result<Option<pb::HistoryEvent>, Status> {
        while self.held.is_empty() {
            let Some(chapter) = self.history.next().await? else { return Ok(None) };
            let events = convert::events(&self.key, self.history.execution(), chapter);
            self.held.extend(events.map_err(|error| Refusal::Damaged(error.to_string()))?);
        }
        Ok(self.held.pop_front())
    }
}
