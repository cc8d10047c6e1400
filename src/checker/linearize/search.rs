//! The search for an order (Wing and Gong's, with the memory of Lowe's): at each point one of the calls that may come
//! next does, until all have come or none can; a point that was reached before by another way is not tried again.

use std::{cmp::Reverse, collections::HashMap};

use super::case::Case;
use crate::checker::{
    Rules,
    history::Tick,
    model::{Ask, Facts, Model, Name, Op, Phase, Seen, State, Told, Who, digest},
};

/// How a search ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// There is an order that the model allows.
    Fits,
    /// There is none.
    NoOrder(Stuck),
    /// The search was given up.
    Undecided(Stuck),
}

/// The longest order that fits.
#[derive(Clone, Debug)]
pub struct Stuck {
    pub state: State,
    /// How many calls and transitions it explains.
    pub explained: usize,
    /// When the first of the others was over.
    pub at: Tick,
}

/// Looks for an order of the calls that the model allows. Gives up when there are no points left.
pub fn search(case: &Case, rules: &Rules, points_left: &mut usize) -> Verdict {
    Search::new(case, &case.facts(rules)).run(points_left)
}

struct Search<'a> {
    case: &'a Case,
    facts: &'a Facts<'a>,
    ends: Ends,
    taken: Vec<bool>,
    /// Calls that saw a revision, by it; those before `low_revision` are taken.
    by_revision: Ladder,
    /// Raised events, by their number.
    by_event: Ladder,
    visits_taken: usize,
    /// The earliest moment at which one of the visits from here on was seen.
    visits_by: Vec<Tick>,
    /// For each open call the one before it that would do just the same: it goes first.
    twins: Vec<Option<usize>>,
    /// How many of those that are taken speak of each execution.
    met: Vec<u32>,
    to_explain: usize,
    /// A number for each answered call, and what they come to for those that are taken.
    signs: Vec<u128>,
    sign: u128,
    /// The open calls that are taken: one bit each.
    opened: Vec<u64>,
    bits: Vec<usize>,
}

/// The points that were reached: where they are, and the open calls that it took to come there, in the fewest ways.
#[derive(Default)]
struct Known(HashMap<u128, Vec<Box<[u64]>>>);

/// One point of the search, and what may come next.
struct Point {
    /// How it was reached.
    step: Option<Step>,
    choices: Vec<(Step, State)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Call(usize),
    Visit,
}

/// Calls in the order of a number that each of them bears: none can come before one with a lower number.
struct Ladder {
    rungs: Vec<(u64, usize)>,
    places: Vec<Option<usize>>,
    low: usize,
}

/// The beginnings and ends of the calls that are not taken yet, in order of time: a ring of links, the last one is its
/// head. Call `n` begins at link `2n` and ends at `2n + 1`.
struct Ends {
    next: Vec<usize>,
    before: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(case: &'a Case, facts: &'a Facts<'a>) -> Search<'a> {
        let mut visits_by: Vec<Tick> = case.visits.iter().map(|visit| visit.by).chain([Tick::MAX]).collect();
        for index in (0..case.visits.len()).rev() {
            visits_by[index] = visits_by[index].min(visits_by[index + 1]);
        }
        let event = |told| match told {
            Some(Told::EventRaised(_, sequence)) if !case.may_be_purged => Some(sequence),
            _ => None,
        };
        let mut open = 0;
        let bit = |op: &Op| {
            open += usize::from(op.told.is_none());
            open.saturating_sub(1)
        };
        let bits = case.ops.iter().map(bit).collect();
        Search {
            case,
            facts,
            ends: Ends::new(case),
            taken: vec![false; case.ops.len()],
            by_revision: Ladder::new(case.ops.iter().map(Op::revision)),
            by_event: Ladder::new(case.ops.iter().map(|op| event(op.told))),
            visits_taken: 0,
            visits_by,
            twins: twins(case),
            met: vec![0; case.names],
            to_explain: case.visits.len() + case.ops.iter().filter(|op| op.told.is_some()).count(),
            signs: (0..case.ops.len()).map(|n| digest(&("call", n))).collect(),
            sign: 0,
            opened: vec![0; open.div_ceil(u64::BITS as usize)],
            bits,
        }
    }

    fn run(mut self, points_left: &mut usize) -> Verdict {
        let all = self.to_explain;
        let state = self.model().initial();
        let mut stuck = Stuck { state: state.clone(), explained: 0, at: self.first_end() };
        let mut known = Known::default();
        let mut points = vec![Point { step: None, choices: self.choices(&state) }];
        if all == 0 {
            return Verdict::Fits;
        }
        while let Some(point) = points.last_mut() {
            let Some((step, state)) = point.choices.pop() else {
                if let Some(step) = point.step {
                    self.take_back(step);
                }
                points.pop();
                continue;
            };
            self.take(step);
            if self.to_explain == 0 {
                return Verdict::Fits;
            }
            let place = self.sign ^ digest(&self.visits_taken) ^ state.fingerprint();
            if !known.insert(place, &self.opened) {
                self.take_back(step);
                continue;
            }
            if *points_left == 0 {
                return Verdict::Undecided(stuck);
            }
            *points_left -= 1;
            if all - self.to_explain > stuck.explained {
                let explained = all - self.to_explain;
                stuck = Stuck { state: state.clone(), explained, at: self.first_end() };
            }
            let choices = self.choices(&state);
            points.push(Point { step: Some(step), choices });
        }
        Verdict::NoOrder(stuck)
    }

    /// When the first is over of those that are not taken.
    fn first_end(&self) -> Tick {
        let link = self.ends.first_end();
        let call = link.map_or(Tick::MAX, |call| self.case.ops[call].returned);
        call.min(self.visits_by[self.visits_taken])
    }

    /// What is seen next, by its revision, and whether whoever sees it only looks.
    fn next_seen(&self, low_revision: Option<u64>) -> Option<(&Seen, bool)> {
        let visit = self.case.visits.get(self.visits_taken).map(|visit| &visit.seen);
        match visit.filter(|seen| low_revision.is_none_or(|low| seen.revision <= low)) {
            Some(seen) => Some((seen, true)),
            None => {
                let op = &self.case.ops[self.by_revision.lowest_call(&self.taken)?];
                Some((op.seen.as_ref()?, op.only_looks()))
            }
        }
    }

    /// Where the next transition is known, the instance does not change by itself without it.
    fn model(&self) -> Model<'_> {
        let next = self.case.visits.get(self.visits_taken);
        Model { facts: self.facts, by_itself: next.is_none_or(|visit| !visit.is_next), met: &self.met }
    }

    /// What may come next, the most promising last.
    fn choices(&self, state: &State) -> Vec<(Step, State)> {
        let visit = self.case.visits.get(self.visits_taken);
        let model = self.model();
        if visit.is_some_and(|visit| model.has_passed(state, visit)) {
            return Vec::new();
        }
        let low_revision = self.by_revision.lowest(&self.taken);
        if self.next_seen(low_revision).is_some_and(|(seen, looks)| model.is_beyond(state, seen, looks)) {
            return Vec::new();
        }
        let low_event = self.by_event.lowest(&self.taken);
        let visited = visit
            .filter(|visit| low_revision.is_none_or(|low| visit.seen.revision <= low))
            .and_then(|visit| model.visit(state, visit));
        if visited.as_ref() == Some(state) && state.phase != Phase::Anything {
            return vec![(Step::Visit, state.clone())];
        }
        let (mut answered, mut open) = (Vec::new(), Vec::new());
        for number in self.ends.candidates() {
            let op = &self.case.ops[number];
            if op.called > self.visits_by[self.visits_taken] {
                break;
            }
            let revision = op.revision_min();
            let is_early = revision.is_some_and(|revision| low_revision.is_some_and(|low| revision > low))
                || visit.is_some_and(|visit| op.only_looks() && revision.is_some_and(|r| visit.seen.revision < r))
                || matches!(op.told, Some(Told::EventRaised(_, n)) if low_event.is_some_and(|low| n > low));
            if is_early {
                continue;
            }
            if op.told.is_none() {
                if self.twins[number].is_none_or(|twin| self.taken[twin]) {
                    open.push(number);
                }
                continue;
            }
            if self.is_overtaken(state, op) {
                return Vec::new();
            }
            let mut next = model.step(state, op, signed(number));
            let changes_nothing = next.as_slice() == std::slice::from_ref(state);
            if changes_nothing && (op.only_looks() || state.knows_last_report() && !may_do_more(op)) {
                // It can come now as well as later.
                return vec![(Step::Call(number), state.clone())];
            }
            // An end that nobody caused is a guess: only where nothing else fits.
            let is_guess =
                |next: &State| !state.is_ended() && (is_of_ended(op) || op.only_looks() && is_other(state, next));
            let order = |next: State| ((is_guess(&next), op.returned), Step::Call(number), next);
            // What changes least is tried first.
            answered.extend(next.drain(..).rev().map(order));
        }
        let mut choices = self.open_choices(state, &open);
        if let Some(next) = visited {
            let is_guess = !state.is_ended() && (next.is_ended() || is_other(state, &next));
            answered.push(((is_guess, 0), Step::Visit, next));
        }
        // Whoever waits longest for its turn is tried first.
        answered.sort_by_key(|(order, ..)| Reverse(*order));
        choices.extend(answered.into_iter().map(|(_, step, next)| (step, next)));
        choices
    }

    /// Whether an answered call can't come any more, because what it speaks of is over.
    fn is_overtaken(&self, state: &State, op: &Op) -> bool {
        if let Ask::Report { token, body } = op.ask {
            return self.model().is_overtaken(state, token, body);
        }
        op.needs_live().is_some_and(|execution| {
            let is_other = match state.execution() {
                Some(Who::Named(other)) => other != execution,
                Some(Who::Unnamed(_)) => true,
                Some(Who::Former(_) | Who::Hidden(_)) | None => false,
            };
            is_other && self.model().has_begun(execution)
        })
    }

    /// Calls without an answer are tried last, and only if they change something.
    fn open_choices(&self, state: &State, open: &[usize]) -> Vec<(Step, State)> {
        let mut choices = Vec::new();
        for number in open {
            let next = self.model().step(state, &self.case.ops[*number], signed(*number));
            choices.extend(next.into_iter().filter(|next| next != state).map(|next| (Step::Call(*number), next)));
        }
        choices
    }

    fn take(&mut self, step: Step) {
        self.meet(step, |met| *met += 1);
        match step {
            Step::Visit => {
                self.visits_taken += 1;
                self.to_explain -= 1;
            }
            Step::Call(number) => {
                self.taken[number] = true;
                self.sign_for(number);
                self.ends.unlink(number);
                self.by_revision.taken(number, &self.taken);
                self.by_event.taken(number, &self.taken);
                self.to_explain -= usize::from(self.case.ops[number].told.is_some());
            }
        }
    }

    fn take_back(&mut self, step: Step) {
        match step {
            Step::Visit => {
                self.visits_taken -= 1;
                self.to_explain += 1;
            }
            Step::Call(number) => {
                self.taken[number] = false;
                self.sign_for(number);
                self.ends.link(number);
                self.by_revision.taken_back(number);
                self.by_event.taken_back(number);
                self.to_explain += usize::from(self.case.ops[number].told.is_some());
            }
        }
        self.meet(step, |met| *met -= 1);
    }

    /// Notes in the numbers that a call is taken, or is not any more.
    fn sign_for(&mut self, number: usize) {
        match self.case.ops[number].told {
            Some(_) => self.sign ^= self.signs[number],
            None => self.opened[self.bits[number] / 64] ^= 1 << (self.bits[number] % 64),
        }
    }

    /// What is met by a step that is not taken. A transition may have been before all that is known.
    fn meet(&mut self, step: Step, count: impl Fn(&mut u32)) {
        match step {
            Step::Visit if self.case.is_piece || !self.facts.rules.begins_empty => {}
            Step::Visit => count(&mut self.met[self.case.visits[self.visits_taken].seen.execution as usize]),
            Step::Call(number) => {
                self.case.ops[number].meets().for_each(|execution| count(&mut self.met[execution as usize]));
            }
        }
    }
}

impl Known {
    /// Whether the point is worth going on from: whoever came there with fewer open calls can do all that can be done
    /// from here, and more.
    fn insert(&mut self, place: u128, opened: &[u64]) -> bool {
        let ways = self.0.entry(place).or_default();
        let is_within = |way: &[u64]| way.iter().zip(opened).all(|(way, opened)| way & !opened == 0);
        let is_new = !ways.iter().any(|way| is_within(way));
        if is_new {
            ways.push(opened.into());
        }
        is_new
    }
}

/// Whether the answer says that the execution before had ended.
fn is_of_ended(op: &Op) -> bool {
    matches!(op.told, Some(Told::Started(_) | Told::NotLive | Told::NotReplaceable | Told::Purged))
}

/// Whether what changes nothing now may be what explains a change later: the answer does not tell.
fn may_do_more(op: &Op) -> bool {
    matches!(op.told, Some(Told::Suspended | Told::Resumed)) && op.seen.is_none()
}

/// Whether another execution has taken the place of one that was known.
fn is_other(before: &State, after: &State) -> bool {
    matches!(before.execution(), Some(Who::Named(_))) && before.execution() != after.execution()
}

/// Open calls that ask for the same, each with the one before it: whenever the later one may come, so may the earlier.
fn twins(case: &Case) -> Vec<Option<usize>> {
    let mut open: Vec<usize> = (0..case.ops.len()).filter(|number| case.ops[*number].told.is_none()).collect();
    open.sort_by_key(|number| case.ops[*number].called);
    let mut latest: HashMap<(&Ask, Option<Name>), usize> = HashMap::new();
    let mut twins = vec![None; case.ops.len()];
    for number in open {
        twins[number] = latest.insert((&case.ops[number].ask, case.ops[number].begins), number);
    }
    twins
}

fn signed(number: usize) -> u32 {
    u32::try_from(number).expect("a record has fewer than four billion calls")
}

impl Ladder {
    fn new(numbers: impl Iterator<Item = Option<u64>>) -> Ladder {
        let numbers: Vec<Option<u64>> = numbers.collect();
        let mut rungs: Vec<(u64, usize)> =
            numbers.iter().enumerate().filter_map(|(call, number)| number.map(|number| (number, call))).collect();
        rungs.sort_unstable();
        let mut places = vec![None; numbers.len()];
        for (place, (_, call)) in rungs.iter().enumerate() {
            places[*call] = Some(place);
        }
        Ladder { rungs, places, low: 0 }
    }

    /// The lowest number of a call that is not taken.
    fn lowest(&self, taken: &[bool]) -> Option<u64> {
        self.rungs[self.low..].iter().find(|(_, call)| !taken[*call]).map(|(number, _)| *number)
    }

    fn lowest_call(&self, taken: &[bool]) -> Option<usize> {
        self.rungs[self.low..].iter().find(|(_, call)| !taken[*call]).map(|(_, call)| *call)
    }

    fn taken(&mut self, call: usize, taken: &[bool]) {
        if self.places[call].is_some() {
            while self.rungs.get(self.low).is_some_and(|(_, call)| taken[*call]) {
                self.low += 1;
            }
        }
    }

    fn taken_back(&mut self, call: usize) {
        if let Some(place) = self.places[call] {
            self.low = self.low.min(place);
        }
    }
}

impl Ends {
    fn new(case: &Case) -> Ends {
        let mut order: Vec<usize> = (0..2 * case.ops.len()).collect();
        // At the same tick calls begin before others end: what is simultaneous has no order.
        order.sort_by_key(|link| {
            let op = &case.ops[link / 2];
            if link % 2 == 0 { (op.called, 0) } else { (op.returned, 1) }
        });
        let head = order.len();
        let (mut next, mut before) = (vec![head; head + 1], vec![head; head + 1]);
        let mut last = head;
        for link in order {
            (next[last], before[link]) = (link, last);
            last = link;
        }
        (next[last], before[head]) = (head, last);
        Ends { next, before }
    }

    /// The calls that no other one precedes: those that begin before the first end.
    fn candidates(&self) -> impl Iterator<Item = usize> {
        let head = self.next.len() - 1;
        let links = std::iter::successors(Some(self.next[head]), |link| Some(self.next[*link]));
        links.take_while(move |link| *link != head && link % 2 == 0).map(|link| link / 2)
    }

    /// The call that is over first.
    fn first_end(&self) -> Option<usize> {
        let head = self.next.len() - 1;
        let mut links = std::iter::successors(Some(self.next[head]), |link| Some(self.next[*link]));
        links.find(|link| *link == head || link % 2 == 1).filter(|link| *link != head).map(|link| link / 2)
    }

    fn unlink(&mut self, call: usize) {
        for link in [2 * call, 2 * call + 1] {
            let (before, next) = (self.before[link], self.next[link]);
            self.next[before] = next;
            self.before[next] = before;
        }
    }

    fn link(&mut self, call: usize) {
        for link in [2 * call + 1, 2 * call] {
            let (before, next) = (self.before[link], self.next[link]);
            self.next[before] = link;
            self.before[next] = link;
        }
    }
}

impl State {
    fn is_ended(&self) -> bool {
        self.status().is_some_and(|status| !status.is_live())
    }
}
