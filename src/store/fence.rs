//! Where the partitions stand, and which batches may follow: what keeps a former owner from writing.

use super::{Batch, Claim, CommitError};
use crate::core::partitioning::PartitionId;

/// The position of every partition, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positions(Vec<Claim>);

impl Positions {
    /// One for each partition, in the order of their ids.
    pub(super) fn new(claims: Vec<Claim>) -> Positions {
        Positions(claims)
    }

    pub(super) fn of(&self, partition: PartitionId) -> Result<Claim, String> {
        self.0.get(usize::from(partition.0)).copied().ok_or_else(|| format!("there is no partition {}", partition.0))
    }

    /// Raises the epochs; whoever had these partitions can't write them any more.
    pub(super) fn claim(&mut self, partitions: &[PartitionId]) -> Result<Vec<Claim>, String> {
        let mut claimed = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let mut claim = self.of(*partition)?;
            claim.epoch += 1;
            self.0[usize::from(partition.0)] = claim;
            claimed.push(claim);
        }
        Ok(claimed)
    }

    /// Moves on by these batches. If one is fenced, the positions are worthless: advance a copy.
    pub(super) fn advance(&mut self, batches: &[Batch]) -> Result<(), CommitError> {
        for batch in batches {
            let fenced = |found: String| CommitError::Fenced {
                partition: batch.partition,
                found,
                presented: format!("epoch {}, sequence {}", batch.epoch, batch.sequence),
            };
            let at = self.of(batch.partition).map_err(&fenced)?;
            // Epoch 0 is nobody's: whoever writes has claimed.
            if batch.epoch == 0 || batch.epoch != at.epoch || batch.sequence != at.sequence + 1 {
                return Err(fenced(format!("epoch {}, sequence {}", at.epoch, at.sequence)));
            }
            let (sequence, revision) = (batch.sequence, batch.revision);
            self.0[usize::from(batch.partition.0)] = Claim { sequence, revision, ..at };
        }
        Ok(())
    }
}
