//! The committer: one batch, one flush for everything that queued meanwhile (group commit).

use std::{collections::VecDeque, sync::Arc, vec};

use parking_lot::{Condvar, Mutex};

use super::partition::{Change, Partition};
use crate::{
    core::{ids::Revision, partitioning::PartitionId},
    mutant::Mutant,
    store::{Batch, CommitError, Store},
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

/// Everything that waited, on its way to the disk.
pub struct Commit {
    batches: Vec<Batch>,
    pub(super) parts: VecDeque<CommittedPartition>,
}

/// What one commit has made durable and what is still to be done about it, in revision order per partition.
pub struct Committed(pub VecDeque<CommittedPartition>);

pub struct CommittedPartition {
    pub partition: Arc<Partition>,
    pub revision: Revision,
    pub changes: vec::IntoIter<Change>,
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

    /// What there is to commit now, if anything.
    pub fn take(&self) -> Option<Vec<PartitionId>> {
        self.state.lock().take()
    }

    /// Blocks until there is something to commit; nothing after the end.
    pub fn next(&self) -> Option<Vec<PartitionId>> {
        let mut state = self.state.lock();
        loop {
            if let Some(partitions) = state.take() {
                return Some(partitions);
            }
            if state.closed {
                return None;
            }
            self.bell.wait(&mut state);
        }
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Vec<PartitionId>> {
        (!self.partitions.is_empty()).then(|| std::mem::take(&mut self.partitions))
    }
}

impl Commit {
    /// Takes everything that waits in these partitions.
    pub fn gather(partitions: impl Iterator<Item = Arc<Partition>>) -> Commit {
        let mut commit = Commit { batches: Vec::new(), parts: VecDeque::new() };
        for partition in partitions {
            let (batch, changes) = partition.take_batch();
            let (revision, changes) = (batch.revision, changes.into_iter());
            commit.parts.push_back(CommittedPartition { partition, revision, changes });
            commit.batches.push(batch);
        }
        commit
    }

    /// How many changes are in it.
    pub fn changes(&self) -> usize {
        self.parts.iter().map(|part| part.changes.len()).sum()
    }

    /// Makes it durable. Blocks.
    pub fn flush(self, store: &dyn Store) -> Result<Committed, CommitError> {
        match store.commit(&self.batches) {
            Err(error) if !Mutant::CarryOnAfterFailure.is_on() => Err(error),
            _ => Ok(Committed(self.parts)),
        }
    }
}
