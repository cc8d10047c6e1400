//! The shortest piece of a history that has no order.
//!
//! A piece must not accuse a good server: only what can't make an order impossible is taken away. The end of a history
//! may go (a call that was not answered yet is open), so may its beginning (the instance may have been anything), and
//! any call that only looked. A call that changed something is never taken away, but it may be opened: perhaps it
//! happened, perhaps not.

use std::rc::Rc;

use super::{
    case::Case,
    search::{Verdict, search},
};
use crate::checker::{
    Rules,
    history::Tick,
    model::{Ask, Body, Op, Visit},
};

/// Points of the search for one piece, and for all pieces of one violation.
const PIECE_POINTS_MAX: usize = 20_000;
const POINTS_MAX: usize = 1_000_000;
/// Calls in the first piece around a place; each next one has four times as many.
const CALLS_AROUND: usize = 8;

/// Takes away what is not needed for there to be no order.
pub fn shrink(wrong: Case, rules: &Rules) -> Case {
    let mut shrinking = Shrinking { rules, points_left: POINTS_MAX };
    let piece = shrinking.end(wrong);
    let piece = shrinking.beginning(piece);
    shrinking.middle(piece)
}

/// A piece around this moment that has no order.
pub fn around(whole: &Case, at: Tick, rules: &Rules) -> Option<Case> {
    let mut shrinking = Shrinking { rules, points_left: POINTS_MAX };
    let mut calls: Vec<Tick> = whole.ops.iter().map(|op| op.called).collect();
    calls.sort_unstable();
    let middle = calls.partition_point(|called| *called <= at);
    let lengths = std::iter::successors(Some(CALLS_AROUND), |length| Some(length * 4));
    let pieces = lengths.take_while(|length| length / 4 <= calls.len()).map(|length| {
        let begin = calls.get(middle.saturating_sub(length)).copied().unwrap_or(0);
        let end = calls.get(middle + length / 2).copied().unwrap_or(Tick::MAX - 1);
        whole.until(end).since(begin)
    });
    pieces.into_iter().find(|piece| shrinking.has_no_order(piece))
}

struct Shrinking<'a> {
    rules: &'a Rules,
    points_left: usize,
}

impl Shrinking<'_> {
    fn has_no_order(&mut self, piece: &Case) -> bool {
        let given = PIECE_POINTS_MAX.min(self.points_left);
        let mut left = given;
        let verdict = search(piece, self.rules, &mut left);
        // Even a piece that is decided at once costs something.
        self.points_left = self.points_left.saturating_sub(given - left + piece.len());
        matches!(verdict, Verdict::NoOrder(_))
    }

    /// The earliest end.
    fn end(&mut self, piece: Case) -> Case {
        let answers = piece.ops.iter().map(|op| op.returned).filter(|at| *at != Tick::MAX);
        let mut ends: Vec<Tick> = answers.chain(piece.visits.iter().map(|visit| visit.by)).collect();
        ends.sort_unstable();
        ends.dedup();
        let (mut low, mut high) = (0, ends.len());
        let mut shortest = piece.clone();
        while low < high {
            let middle = low + (high - low) / 2;
            let candidate = piece.until(ends[middle]);
            if self.has_no_order(&candidate) {
                (shortest, high) = (candidate, middle);
            } else {
                low = middle + 1;
            }
        }
        shortest
    }

    /// The latest beginning.
    fn beginning(&mut self, piece: Case) -> Case {
        let mut beginnings: Vec<Tick> = piece.ops.iter().map(|op| op.called).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let (mut low, mut high) = (0, beginnings.len());
        let mut shortest = piece.clone();
        while low < high {
            let middle = low + (high - low) / 2;
            let candidate = piece.since(beginnings[middle]);
            if self.has_no_order(&candidate) {
                (shortest, low) = (candidate, middle + 1);
            } else {
                high = middle;
            }
        }
        shortest
    }

    /// What is left, one by one and before that in larger and larger lots.
    fn middle(&mut self, mut piece: Case) -> Case {
        let mut lot = piece.len().div_ceil(2);
        while lot > 0 && self.points_left > 0 {
            let mut at = 0;
            while at < piece.len() && self.points_left > 0 {
                match piece.without(at, lot).filter(|candidate| self.has_no_order(candidate)) {
                    Some(candidate) => {
                        at += lot - (piece.len() - candidate.len()).min(lot);
                        piece = candidate;
                    }
                    None => at += lot,
                }
            }
            lot /= 2;
        }
        piece
    }
}

impl Case {
    fn len(&self) -> usize {
        self.ops.len() + self.visits.len()
    }

    /// Only what was called by then; what was not answered by then is open.
    fn until(&self, end: Tick) -> Case {
        self.map(
            self.is_piece,
            |op| {
                (op.called <= end).then_some(())?;
                if op.returned <= end { Some(op.clone()) } else { op.opened() }
            },
            |by| by <= end,
        )
    }

    /// Only what was called from then on; what was called before and not answered by then is open.
    fn since(&self, beginning: Tick) -> Case {
        self.map(
            true,
            |op| match op.called >= beginning {
                true => Some(op.clone()),
                false if op.returned >= beginning => op.opened(),
                false => None,
            },
            |by| by >= beginning,
        )
    }

    /// Without `lot` of its members: those that only look are gone, the others are open. Nothing if nothing changes.
    fn without(&self, at: usize, lot: usize) -> Option<Case> {
        let goes = |index: usize| (at..at + lot).contains(&index);
        let mut changed = false;
        let mut piece = self.empty(self.is_piece);
        for (index, (op, source)) in self.ops.iter().zip(&self.sources).enumerate() {
            let kept = if goes(index) { op.opened() } else { Some(op.clone()) };
            changed |= goes(index) && op.told.is_some();
            if let Some(op) = kept {
                piece.push(op, *source);
            }
        }
        let visits = self.ops.len()..self.len();
        changed |= (at..at + lot).any(|index| visits.contains(&index));
        self.keep_visits(&mut piece, |visit| !goes(self.ops.len() + visit));
        changed.then_some(piece)
    }

    fn map(&self, is_piece: bool, op: impl Fn(&Op) -> Option<Op>, visit: impl Fn(Tick) -> bool) -> Case {
        let mut piece = self.empty(is_piece);
        for (before, source) in self.ops.iter().zip(&self.sources) {
            if let Some(op) = op(before) {
                piece.push(op, *source);
            }
        }
        self.keep_visits(&mut piece, |index| visit(self.visits[index].by));
        piece
    }

    /// Cut at both ends, with a lot of its middle opened, as the numbers say.
    #[cfg(test)]
    pub fn some_piece(&self, [end, begin, at, lot]: [u64; 4]) -> Case {
        let last = self.ops.iter().map(|op| op.called).max().unwrap_or(0) + 1;
        let piece = self.until(last / 2 + end % (last / 2 + 1));
        let piece = if begin % 4 == 0 { piece } else { piece.since(begin % last) };
        let (at, lot) = (at as usize % (piece.len() + 1), lot as usize % (piece.len() + 1));
        piece.without(at, lot).unwrap_or(piece)
    }

    /// Nothing of it, but what is known of the whole.
    fn empty(&self, is_piece: bool) -> Case {
        let claimed = Rc::clone(&self.claimed);
        let Case { may_hide, may_be_purged, names, .. } = *self;
        Case { is_piece, claimed, may_hide, may_be_purged, names, ..Case::default() }
    }

    /// A transition whose predecessor goes is no longer known to be the next one.
    fn keep_visits(&self, piece: &mut Case, keep: impl Fn(usize) -> bool) {
        let mut kept_before = true;
        for (index, (visit, source)) in self.visits.iter().zip(&self.visit_sources).enumerate() {
            let is_kept = keep(index);
            if is_kept {
                piece.visits.push(Visit { is_next: visit.is_next && kept_before, ..*visit });
                piece.visit_sources.push(*source);
            }
            kept_before = is_kept;
        }
    }
}

impl Op {
    /// The same call as if nobody knew its answer; nothing if it could not change anything.
    fn opened(&self) -> Option<Op> {
        let changes = match &self.ask {
            Ask::Start(_)
            | Ask::Restart { .. }
            | Ask::Terminate { .. }
            | Ask::TerminateOf(_)
            | Ask::Suspend { .. }
            | Ask::Resume { .. }
            | Ask::Purge { .. } => !self.only_looks(),
            Ask::Report { body, .. } => *body != Body::Goes,
            Ask::Read | Ask::ReadOf(_) | Ask::RaiseEvent { .. } => false,
        };
        let begins = self.begins.or(self.claims());
        changes.then(|| Op { returned: Tick::MAX, told: None, begins, seen: None, aside: None, ..self.clone() })
    }
}
