//! Watchers see every transition, in order, under the same numbers, or are told that they don't.

use std::collections::BTreeMap;

use super::{
    history::{Closing, Item, ItemKind, Record, Sighting, Tick, Watch},
    violation::{Kind, Line, Violation},
};

/// The first violation of each kind, and of each watch.
pub fn check(record: &Record) -> Vec<Violation> {
    let known = match Known::of(record) {
        Ok(known) => known,
        Err(violation) => return vec![violation],
    };
    record.watches.iter().filter_map(|watch| Stream { record, watch, known: &known }.check()).collect()
}

/// The transitions that anybody saw, by their numbers.
struct Known<'a>(BTreeMap<u64, (&'a Watch, usize)>);

struct Stream<'a> {
    record: &'a Record,
    watch: &'a Watch,
    known: &'a Known<'a>,
}

impl<'a> Known<'a> {
    fn of(record: &'a Record) -> Result<Known<'a>, Violation> {
        let mut known: BTreeMap<u64, (&Watch, usize)> = BTreeMap::new();
        for watch in &record.watches {
            for (index, item) in watch.items.iter().enumerate().filter(|(_, item)| item.kind == ItemKind::Transition) {
                let first = *known.entry(item.sequence).or_insert((watch, index));
                if !is_same(&first.0.items[first.1].seen, &item.seen) {
                    let what = format!("transition {} was seen as two different ones", item.sequence);
                    return Err(violation(record, Kind::WatchersDisagree, what, first, (watch, index)));
                }
            }
        }
        let numbered: Vec<_> = known.iter().collect();
        for pair in numbered.windows(2) {
            let ((lower, first), (higher, second)) = (pair[0], pair[1]);
            if first.0.items[first.1].seen.revision >= second.0.items[second.1].seen.revision {
                let what = format!("transition {higher} has no higher revision than transition {lower}");
                return Err(violation(record, Kind::WatchersDisagree, what, *first, *second));
            }
        }
        let known = Known(known);
        for watch in &record.watches {
            for (index, item) in watch.items.iter().enumerate().filter(|(_, item)| item.kind != ItemKind::Transition) {
                known.check_state(record, watch, index, item)?;
            }
        }
        Ok(known)
    }

    /// A current state is that after the transition whose number it bears.
    fn check_state(&self, record: &Record, watch: &'a Watch, index: usize, item: &Item) -> Result<(), Violation> {
        if let Some(at) = self.0.get(&item.sequence) {
            let transition = self.seen(*at);
            let (of, state) = ((&transition.execution, transition.status), (&item.seen.execution, item.seen.status));
            if of != state || transition.revision > item.seen.revision {
                let what = format!("the state after transition {} is not the one that it led to", item.sequence);
                return Err(violation(record, Kind::WatchersDisagree, what, *at, (watch, index)));
            }
        }
        if let Some((number, at)) = self.0.range(item.sequence + 1..).next()
            && self.seen(*at).revision <= item.seen.revision
        {
            let what = format!("the state after transition {} is newer than transition {number}", item.sequence);
            return Err(violation(record, Kind::WatchGap, what, *at, (watch, index)));
        }
        Ok(())
    }

    fn seen(&self, (watch, index): (&'a Watch, usize)) -> &'a Sighting {
        &watch.items[index].seen
    }

    /// The first transition after this revision.
    fn after(&self, revision: u64) -> Option<(u64, (&'a Watch, usize))> {
        let later = self.0.iter().find(|(_, at)| self.seen(**at).revision > revision);
        later.map(|(number, at)| (*number, *at))
    }
}

impl Stream<'_> {
    fn check(&self) -> Option<Violation> {
        self.first().or_else(|| self.rest()).or_else(|| self.end())
    }

    /// The first item is the current state, or the first transition after the one to resume from.
    fn first(&self) -> Option<Violation> {
        let item = self.watch.items.first()?;
        match (item.kind, self.watch.from) {
            (ItemKind::Current | ItemKind::Resync, _) => None,
            (ItemKind::Transition, None | Some(0)) => (item.sequence != 1).then(|| {
                let what = format!("the first item is transition {}, and nothing tells of those before", item.sequence);
                self.violation(Kind::WatchGap, what, &[Line::item(self.watch, 0)])
            }),
            (ItemKind::Transition, Some(from)) if item.seen.revision <= from => {
                let what = format!("it resumes after revision {from} and gets revision {}", item.seen.revision);
                Some(self.violation(Kind::WatchWentBack, what, &[Line::item(self.watch, 0)]))
            }
            (ItemKind::Transition, Some(from)) => {
                let (number, (watch, index)) = self.known.after(from).filter(|(number, _)| *number < item.sequence)?;
                let what = format!("it resumes after revision {from} with transition {}, not {number}", item.sequence);
                let lines = [Line::item(watch, index), Line::item(self.watch, 0)];
                Some(self.violation(Kind::WatchGap, what, &lines))
            }
        }
    }

    /// Each transition is the next one; a state that is given instead of transitions is no older.
    fn rest(&self) -> Option<Violation> {
        let items = &self.watch.items;
        (1..items.len()).find_map(|index| {
            let (before, item) = (&items[index - 1], &items[index]);
            let wrong = match item.kind {
                ItemKind::Transition if item.sequence == before.sequence + 1 => return None,
                ItemKind::Current | ItemKind::Resync if item.sequence >= before.sequence => return None,
                ItemKind::Transition if item.sequence > before.sequence => Kind::WatchGap,
                ItemKind::Transition | ItemKind::Current | ItemKind::Resync => Kind::WatchWentBack,
            };
            let what = format!("{} comes after {}, without a resync", item.sequence, before.sequence);
            Some(self.violation(wrong, what, &[Line::item(self.watch, index - 1), Line::item(self.watch, index)]))
        })
    }

    /// A watch that was not lost has seen all there was to see.
    fn end(&self) -> Option<Violation> {
        let closed = self.watch.closed?;
        match closed.how {
            Closing::Lost => None,
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
        let reached = last.map(|item| item.seen.revision).or(self.watch.from).unwrap_or(0);
        if let Some((_, (watch, index))) = self.known.after(reached)
            && watch.items[index].at <= by
        {
            return Some(Line::item(watch, index));
        }
        let last = last?;
        let answers = self.record.operations.iter().filter(|operation| operation.returned_at() <= by);
        let differs = |seen: &Sighting| {
            seen.revision > reached && (seen.execution != last.seen.execution || seen.status != last.seen.status)
        };
        let mut missed = answers.filter(|operation| operation.answer().and_then(|a| a.seen()).is_some_and(differs));
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

fn is_same(first: &Sighting, second: &Sighting) -> bool {
    let attempts_differ = matches!((first.attempt, second.attempt), (Some(first), Some(second)) if first != second);
    !attempts_differ
        && first.execution == second.execution
        && first.status == second.status
        && first.revision == second.revision
}

fn violation(record: &Record, kind: Kind, what: String, first: (&Watch, usize), second: (&Watch, usize)) -> Violation {
    let mut piece = vec![Line::item(first.0, first.1), Line::item(second.0, second.1)];
    piece.sort();
    Violation { instance: record.instance.clone(), kind, what, piece }
}
