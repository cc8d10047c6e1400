//! Watchers see every transition, in order, under the same numbers, or are told that they don't.

use std::collections::BTreeMap;

use super::{
    Rules,
    history::{Closing, Item, ItemKind, Record, Sighting, Tick, Watch},
    lives::{self, Lives, Shown, item},
    violation::{Kind, Line, Violation},
};

/// The first violation of each kind, and of each watch.
pub fn check(record: &Record, rules: &Rules) -> Vec<Violation> {
    let known = match Known::of(record, rules) {
        Ok(known) => known,
        Err(violation) => return vec![violation],
    };
    record.watches.iter().filter_map(|watch| Stream { record, rules, watch, known: &known }.check()).collect()
}

/// What anybody saw, by revision.
struct Known<'a> {
    lives: Lives,
    shown: BTreeMap<u64, Shown<'a>>,
    transitions: BTreeMap<u64, Shown<'a>>,
}

struct Stream<'a> {
    record: &'a Record,
    rules: &'a Rules,
    watch: &'a Watch,
    known: &'a Known<'a>,
}

impl<'a> Known<'a> {
    fn of(record: &'a Record, rules: &Rules) -> Result<Known<'a>, Violation> {
        let shown = lives::shown(record);
        let may_be_purged = record.may_be_purged(rules);
        for pair in shown.windows(2) {
            let (first, second) = (item(pair[0]), item(pair[1]));
            let is_new_life = may_be_purged && first.seen.revision < second.seen.revision;
            if !lives::may_be_one_life(first, second) && !is_new_life {
                return Err(disagreement(record, pair[0], pair[1]));
            }
        }
        let by_revision = |at: &Shown<'a>| (item(*at).seen.revision, *at);
        let transitions = shown.iter().filter(|at| item(**at).kind == ItemKind::Transition).map(by_revision).collect();
        let shown = shown.iter().map(by_revision).collect();
        Ok(Known { lives: Lives::of(record), shown, transitions })
    }

    /// The first transition after this revision.
    fn after(&self, revision: u64) -> Option<Shown<'a>> {
        self.transitions.range(revision + 1..).next().map(|(_, at)| *at)
    }

    /// The first transition of an execution between these revisions.
    fn of_execution(&self, execution: &str, after: u64, before: u64) -> Option<Shown<'a>> {
        let mut between = self.transitions.range(after + 1..before.max(after + 1)).map(|(_, at)| *at);
        between.find(|at| item(*at).seen.execution == execution)
    }

    fn is_one_life(&self, first: u64, second: u64) -> bool {
        self.lives.of_revision(first) == self.lives.of_revision(second)
    }
}

/// How two sightings contradict each other that must be of one life.
fn disagreement(record: &Record, first: Shown<'_>, second: Shown<'_>) -> Violation {
    let (lower, higher) = (item(first), item(second));
    let are_transitions = [lower, higher].iter().all(|item| item.kind == ItemKind::Transition);
    let (kind, what) = match lower.sequence == higher.sequence {
        true if are_transitions => {
            (Kind::WatchersDisagree, format!("transition {} was seen as two different ones", lower.sequence))
        }
        true => (
            Kind::WatchersDisagree,
            format!("the state after transition {} is not the one that it led to", lower.sequence),
        ),
        false if higher.kind == ItemKind::Transition => (
            Kind::WatchersDisagree,
            format!("transition {} has no higher revision than transition {}", higher.sequence, lower.sequence),
        ),
        false => (
            Kind::WatchGap,
            format!("the state after transition {} is newer than transition {}", higher.sequence, lower.sequence),
        ),
    };
    let mut piece = vec![Line::item(first.0, first.1), Line::item(second.0, second.1)];
    piece.sort();
    Violation { instance: record.instance.clone(), kind, what, piece }
}

impl Stream<'_> {
    fn check(&self) -> Option<Violation> {
        self.first().or_else(|| self.rest()).or_else(|| self.purged()).or_else(|| self.end())
    }

    /// The first item is the current state, or the first transition after the one to resume from.
    fn first(&self) -> Option<Violation> {
        let item = self.watch.items.first()?;
        match (item.kind, self.watch.from) {
            (ItemKind::Current | ItemKind::Resync | ItemKind::Waiting | ItemKind::Purged { .. }, _) => None,
            (ItemKind::Withdrawn, _) => None,
            (ItemKind::Transition, Some(from)) if item.seen.revision <= from => {
                let what = format!("it resumes after revision {from} and gets revision {}", item.seen.revision);
                Some(self.violation(Kind::WatchWentBack, what, &[Line::item(self.watch, 0)]))
            }
            (ItemKind::Transition, from) if self.watch.execution.is_some() => self.skipped(from.unwrap_or(0), 0),
            (ItemKind::Transition, None | Some(0)) => (item.sequence != 1).then(|| {
                let what = format!("the first item is transition {}, and nothing tells of those before", item.sequence);
                self.violation(Kind::WatchGap, what, &[Line::item(self.watch, 0)])
            }),
            (ItemKind::Transition, Some(from)) => self.resumed(from, item),
        }
    }

    fn resumed(&self, from: u64, item: &Item) -> Option<Violation> {
        let here = Line::item(self.watch, 0);
        if let Some(last) = self.known.shown.get(&from).filter(|_| !self.known.is_one_life(from, item.seen.revision)) {
            let what = format!("it resumes after revision {from} in another life of the id, without a resync");
            return Some(self.violation(Kind::WatchGap, what, &[Line::item(last.0, last.1), here]));
        }
        let is_missing = |at: &Shown<'_>| {
            let first = lives::item(*at);
            first.sequence < item.sequence && self.known.is_one_life(first.seen.revision, item.seen.revision)
        };
        let missing = self.known.after(from).filter(is_missing)?;
        let number = lives::item(missing).sequence;
        let what = format!("it resumes after revision {from} with transition {}, not {number}", item.sequence);
        Some(self.violation(Kind::WatchGap, what, &[Line::item(missing.0, missing.1), here]))
    }

    /// Each transition is the next one; a state that is given instead of transitions is no older.
    fn rest(&self) -> Option<Violation> {
        let mut execution = self.watch.execution.as_deref();
        for (index, item) in self.watch.items.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| &self.watch.items[before]);
            let wrong = before.and_then(|before| self.next(before, item, index));
            if wrong.is_some() {
                return wrong;
            }
            // What had not ended may have continued as another one, which no call began.
            let is_other = execution.is_some_and(|execution| execution != item.seen.execution);
            if is_other && self.record.begins(&item.seen.execution) {
                let what = format!("it watches another execution than {}", item.seen.execution);
                return Some(self.violation(Kind::ForeignAnswer, what, &[Line::item(self.watch, index)]));
            }
            execution = execution.and(Some(&item.seen.execution));
        }
        None
    }

    fn next(&self, before: &Item, item: &Item, index: usize) -> Option<Violation> {
        let is_of_one = self.watch.execution.is_some();
        let was_last = matches!(before.kind, ItemKind::Purged { .. } | ItemKind::Withdrawn)
            || is_of_one && !before.seen.status.is_live();
        let is_newer = !self.known.is_one_life(before.seen.revision, item.seen.revision)
            && before.seen.revision < item.seen.revision;
        let wrong = match item.kind {
            _ if was_last => Kind::WatchWentBack,
            ItemKind::Transition if item.sequence == before.sequence + 1 => return None,
            // What others do meanwhile is none of its business.
            ItemKind::Transition
                if is_of_one && before.kind == ItemKind::Waiting && item.sequence > before.sequence =>
            {
                return self.skipped(before.seen.revision, index);
            }
            ItemKind::Purged { gap } if item.sequence == before.sequence || gap && item.sequence > before.sequence => {
                return None;
            }
            ItemKind::Current | ItemKind::Resync | ItemKind::Waiting | ItemKind::Withdrawn
                if item.sequence >= before.sequence || is_newer =>
            {
                return None;
            }
            ItemKind::Transition | ItemKind::Purged { .. } if item.sequence > before.sequence => Kind::WatchGap,
            ItemKind::Transition
            | ItemKind::Purged { .. }
            | ItemKind::Current
            | ItemKind::Resync
            | ItemKind::Waiting
            | ItemKind::Withdrawn => Kind::WatchWentBack,
        };
        let what = match was_last {
            true => format!("{} comes after the last item", item.sequence),
            false => format!("{} comes after {}, without a resync", item.sequence, before.sequence),
        };
        Some(self.violation(wrong, what, &[Line::item(self.watch, index - 1), Line::item(self.watch, index)]))
    }

    /// A transition of the one execution that is watched which came before the item, and was not told of.
    fn skipped(&self, after: u64, index: usize) -> Option<Violation> {
        let seen = &self.watch.items[index].seen;
        let missing = self.known.of_execution(&seen.execution, after, seen.revision)?;
        let what = format!("a transition of {} is missing", seen.execution);
        Some(self.violation(Kind::WatchGap, what, &[Line::item(missing.0, missing.1), Line::item(self.watch, index)]))
    }

    /// What is gone had ended, and somebody wanted it gone.
    fn purged(&self) -> Option<Violation> {
        let index = self.watch.items.iter().position(|item| matches!(item.kind, ItemKind::Purged { .. }))?;
        let status = self.watch.items[index].seen.status;
        let (kind, what) = if status.is_live() {
            (Kind::Contradiction, format!("it was purged while it was {status:?}"))
        } else if !self.record.may_be_purged(self.rules) {
            (Kind::Missing, "it was purged, and nobody had asked for that".into())
        } else {
            return None;
        };
        Some(self.violation(kind, what, &[Line::item(self.watch, index)]))
    }

    /// A watch that was not lost has seen all there was to see.
    fn end(&self) -> Option<Violation> {
        let closed = self.watch.closed?;
        match closed.how {
            Closing::Lost => None,
            // An execution that continued as another one ends without an end.
            Closing::Finished if self.watch.execution.is_some() => None,
            Closing::Finished => self.watch.items.last().filter(|item| item.seen.status.is_live()).map(|item| {
                let what = format!("it was told that this is the end, with the instance {:?}", item.seen.status);
                self.violation(Kind::WatchCutShort, what, &[Line::item(self.watch, self.watch.items.len() - 1)])
            }),
            Closing::Quiet => self.missed(closed.at).map(|line| {
                let what = "nothing moves any more, and it was never told of this".into();
                let last = self.watch.items.len().checked_sub(1).map(|index| Line::item(self.watch, index));
                let lines: Vec<Line> = last.into_iter().chain([line]).collect();
                self.violation(Kind::WatchCutShort, what, &lines)
            }),
        }
    }

    /// What others had seen by then, and this watcher had not.
    fn missed(&self, by: Tick) -> Option<Line> {
        let last = self.watch.items.last();
        if last.is_some_and(|last| matches!(last.kind, ItemKind::Purged { .. } | ItemKind::Withdrawn)) {
            return None;
        }
        let reached = last.map(|item| item.seen.revision).or(self.watch.from).unwrap_or(0);
        // What others saw may have been gone before it looked for the first time.
        if last.is_none() && reached == 0 && self.record.may_be_purged(self.rules) {
            return None;
        }
        let next = match &self.watch.execution {
            None => self.known.after(reached),
            Some(first) => {
                let execution = last.map_or(first.as_str(), |last| &last.seen.execution);
                self.known.of_execution(execution, reached, u64::MAX)
            }
        };
        if let Some((watch, index)) = next.filter(|at| lives::item(*at).at <= by) {
            return Some(Line::item(watch, index));
        }
        let last = last.filter(|_| self.watch.execution.is_none())?;
        let answers = self.record.operations.iter().filter(|operation| operation.returned_at() <= by);
        let differs = |seen: &Sighting| {
            seen.revision > reached && (seen.execution != last.seen.execution || seen.status != last.seen.status)
        };
        let mut missed = answers.filter(|operation| operation.seen().is_some_and(differs));
        missed.next().map(Line::operation)
    }

    fn violation(&self, kind: Kind, what: String, lines: &[Line]) -> Violation {
        let mut piece: Vec<Line> = [Line::opened(self.watch)].into_iter().chain(lines.iter().cloned()).collect();
        if kind == Kind::WatchCutShort {
            piece.extend(Line::closed(self.watch));
        }
        piece.sort_by_key(|line| line.from);
        Violation { instance: self.record.instance.clone(), kind, what, piece }
    }
}
