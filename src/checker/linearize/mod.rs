//! Whether the calls of one instance id could have been carried out one after the other, each at some moment between
//! its call and its answer.

mod case;
mod search;
mod shrink;

pub use self::case::can_answer;
use self::{
    case::{Case, Source},
    search::{Stuck, Verdict, search},
};
use super::{
    Rules,
    history::Record,
    model::{Phase, Who},
    violation::{Kind, Line, Violation},
};

/// What the search for an order came to.
pub enum Order {
    Found,
    Violated(Violation),
    Undecided,
}

/// Points of the search that are spent before the place where it is stuck is looked at on its own.
const POINTS_AT_FIRST: usize = 50_000;

/// Looks for an order of the calls; if there is none, for the shortest piece that has none.
///
/// Many calls without an answer can be put together in so many ways that to try them all over a long history takes for
/// ever. But what is wrong is mostly wrong within a few calls: there all ways can be tried.
pub fn order(record: &Record, rules: &Rules) -> Order {
    let whole = Case::of(record, rules);
    let (mut first, mut rest) = (POINTS_AT_FIRST.min(rules.points_max), rules.points_max);
    let (stuck, is_wrong) = match search(&whole, rules, &mut first) {
        Verdict::Fits => return Order::Found,
        Verdict::NoOrder(stuck) => (stuck, true),
        Verdict::Undecided(stuck) => (stuck, false),
    };
    let wrong = match shrink::around(&whole, stuck.at, rules) {
        Some(piece) => piece,
        None if is_wrong => whole.clone(),
        None => match search(&whole, rules, &mut rest) {
            Verdict::Fits => return Order::Found,
            Verdict::NoOrder(_) => whole.clone(),
            Verdict::Undecided(_) => return Order::Undecided,
        },
    };
    let piece = shrink::shrink(wrong, rules);
    Order::Violated(violation(record, rules, &whole, &piece))
}

/// Whether a piece that is chosen by these numbers has no order.
#[cfg(test)]
pub fn piece_has_no_order(record: &Record, rules: &Rules, choice: [u64; 4]) -> bool {
    let piece = Case::of(record, rules).some_piece(choice);
    matches!(search(&piece, rules, &mut POINTS_AT_FIRST.clone()), Verdict::NoOrder(_))
}

fn violation(record: &Record, rules: &Rules, whole: &Case, piece: &Case) -> Violation {
    let (shown, left_out) = (essence(piece), whole.ops.len() + whole.visits.len());
    let left_out = left_out - shown.len();
    let mut lines: Vec<Line> = shown.iter().map(|source| line(record, *source)).collect();
    lines.sort_by_key(|line| (line.from, line.to));
    let mut what = String::from("these can't have happened one after the other in any order");
    if left_out > 0 {
        what += &format!("; none of the {left_out} other calls and transitions of this id helps");
    }
    if let Verdict::NoOrder(stuck) = search(piece, rules, &mut rules.points_max.clone()) {
        what += &format!("; the longest order that fits leaves the instance {}", outcome(&stuck));
    }
    Violation { instance: record.instance.clone(), kind: Kind::NoOrder, what, piece: lines }
}

/// What contradicts itself: calls without an answer only fail to explain it.
fn essence(piece: &Case) -> Vec<Source> {
    let answered = piece.ops.iter().zip(&piece.sources).filter(|(op, _)| op.told.is_some());
    answered.map(|(_, source)| *source).chain(piece.visit_sources.iter().copied()).collect()
}

fn outcome(stuck: &Stuck) -> String {
    let Stuck { state, explained, at: _ } = stuck;
    let stands = match state.phase {
        Phase::Anything => "as it was before".into(),
        Phase::Absent => "absent".into(),
        Phase::Present { execution: Who::Named(_), status, .. } => format!("{status:?}"),
        Phase::Present { execution: Who::Unnamed(_) | Who::Former(_) | Who::Hidden(_), status, .. } => {
            format!("{status:?}, in an execution that nobody has seen")
        }
    };
    format!("{stands}, and explains {explained} of them")
}

fn line(record: &Record, source: Source) -> Line {
    match source {
        Source::Operation(index) => Line::operation(&record.operations[index]),
        Source::Item { watch, item } => Line::item(&record.watches[watch], item),
        Source::Granted(index) => Line::granted(&record.granted[index]),
        Source::Received(index) => Line::received(&record.received[index]),
    }
}
