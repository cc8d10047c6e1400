//! What the record of an instance alone tells of it.

use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};

use super::{Undecodable, disk, execution_from_disk, key_from_disk, name, present, undecodable};
use crate::core::{ids::Revision, status::View};

/// The fields that stand first in a record, in this order.
const TASK_HUB: u32 = 1;
const INSTANCE_ID: u32 = 2;

/// The task hub and the instance id of a record, without decoding the rest.
pub fn decode_names(record: &[u8]) -> Result<(&str, &str), Undecodable> {
    let (hub, rest) = text(record, TASK_HUB)?;
    let (id, _) = text(rest, INSTANCE_ID)?;
    Ok((hub, id))
}

/// The instance as people see it, but for when its lease ends, which no row holds; nothing if it was purged.
pub fn decode_view(bytes: &[u8]) -> Result<Option<View>, Undecodable> {
    let record = disk::InstanceRecord::decode(bytes).map_err(undecodable)?;
    if record.purged.is_some() {
        return Ok(None);
    }
    Ok(Some(View {
        key: key_from_disk(&record.task_hub, &record.instance_id)?,
        revision: Revision(record.revision),
        fencing_token: Revision(record.fencing_token),
        execution: execution_from_disk(present(record.execution, "execution")?)?,
        worker: record.lease.map(|lease| name(&lease.worker)).transpose()?,
        lease_expires_at: None,
        queued_starts: record.queued_starts,
        queue_position: 0,
        purged: false,
    }))
}

/// The text that the bytes begin with, as field `number`, and what follows it.
fn text(mut bytes: &[u8], number: u32) -> Result<(&str, &[u8]), Undecodable> {
    let key = decode_key(&mut bytes).map_err(undecodable)?;
    let length = decode_varint(&mut bytes).map_err(undecodable)?;
    let parts = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    match parts.filter(|_| key == (number, WireType::LengthDelimited)) {
        Some((text, rest)) => Ok((std::str::from_utf8(text).map_err(undecodable)?, rest)),
        None => Err(undecodable(format!("field {number} does not stand where it should"))),
    }
}
