//! What is counted, under its names: cheap to add to, and written out as Prometheus reads it.

mod number;
mod text;

pub use self::number::{Counter, Histogram};
use self::text::{Kind, Text};
use crate::core::{request::Outcome, status::Status};

/// The upper bounds of a commit's time, in microseconds.
const COMMIT_MICROS: &[u64] =
    &[250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000, 60_000_000];
/// The upper bounds of a commit's changes.
const COMMIT_CHANGES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];

const STATUSES: [Status; 6] =
    [Status::Pending, Status::Running, Status::Suspended, Status::Completed, Status::Failed, Status::Terminated];

/// What becomes of starts, and how it is called.
const ENDINGS: [(Ending, &str); 9] = [
    (Ending::Accepted(Outcome::Started), "started"),
    (Ending::Accepted(Outcome::Joined), "joined"),
    (Ending::Accepted(Outcome::Replaced), "replaced"),
    (Ending::Accepted(Outcome::Queued), "queued"),
    (Ending::Accepted(Outcome::Coalesced), "coalesced"),
    (Ending::Deduplicated, "deduplicated"),
    (Ending::Rejected, "rejected"),
    (Ending::Unknown, "unknown"),
    (Ending::Unavailable, "unavailable"),
];

/// What happened since the server started.
pub struct Metrics {
    starts: [Counter; ENDINGS.len()],
    pub leases_granted: Counter,
    pub leases_expired: Counter,
    /// In microseconds.
    pub commit_time: Histogram,
    pub commit_changes: Histogram,
}

/// How it stands now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    pub population: Population,
    pub oldest_pending_micros: u64,
    pub watchers: usize,
    pub waits: usize,
    pub workers: usize,
    pub runs_waiting: usize,
    pub runs_held: usize,
}

/// How many instances stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population([u64; STATUSES.len()]);

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Accepted(Outcome),
    Deduplicated,
    Rejected,
    /// Its commit failed.
    Unknown,
    /// Nothing was applied.
    Unavailable,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            starts: Default::default(),
            leases_granted: Counter::default(),
            leases_expired: Counter::default(),
            commit_time: Histogram::new(COMMIT_MICROS),
            commit_changes: Histogram::new(COMMIT_CHANGES),
        }
    }
}

impl Metrics {
    pub fn started(&self, ending: Ending) {
        if let Some(at) = ENDINGS.iter().position(|(known, _)| *known == ending) {
            self.starts[at].add(1);
        }
    }

    /// Everything, in the text format 0.0.4.
    pub fn write(&self, now: &Gauges) -> String {
        let mut text = Text::default();
        text.family("soloist_build_info", Kind::Gauge, "The program that runs.");
        text.labelled("soloist_build_info", "version", env!("CARGO_PKG_VERSION"), 1);

        text.family("soloist_starts_total", Kind::Counter, "Starts and restarts, by what became of them.");
        for ((_, outcome), count) in ENDINGS.iter().zip(&self.starts) {
            text.labelled("soloist_starts_total", "outcome", outcome, count.get());
        }
        text.family("soloist_instances", Kind::Gauge, "Instances that are kept, by where they stand.");
        for (status, count) in STATUSES.iter().zip(now.population.0) {
            text.labelled("soloist_instances", "status", status.name(), count);
        }
        let age = now.oldest_pending_micros as f64 / 1e6;
        let help = "How long the run that stands first has been waiting for a worker; 0 if none waits.";
        text.single("soloist_oldest_pending_age_seconds", Kind::Gauge, help, age);
        text.single("soloist_runs_waiting", Kind::Gauge, "Runs that wait for a worker.", now.runs_waiting);
        text.single("soloist_runs_held", Kind::Gauge, "Runs that connected workers hold.", now.runs_held);

        let (granted, expired) = (self.leases_granted.get(), self.leases_expired.get());
        text.single("soloist_leases_granted_total", Kind::Counter, "Leases that workers were granted.", granted);
        text.single("soloist_leases_expired_total", Kind::Counter, "Leases that ran out.", expired);

        let help = "How long it took to make a commit durable. Its count is that of the commits.";
        text.histogram("soloist_commit_duration_seconds", help, &self.commit_time, 1e6);
        text.histogram("soloist_commit_changes", "Changes of one commit.", &self.commit_changes, 1.0);

        text.single("soloist_watchers", Kind::Gauge, "Open watches, each a stream.", now.watchers);
        text.single("soloist_waits", Kind::Gauge, "Calls that wait for a start or an end.", now.waits);
        text.single("soloist_workers", Kind::Gauge, "Connected workers, each a stream.", now.workers);
        text.finish()
    }
}

// === impl Population ===

impl Population {
    /// An instance has come, gone, or changed its status.
    pub fn moved(&mut self, from: Option<Status>, to: Option<Status>) {
        if from == to {
            return;
        }
        let place = |status: Status| STATUSES.iter().position(|known| *known == status);
        if let Some(at) = from.and_then(place) {
            self.0[at] = self.0[at].saturating_sub(1);
        }
        if let Some(at) = to.and_then(place) {
            self.0[at] += 1;
        }
    }
}

impl std::ops::AddAssign for Population {
    fn add_assign(&mut self, other: Population) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_population_follows_its_instances() {
        let mut population = Population::default();
        population.moved(None, Some(Status::Pending));
        population.moved(None, Some(Status::Pending));
        population.moved(Some(Status::Pending), Some(Status::Running));
        population.moved(Some(Status::Running), Some(Status::Running));
        assert_eq!(population.0, [1, 1, 0, 0, 0, 0]);
        population.moved(Some(Status::Running), Some(Status::Terminated));
        population.moved(Some(Status::Terminated), None);
        population += population;
        assert_eq!(population.0, [2, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_ending_has_a_counter() {
        let metrics = Metrics::default();
        for (times, (ending, _)) in (1..).zip(ENDINGS) {
            (0..times).for_each(|_| metrics.started(ending));
        }
        let text = metrics.write(&Gauges::default());
        for (times, (_, name)) in (1..).zip(ENDINGS) {
            assert!(text.contains(&format!("soloist_starts_total{{outcome=\"{name}\"}} {times}\n")), "{text}");
        }
    }
}
