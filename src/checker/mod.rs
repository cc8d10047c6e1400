//! Reads a recorded history and says whether it keeps what the server promises.
//!
//! It knows nothing of the server: only what callers, workers and watchers saw, and when. Record with a
//! [`history::History`], whoever the server is, and [`check`] it:
//!
//! ```
//! use soloist::checker::{Rules, check, history::*};
//!
//! let id = InstanceId::new("default", "nightly");
//! let mut history = History::new();
//! for (caller, execution) in [("a", "e1"), ("b", "e2")] {
//!     let call = history.called(&id, caller, 1, Call::Start(Start::of("report")));
//!     history.answered(call, 2, Answer::Started { execution: execution.into(), seen: None });
//! }
//! let call = history.called(&id, "c", 3, Call::GetStatus);
//! history.answered(call, 4, Answer::Status(Sighting::new("e1", Status::Pending, 1)));
//!
//! let verdict = check(&history, &Rules::default());
//! assert!(!verdict.is_clean());
//! println!("{verdict}");
//! ```

mod durability;
pub mod history;
mod leases;
mod linearize;
mod lives;
mod model;
#[cfg(test)]
mod tests;
mod tokens;
pub mod violation;
mod watches;

use std::fmt;

use self::{
    history::{History, InstanceId, Record, Tick},
    linearize::Order,
    violation::{Kind, Line, Violation},
};

/// What may be taken for granted of the server and of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether no instance id was in use before the recording began.
    pub begins_empty: bool,
    /// Whether all that workers report is recorded. If not, executions may complete and continue as new by themselves.
    pub reports_recorded: bool,
    /// Whether instances that have ended may be purged without a call that is recorded: by the server's retention, or by
    /// PurgeInstances.
    pub sweeps: bool,
    /// How long a request id is remembered, in ticks; later it may be or may not be.
    pub remember_for: Tick,
    /// How many request ids of one instance id are remembered.
    pub remember_max: usize,
    /// Points at which the search for an order of one instance id's calls is given up. A point takes some 50 bytes.
    pub points_max: usize,
}

/// What the check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// Instance ids whose calls could not be put in order, nor be shown to have none, within `points_max`.
    pub undecided: Vec<InstanceId>,
}

/// Checks every instance id of a history.
pub fn check(history: &History, rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    for record in history.records() {
        let (violations, undecided) = check_record(record, rules);
        verdict.violations.extend(violations.into_iter().map(|v| v.with_incidents(history.marks())));
        verdict.undecided.extend(undecided.then(|| record.instance.clone()));
    }
    verdict
}

/// The search for an order comes last, and only where nothing simpler is wrong: what contradicts itself has none.
fn check_record(record: &Record, rules: &Rules) -> (Vec<Violation>, bool) {
    let mut violations: Vec<Violation> = foreign_answer(record).into_iter().collect();
    violations.extend(durability::check(record, rules));
    violations.extend(tokens::check(record, rules));
    violations.extend(leases::check(record));
    violations.extend(watches::check(record, rules));
    if !violations.is_empty() {
        return (violations, false);
    }
    match linearize::order(record, rules) {
        Order::Found => (Vec::new(), false),
        Order::Violated(violation) => (vec![violation], false),
        Order::Undecided => (Vec::new(), true),
    }
}

fn foreign_answer(record: &Record) -> Option<Violation> {
    let foreign = record
        .operations
        .iter()
        .find(|operation| operation.answer().is_some_and(|answer| !linearize::can_answer(&operation.call, answer)))?;
    let what = "a call was given an answer that it can't have".into();
    let piece = vec![Line::operation(foreign)];
    Some(Violation { instance: record.instance.clone(), kind: Kind::ForeignAnswer, what, piece })
}

impl Default for Rules {
    /// Everything is recorded from the beginning, and nothing is forgotten.
    fn default() -> Rules {
        Rules {
            begins_empty: true,
            reports_recorded: true,
            sweeps: false,
            remember_for: Tick::MAX,
            remember_max: 1_000,
            points_max: 2_000_000,
        }
    }
}

impl Verdict {
    /// Whether every promise was kept, as far as the history tells.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return writeln!(f, "nothing is broken");
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))?;
        self.undecided.iter().try_for_each(|InstanceId { hub, id }| {
            writeln!(f, "undecided for '{id}' in hub '{hub}': too many orders of its calls are possible")
        })
    }
}
