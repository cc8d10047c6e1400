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
            due_at: due_at.as_micros(),
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
    disk::HistoryEvent { at: event.at.as_micros(), happened: Some(happened) }.encode_to_vec()
}

/// An event that a Durable Task execution has noted, in that protocol's bytes.
pub fn encode_note(note: &[u8]) -> Vec<u8> {
    disk::HistoryEvent { at: 0, happened: Some(Row::DurableTask(note.to_vec())) }.encode_to_vec()
}

/// A row of history: of a native run, or of one that is run in turns.
#[derive(Clone, Debug, PartialEq)]
pub enum Noted {
    Native(HistoryEvent),
    /// An event in the bytes of the Durable Task protocol.
    DurableTask(Vec<u8>),
}

pub fn decode_noted(bytes: &[u8]) -> Result<Noted, Undecodable> {
    let row = disk::HistoryEvent::decode(bytes).map_err(undecodable)?;
    match present(row.happened, "what happened")? {
        Row::DurableTask(note) => Ok(Noted::DurableTask(note)),
        happened => native(row.at, happened).map(Noted::Native),
    }
}

pub fn decode_history(bytes: &[u8]) -> Result<HistoryEvent, Undecodable> {
    match decode_noted(bytes)? {
        Noted::Native(event) => Ok(event),
        Noted::DurableTask(_) => Err(Undecodable("it is a Durable Task event".into())),
    }
}

fn native(at: i64, happened: Row) -> Result<HistoryEvent, Undecodable> {
    let happened = match happened {
        Row::DurableTask(_) => return Err(Undecodable("it is a Durable Task event".into())),
        Row::RunGranted(granted) => Happened::RunGranted {
            worker: name(&granted.worker)?,
            attempt: granted.attempt,
            token: Revision(granted.token),
        },
        Row::RetryScheduled(retry) => Happened::RetryScheduled {
            attempt: retry.attempt,
            failure: retry.failure.map(failure_from_disk).map(Arc::new),
            due_at: Timestamp::from_micros(retry.due_at),
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
    Ok(HistoryEvent { at: Timestamp::from_micros(at), happened })
}
