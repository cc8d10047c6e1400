//! What a live table shows: the newest status of each instance.

use std::collections::BTreeMap;

use crate::{
    cli::output,
    client::InstancesEvent,
    proto::v1::{InstanceStatus, RuntimeStatus},
};

/// The instances by their ids, as far as they are known.
#[derive(Debug, Default)]
pub struct Board {
    /// All instances are of this function; none if they may be of any.
    function: Option<String>,
    rows: BTreeMap<String, Row>,
    /// How often the current statuses have begun.
    round: u64,
    /// Rises with each change.
    version: u64,
    synced: bool,
    interrupted: Option<String>,
}

/// One instance. It keeps what is shown of it and no more: there may be very many.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub function: String,
    pub status: RuntimeStatus,
    pub attempt: u32,
    pub updated: String,
    pub worker: String,
    round: u64,
}

impl Board {
    /// Of the instances of one function, if any is given.
    pub fn of(function: Option<String>) -> Board {
        Board { function, ..Board::default() }
    }

    pub fn apply(&mut self, event: InstancesEvent) {
        self.version += 1;
        match event {
            InstancesEvent::Item(item) if item.purged || self.has_left(&item.status) => {
                self.rows.remove(&item.status.instance_id);
            }
            InstancesEvent::Item(item) => {
                let row = Row::of(&item.status, self.round);
                self.rows.insert(item.status.instance_id, row);
            }
            InstancesEvent::Synced => {
                // Who was not among them is no longer there.
                let round = self.round;
                self.rows.retain(|_, row| row.round == round);
                self.synced = true;
            }
            InstancesEvent::BeginsAgain => {
                self.round += 1;
                self.interrupted = None;
            }
            InstancesEvent::Interrupted(interruption) => {
                self.interrupted = Some(output::interruption(&interruption));
            }
        }
    }

    /// Whether the instance runs another function now.
    fn has_left(&self, status: &InstanceStatus) -> bool {
        self.function.as_ref().is_some_and(|function| *function != status.function_name)
    }

    /// All instances, sorted by id.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&str, &Row)> {
        self.rows.iter().map(|(id, row)| (id.as_str(), row))
    }

    /// Whether all instances that there are have been seen.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Why nothing comes now, if the connection is lost.
    pub fn interrupted(&self) -> Option<&str> {
        self.interrupted.as_deref()
    }

    pub fn version(&self) -> u64 {
        self.version
    }
}

// === impl Row ===

impl Row {
    fn of(status: &InstanceStatus, round: u64) -> Row {
        Row {
            function: status.function_name.clone(),
            status: status.runtime_status(),
            attempt: status.attempt,
            updated: status.last_updated_at.as_ref().map(output::second).unwrap_or_default(),
            worker: status.worker.clone(),
            round,
        }
    }
}
