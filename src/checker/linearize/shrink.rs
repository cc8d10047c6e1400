//! The shortest piece of a history that has no order.
//!
//! A piece must not accuse a good server: only what can't make an order impossible is taken away. The end of a history
//! may go (a call that was not answered yet is open), so may its beginning (the instance may have been anything), and
//! any call that only looked. A call that changed something is never taken away, but it may be opened: perhaps it
//! happened, perhaps not.

use super::{
    case::Case,
    search::{Verdict, search},
};
use crate::checker::{
    Rules,
    history::Tick,
    model::{Ask, Body, Op, Visit},
};

/// Pieces that are tried for one violation.
const PIECES_MAX: usize = 2_000;
/// Points of the search for each of them.
const POINTS_MAX: usize = 50_000;

/// Takes away what is not needed for there to be no order.
pub fn shrink(whole: &Case, rules: &Rules) -> Case {
    let mut shrinking = Shrinking { rules, pieces: 0 };
    let piece = shrinking.end(whole.clone());
    let piece = shrinking.beginning(piece);
    shrinking.middle(piece)
}

struct Shrinking<'a> {
    rules: &'a Rules,
    pieces: usize,
}

impl Shrinking<'_> {
    fn has_no_order(&mut self, piece: &Case) -> bool {
        self.pieces += 1;
        let points_max = POINTS_MAX.min(self.rules.points_max);
        matches!(search(piece, &piece.facts(self.rules), points_max), Verdict::NoOrder(_))
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
        while lot > 0 && self.pieces < PIECES_MAX {
            let mut at = 0;
            while at < piece.len() && self.pieces < PIECES_MAX {
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
        let mut piece = Case { is_piece: self.is_piece, ..Case::default() };
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
        let mut piece = Case { is_piece, ..Case::default() };
        for (before, source) in self.ops.iter().zip(&self.sources) {
            if let Some(op) = op(before) {
                piece.push(op, *source);
            }
        }
        self.keep_visits(&mut piece, |index| visit(self.visits[index].by));
        piece
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
            Ask::Start(_) | Ask::Terminate { .. } => !self.only_looks(),
            Ask::Report { body, .. } => *body != Body::Goes,
            Ask::Read | Ask::RaiseEvent { .. } => false,
        };
        changes.then(|| Op { returned: Tick::MAX, told: None, seen: None, ..self.clone() })
    }
}
