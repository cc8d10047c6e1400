//! The committer: one batch, one flush for everything that queued meanwhile (group commit).

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::partition::{Change, Partition};
use crate::{
    core::{ids::Revision, partitioning::PartitionId},
    store::{CommitError, Store},
};

/// The partitions that have something to commit, in the order in which they said so.
#[derive(Default)]
pub struct CommitQueue {
    state: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiting {
    partitions: Vec<PartitionId>,
    closed: bool,
}

/// What one commit has made durable, in revision order per partition.
pub struct Committed(pub Vec<CommittedPartition>);

pub struct CommittedPartition {
    pub partition: Arc<Partition>,
    pub revision: Revision,
    pub changes: Vec<Change>,
}

impl CommitQueue {
    /// A partition's queue is no longer empty.
    pub fn announce(&self, partition: PartitionId) {
        self.state.lock().partitions.push(partition);
        self.bell.notify_one();
    }

    /// No more will come: `next` answers nothing once the rest is taken.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.bell.notify_one();
    }

    /// Blocks until there is something to commit; nothing after the end.
    pub fn next(&self) -> Option<Vec<PartitionId>> {
        let mut state = self.state.lock();
        loop {
            if !state.partitions.is_empty() {
                return Some(std::mem::take(&mut state.partitions));
            }
            if state.closed {
                return None;
            }
            self.bell.wait(&mut state);
        }
    }
}

/// Commits everything that waits in these partitions. Blocks.
pub fn commit(store: &dyn Store, partitions: impl Iterator<Item = Arc<Partition>>) -> Result<Committed, CommitError> {
    let mut batches = Vec::new();
    let mut committed = Vec::new();
    for partition in partitions {
        let (batch, changes) = partition.take_batch();
        committed.push(CommittedPartition { partition, revision: batch.revision, changes });
        batches.push(batch);
    }
    store.commit(&batches)?;
    Ok(Committed(committed))
}
