//! Starts that wait for the live execution to end.

use std::{collections::VecDeque, sync::Arc};

use super::{
    ids::{ExecutionId, PayloadRow, Revision},
    rare::Rare,
    status::Spec,
    time::Timestamp,
};
use crate::mutant::Mutant;

/// A start that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedStart {
    /// The revision that put it there, and the number of its row.
    pub ticket: Revision,
    pub execution: ExecutionId,
    pub spec: Arc<Spec>,
    /// The row that holds the input.
    pub input: Option<PayloadRow>,
    /// Whether further starts may take its place.
    pub coalesces: bool,
    pub queued_at: Timestamp,
}

/// The starts that wait, first come first served.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Queue(Rare<VecDeque<QueuedStart>>);

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    pub fn len(&self) -> u32 {
        u32::try_from(self.0.get().map_or(0, VecDeque::len)).unwrap_or(u32::MAX)
    }

    pub fn iter(&self) -> impl Iterator<Item = &QueuedStart> {
        self.0.into_iter()
    }

    pub fn first(&self) -> Option<&QueuedStart> {
        self.0.get()?.front()
    }

    /// The start that coalesces, if one waits.
    pub fn coalescing(&self) -> Option<&QueuedStart> {
        self.iter().find(|start| start.coalesces)
    }

    /// The start and its place, from 1.
    pub fn find(&self, execution: ExecutionId) -> Option<(u32, &QueuedStart)> {
        (1..).zip(self.iter()).find(|(_, start)| start.execution == execution)
    }

    /// The place of the start, from 1; 0 if it does not wait.
    pub fn position(&self, execution: ExecutionId) -> u32 {
        self.find(execution).map_or(0, |(position, _)| position)
    }

    pub fn push(&mut self, start: QueuedStart) {
        self.0.change(|starts| starts.push_back(start));
    }

    pub fn replace(&mut self, execution: ExecutionId, spec: &Arc<Spec>, input: Option<PayloadRow>, at: Timestamp) {
        if Mutant::CoalesceOldestWins.is_on() {
            return;
        }
        self.0.change(|starts| {
            if let Some(start) = starts.iter_mut().find(|start| start.execution == execution) {
                start.spec = Arc::clone(spec);
                start.input = input;
                start.queued_at = at;
            }
        });
    }

    pub fn remove(&mut self, execution: ExecutionId) {
        self.0.change(|starts| {
            starts.retain(|start| start.execution != execution || Mutant::StartWithdrawn.is_on());
        });
    }

    pub fn pop(&mut self) -> Option<QueuedStart> {
        self.0.change(|starts| if Mutant::DequeueFromBack.is_on() { starts.pop_back() } else { starts.pop_front() })
    }
}
