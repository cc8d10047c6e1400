//! What moves the engine, step by step. [`Threads`](super::Threads) take the steps as they come; a simulation takes
//! them in an order of its own, without a thread or a runtime.

use std::sync::Arc;

use super::{
    Engine, Shared,
    committer::{Commit, Committed},
};
use crate::{
    core::{partitioning::PartitionId, time::Steady},
    mutant::Mutant,
    store::CommitError,
};

/// Moves an engine. Whoever takes the steps takes every one of them: an engine has one stepper at work.
pub struct Stepper {
    pub(super) shared: Arc<Shared>,
}

impl Engine {
    /// For whoever moves the engine by hand; [`Engine::run`] sets it in motion otherwise.
    pub fn stepper(&self) -> Stepper {
        Stepper { shared: self.shared.clone() }
    }
}

impl Stepper {
    /// Takes everything that waits to be committed, as one batch; nothing if nothing waits.
    pub fn take_commit(&self) -> Option<Commit> {
        Some(self.gather(self.shared.queue.take()?))
    }

    /// Blocks until something waits to be committed, and takes it; nothing after the end.
    pub fn next_commit(&self) -> Option<Commit> {
        Some(self.gather(self.shared.queue.next()?))
    }

    /// Makes it durable. Blocks. Nothing once the store has failed: nobody is told of the commit then.
    pub fn flush(&self, commit: Commit) -> Option<Committed> {
        let metrics = &self.shared.metrics;
        let (changes, begun) = (commit.changes() as u64, self.shared.clock.now().steady);
        let flushed = commit.flush(&*self.shared.store);
        let took = self.shared.clock.now().steady - begun;
        match flushed {
            // It may have been given up on meanwhile; then nobody is told of it any more.
            Ok(_) if self.has_fallen() => None,
            Ok(committed) => {
                metrics.commit_time.observe(u64::try_from(took.as_micros()).unwrap_or(0));
                metrics.commit_changes.observe(changes);
                Some(committed)
            }
            Err(error) => {
                self.shared.fall(&describe(&error));
                None
            }
        }
    }

    /// Carries out everything that a commit calls for. Never waits.
    pub fn carry_out(&self, mut committed: Committed) {
        while self.carry_out_next(&mut committed) {}
    }

    /// Carries out what the next change of a commit calls for, or tells whoever waited that a partition is durable.
    /// Answers whether there was anything left to do.
    pub fn carry_out_next(&self, committed: &mut Committed) -> bool {
        self.shared.carry_out_next(committed)
    }

    /// Takes the next turn from a worker that has not answered in time, or does what is due for the next instance whose
    /// time has come; answers whether there was one.
    pub fn fire_next(&self) -> bool {
        if self.shared.lapse_turn() {
            return true;
        }
        let key = self.shared.timers.pop_due(self.shared.clock.now().steady);
        key.inspect(|key| self.shared.tick(key)).is_some()
    }

    /// When `fire_next` has something to do.
    pub fn next_due(&self) -> Option<Steady> {
        [self.shared.timers.next_due(), self.shared.work_items.next_lapse()].into_iter().flatten().min()
    }

    /// Whether the store has failed.
    pub fn has_fallen(&self) -> bool {
        self.shared.fallen.borrow().is_some()
    }

    fn gather(&self, dirty: Vec<PartitionId>) -> Commit {
        let mut commit = Commit::gather(dirty.iter().map(|id| self.shared.partitions[usize::from(id.0)].clone()));
        if Mutant::CarryOutBeforeFlush.is_on() {
            let changes = commit.parts.iter_mut().flat_map(|part| part.changes.by_ref());
            changes.for_each(|change| self.shared.effects(&change.key, change.effects));
        }
        commit
    }
}

/// The error with all its causes.
pub(super) fn describe(error: &CommitError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
