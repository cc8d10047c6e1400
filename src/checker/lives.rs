//! The lives of one instance id: after a purge the numbers of its transitions begin anew.

use super::{
    Rules,
    history::{Answer, Call, Item, ItemKind, Record, Sighting, Tick, Watch},
};

/// Where one life is over and the next one has begun, as far as watchers saw it.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// The first revision that was seen of each life but the first one.
    begins: Vec<u64>,
}

/// An item of a watch that shows the instance.
pub type Shown<'a> = (&'a Watch, usize);

impl Lives {
    /// Every sighting that can't be of the same life as the one before it is of the next one.
    pub fn of(record: &Record) -> Lives {
        let shown = shown(record);
        let next = shown.windows(2).filter(|pair| !may_be_one_life(item(pair[0]), item(pair[1])));
        Lives { begins: next.map(|pair| item(pair[1]).seen.revision).collect() }
    }

    /// Which life has this revision.
    pub fn of_revision(&self, revision: u64) -> usize {
        self.begins.partition_point(|begin| *begin <= revision)
    }
}

/// What watchers were shown of the instance, by revision.
pub fn shown(record: &Record) -> Vec<Shown<'_>> {
    let all = record.watches.iter().flat_map(|watch| (0..watch.items.len()).map(move |index| (watch, index)));
    // What waits is not where the instance is.
    let mut shown: Vec<Shown<'_>> =
        all.filter(|at| !matches!(item(*at).kind, ItemKind::Waiting | ItemKind::Withdrawn)).collect();
    shown.sort_by_key(|at| (item(*at).seen.revision, item(*at).sequence));
    shown
}

pub fn item<'a>((watch, index): Shown<'a>) -> &'a Item {
    &watch.items[index]
}

/// Whether what is shown at a revision, and what at a higher one or at the same, may be of the same life.
pub fn may_be_one_life(first: &Item, second: &Item) -> bool {
    let is_later = first.seen.revision < second.seen.revision;
    let is_over = matches!(first.kind, ItemKind::Purged { .. }) && is_later;
    let is_new = second.kind == ItemKind::Transition && is_later;
    let is_same = first.sequence == second.sequence && is_same_state(&first.seen, &second.seen);
    !is_over && (is_later && first.sequence < second.sequence || is_same && !is_new)
}

/// At one revision all of it, else what no change without a number of its own changes.
fn is_same_state(first: &Sighting, second: &Sighting) -> bool {
    let attempts_differ = matches!((first.attempt, second.attempt), (Some(first), Some(second)) if first != second);
    (&first.execution, first.status) == (&second.execution, second.status) && !attempts_differ
}

impl Record {
    /// Whether the id may have had more than one life.
    pub(super) fn may_be_purged(&self, rules: &Rules) -> bool {
        self.purged_from(rules) < Tick::MAX
    }

    /// From when on it may have been purged; the end of all time if never.
    pub(super) fn purged_from(&self, rules: &Rules) -> Tick {
        let purges = self.operations.iter().filter(|operation| {
            let is_done = matches!(operation.answer(), None | Some(Answer::Purged));
            is_done && matches!(operation.call, Call::Purge { .. })
        });
        if rules.sweeps { 0 } else { purges.map(|operation| operation.called).min().unwrap_or(Tick::MAX) }
    }
}
