//! One GetHistory stream: events, as many a message as it takes.

use prost::Message;
use tonic::Status;

use super::{Door, RESPONSE_PAYLOAD_BYTES_MAX, convert, door::draining};
use crate::{engine::history::History, proto::v1};

/// The bytes that an event has in a message beyond its own: its field and its length.
const EVENT_OVERHEAD_BYTES: usize = 8;

pub(super) struct Teller {
    door: Door,
    history: History,
    /// Did not fit into the last message.
    held: Option<v1::HistoryEvent>,
    ended: bool,
}

impl Teller {
    pub(super) fn new(door: Door, history: History) -> Teller {
        Teller { door, history, held: None, ended: false }
    }

    pub(super) async fn next(mut self) -> Option<(Result<v1::GetHistoryResponse, Status>, Teller)> {
        if self.ended {
            return None;
        }
        if self.door.drain.is_cancelled() {
            self.ended = true;
            return Some((Err(draining()), self));
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        loop {
            let event = match self.event().await {
                Ok(Some(event)) => event,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(status) => {
                    self.ended = true;
                    return Some((Err(status), self));
                }
            };
            bytes += event.encoded_len() + EVENT_OVERHEAD_BYTES;
            if bytes > RESPONSE_PAYLOAD_BYTES_MAX && !events.is_empty() {
                self.held = Some(event);
                break;
            }
            events.push(event);
        }
        (!events.is_empty()).then_some((Ok(v1::GetHistoryResponse { events }), self))
    }

    async fn event(&mut self) -> Result<Option<v1::HistoryEvent>, Status> {
        match self.held.take() {
            Some(event) => Ok(Some(event)),
            None => Ok(self.history.next().await?.map(convert::chapter)),
        }
    }
}
