//! Rows of history.

use std::sync::Arc;

use prost::Message;

use super::{Undecodable, disk, failure_from_disk, failure_to_disk, name, present, undecodable};
use crate::core::{
    history::{EventInput, Happened, HistoryEvent},
    ids::Revision,
    time::Timestamp,
};

type Row = disk::history_event::Happened;

pub fn encode_history(event: &HistoryEvent) -> Vec<u8> {
    let reason = |reason: &Arc<str>| disk::Reason { reason: reason.to_string() };
    let happened = match &event.happened {
        Happened::RunGranted { worker, attempt, token } => {
            Row::RunGranted(disk::RunGranted { worker: worker.to_string(), attempt: *attempt, token: token.0 })
        }
        Happened::RetryScheduled { attempt, failure, due_at } => Row::RetryScheduled(disk::RetryScheduled {
            attempt: *attempt,
            failure: failure.as_deref().map(failure_to_disk),
            due_at: due_at.0,
        }),
        Happened::EventRaised { sequence, name, input } => {
            let (input, omitted_input_bytes) = match input {
                EventInput::Kept(input) => (input.as_deref().map(String::from), 0),
                EventInput::Omitted { bytes } => (None, *bytes),
            };
            Row::EventRaised(disk::EventRaised {
                sequence: *sequence,
                name: name.to_string(),
                input,
                omitted_input_bytes,
            })
        }
        Happened::ExecutionSuspended { reason: why } => Row::ExecutionSuspended(reason(why)),
        Happened::ExecutionResumed { reason: why } => Row::ExecutionResumed(reason(why)),
    };
    disk::HistoryEvent { at: event.at.0, happened: Some(happened) }.encode_to_vec()
}

pub fn decode_history(bytes: &[u8]) -> Result<HistoryEvent, Undecodable> {
    let row = disk::HistoryEvent::decode(bytes).map_err(undecodable)?;
    let happened = match present(row.happened, "what happened")? {
        Row::RunGranted(granted) => Happened::RunGranted {
            worker: name(&granted.worker)?,
            attempt: granted.attempt,
            token: Revision(granted.token),
        },
        Row::RetryScheduled(retry) => Happened::RetryScheduled {
            attempt: retry.attempt,
            failure: retry.failure.map(failure_from_disk).map(Arc::new),
            due_at: Timestamp(retry.due_at),
        },
        Row::EventRaised(raised) => Happened::EventRaised {
            sequence: raised.sequence,
            name: name(&raised.name)?,
            input: match raised.omitted_input_bytes {
                0 => EventInput::Kept(raised.input.map(Arc::from)),
                bytes => EventInput::Omitted { bytes },
            },
        },
        Row::ExecutionSuspended(why) => Happened::ExecutionSuspended { reason: why.reason.into() },
        Row::ExecutionResumed(why) => Happened::ExecutionResumed { reason: why.reason.into() },
    };
    Ok(HistoryEvent { at: Timestamp(row.at), happened })
}
