//! How it stands, for those who watch the server.

use super::{Engine, Refusal, Shared, Started};
use crate::{
    core::{instance::Instance, status::Status, time::Timestamp},
    metrics::{Ending, Gauges},
};

impl Engine {
    /// What is counted, and how it stands, as Prometheus reads it.
    pub fn metrics(&self) -> String {
        self.shared.metrics.write(&self.shared.gauges())
    }
}

impl Shared {
    fn gauges(&self) -> Gauges {
        let (watchers, waits) = (self.watchers.open(), self.watchers.waiting());
        let mut gauges = Gauges { watchers, waits, ..Gauges::default() };
        for partition in &self.partitions {
            gauges.population += partition.population();
        }
        let census = self.dispatch.census();
        if let Some(key) = census.oldest {
            let since = self.partition(&key).inspect(&key, waits_since);
            let age = since.map_or(0, |since| self.clock.now().wall.as_micros() - since.as_micros());
            gauges.oldest_pending_micros = u64::try_from(age).unwrap_or(0);
        }
        Gauges { workers: census.workers, runs_waiting: census.waiting, runs_held: census.held, ..gauges }
    }
}

/// When the run could first have been handed out, as far as the instance tells.
fn waits_since(instance: &Instance) -> Timestamp {
    let execution = &instance.execution;
    match execution.status {
        Status::Pending => execution.created_at.max(execution.spec.start_at.unwrap_or(execution.created_at)),
        // Between two attempts.
        Status::Running | Status::Suspended | Status::Completed | Status::Failed | Status::Terminated => {
            execution.last_updated_at
        }
    }
}

/// What became of a start.
pub(super) fn ending(started: &Result<Started, Refusal>) -> Ending {
    match started {
        Ok(started) if started.deduplicated => Ending::Deduplicated,
        Ok(started) => Ending::Accepted(started.outcome),
        Err(Refusal::Rejected(_)) => Ending::Rejected,
        Err(Refusal::OutcomeUnknown(_)) => Ending::Unknown,
        Err(Refusal::Unavailable(_) | Refusal::TooMany(_) | Refusal::Damaged(_)) => Ending::Unavailable,
    }
}
