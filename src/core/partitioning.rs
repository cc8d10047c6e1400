//! Which partition an instance belongs to. Fixed for ever: stores on disk depend on it.

use xxhash_rust::xxh3::xxh3_64;

use super::ids::InstanceKey;

/// How many partitions there are.
pub const PARTITIONS: u16 = 128;

/// The name of the hash, as it is written into stores.
pub const HASH: &str = "xxh3_64(task hub, 0, instance id)";

/// A unit of ownership of instances: `0..PARTITIONS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl PartitionId {
    pub fn of(key: &InstanceKey) -> PartitionId {
        PartitionId((xxh3_64(key.as_bytes()) % u64::from(PARTITIONS)) as u16)
    }

    pub fn all() -> impl Iterator<Item = PartitionId> {
        (0..PARTITIONS).map(PartitionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{InstanceId, TaskHub};

    /// Changing any of these would orphan the instances of every existing store.
    #[test]
    fn partitions_are_pinned() {
        let of = |hub: &str, id: &str| {
            let hub = TaskHub::parse(hub).expect("a valid hub");
            PartitionId::of(&InstanceKey::new(&hub, &InstanceId::parse(id).expect("a valid id"))).0
        };
        let golden =
            [("default", "nightly", 17), ("default", "a", 50), ("other", "nightly", 18), ("default", "ü ö", 58)];
        let found: Vec<_> = golden.iter().map(|(hub, id, _)| (*hub, *id, of(hub, id))).collect();
        assert_eq!(found, golden);
    }
}
