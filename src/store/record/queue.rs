//! Rows of starts that wait.

use prost::Message;

use super::{Undecodable, disk, execution_from_disk, execution_to_disk, present, undecodable};
use crate::core::{ids::Revision, queue::QueuedStart};

pub fn encode_queued(start: &QueuedStart) -> Vec<u8> {
    let execution = Some(execution_to_disk(&start.as_execution()));
    disk::QueuedStart { execution, coalesces: start.coalesces }.encode_to_vec()
}

pub fn decode_queued(ticket: Revision, bytes: &[u8]) -> Result<QueuedStart, Undecodable> {
    let row = disk::QueuedStart::decode(bytes).map_err(undecodable)?;
    let execution = execution_from_disk(present(row.execution, "execution")?)?;
    Ok(QueuedStart {
        ticket,
        execution: execution.id,
        spec: execution.spec,
        input: execution.input,
        coalesces: row.coalesces,
        queued_at: execution.created_at,
    })
}
