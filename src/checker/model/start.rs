//! Starts and restarts, and the request ids that are remembered of them.

use super::{
    Model,
    op::{Name, Op, Start, Told},
    state::{Phase, Remembered, State, Who},
};
use crate::checker::history::{Outcome, Policy, Status};

/// What is known of a request id.
enum Recall {
    Unused,
    /// It may have been forgotten, or never been known.
    Perhaps(Option<Remembered>),
    Used(Remembered),
}

impl Model<'_> {
    pub(super) fn start(&self, state: &State, op: &Op, start: &Start, told: Told, number: u32) -> Vec<State> {
        let recall = self.recall(state, op);
        let is_new = !matches!(recall, Recall::Used(_));
        let is_fail = start.policy == Policy::Fail;
        let joins = start.policy == Policy::UseExisting;
        match told {
            Told::Started(execution) if is_new => {
                let begin = |state| self.begun(state, op, start.function, Who::Named(execution), Outcome::Started);
                self.startable(state, start, number).into_iter().filter_map(begin).collect()
            }
            Told::Replaced(execution) if is_new && start.policy == Policy::Replace => self
                .live(state, number)
                .into_iter()
                .filter_map(|state| self.begun(state, op, start.function, Who::Named(execution), Outcome::Replaced))
                .collect(),
            Told::Joined(execution) if is_new && joins => {
                let live = self.live(state, number).into_iter();
                live.filter_map(|state| self.joined(state, op, start, execution)).collect()
            }
            Told::AlreadyExists if is_new && is_fail => {
                self.live(state, number).into_iter().filter_map(|state| self.observed(state, op)).collect()
            }
            Told::FunctionMismatch if is_new && joins => self
                .live(state, number)
                .into_iter()
                .filter(|state| state.function() != Some(start.function))
                .filter_map(|state| self.observed(state, op))
                .collect(),
            Told::NotReplaceable if is_new => {
                let ended = self.ended(state, number).into_iter();
                let refused = ended.filter(|state| state.status().is_none_or(|s| !start.replaceable.contains(&s)));
                refused.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::Queued(..) | Told::Coalesced(..) | Told::QueueFull(_) | Told::FunctionMismatch
                if is_new && matches!(start.policy, Policy::Queue | Policy::Coalesce) =>
            {
                self.queue(state, op, start, told, number)
            }
            told => self.recalled(state, op, recall, told).into_iter().collect(),
        }
    }

    /// Starts what has ended anew; with nothing told, it may have.
    pub(super) fn restart(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        let recall = self.recall(state, op);
        let is_new = !matches!(recall, Recall::Used(_));
        let again = |who: Who| {
            let ended = self.ended_at(state, expected, number).into_iter();
            let begin = |state: State| {
                let function = state.function();
                self.begins(state, op, function, who, Outcome::Started)
            };
            ended.filter_map(begin).collect()
        };
        match told {
            None if is_new => again(op.begins.map_or(Who::Unnamed(number), Who::Named)),
            None => Vec::new(),
            Some(Told::Started(execution)) if is_new => again(Who::Named(execution)),
            Some(Told::AlreadyExists) if is_new => {
                let live = self.live_at(state, expected, number).into_iter();
                live.filter_map(|state| self.observed(state, op)).collect()
            }
            Some(told @ (Told::NotFound | Told::ExecutionMismatch)) if is_new => {
                self.not_carried_out(state, op, expected, told, number)
            }
            Some(told) => self.recalled(state, op, recall, told).into_iter().collect(),
        }
    }

    /// What is told of the first request with the same id.
    fn recalled(&self, state: &State, op: &Op, recall: Recall, told: Told) -> Option<State> {
        match told {
            Told::RequestIdReused => {
                let digest = op.ask.request().map(|(_, digest)| digest);
                let is_reused = match recall {
                    Recall::Used(first) | Recall::Perhaps(Some(first)) => digest != Some(first.digest),
                    Recall::Perhaps(None) => true,
                    Recall::Unused => false,
                };
                is_reused.then(|| state.clone())
            }
            Told::Deduplicated(outcome, execution) => self.deduplicated(state, op, recall, outcome, execution),
            _ => None,
        }
    }

    fn joined(&self, mut next: State, op: &Op, start: &Start, execution: Name) -> Option<State> {
        if next.function().is_some_and(|function| function != start.function) {
            return None;
        }
        if !self.is_at(&mut next, Some(execution)) {
            return None;
        }
        next.set_function(start.function);
        if start.request.is_some() {
            next.remember(Outcome::Joined, Who::Named(execution), op);
            next.advance();
        }
        // What it is told takes a revision.
        next.floor += u64::from(start.signal);
        self.observed(next, op)
    }

    fn deduplicated(&self, state: &State, op: &Op, recall: Recall, outcome: Outcome, execution: Name) -> Option<State> {
        let mut next = state.clone();
        match recall {
            Recall::Unused => return None,
            Recall::Used(first) | Recall::Perhaps(Some(first)) => {
                let digest = op.ask.request().map(|(_, digest)| digest);
                let is_same = digest == Some(first.digest) && outcome == first.outcome;
                if !is_same || !self.bind(&mut next, first.execution, execution) {
                    return None;
                }
            }
            Recall::Perhaps(None) => next.remember(outcome, Who::Named(execution), op),
        }
        self.observed(next, op)
    }

    /// A start that nobody was told of: only where it changes something is it of interest.
    pub(super) fn open_start(&self, state: &State, op: &Op, start: &Start, number: u32) -> Vec<State> {
        if matches!(self.recall(state, op), Recall::Used(_)) {
            return Vec::new();
        }
        let who = op.begins.map_or(Who::Unnamed(number), Who::Named);
        let begin = |state| self.begun(state, op, start.function, who, Outcome::Started);
        let mut next: Vec<State> = self.startable(state, start, number).into_iter().filter_map(begin).collect();
        let live = self.live(state, number).into_iter();
        match start.policy {
            Policy::Fail => {}
            Policy::UseExisting => {
                let joins = |state: &State| {
                    start.request.is_some() && state.function().is_none_or(|function| function == start.function)
                };
                next.extend(live.filter(joins).filter_map(|mut state| {
                    let joined = state.execution()?;
                    state.remember(Outcome::Joined, joined, op);
                    state.advance();
                    Some(state)
                }));
            }
            Policy::Replace => {
                next.extend(live.filter_map(|state| self.begun(state, op, start.function, who, Outcome::Replaced)));
            }
            Policy::Queue | Policy::Coalesce => next.extend(self.open_queue(state, op, start, who, number)),
        }
        next
    }

    fn begun(&self, state: State, op: &Op, function: Name, execution: Who, outcome: Outcome) -> Option<State> {
        self.begins(state, op, Some(function), execution, outcome)
    }

    fn begins(
        &self,
        mut state: State,
        op: &Op,
        function: Option<Name>,
        execution: Who,
        outcome: Outcome,
    ) -> Option<State> {
        let replaced = state.execution().filter(|_| outcome == Outcome::Replaced);
        state.former = replaced.map(|replaced| (replaced, Status::Terminated));
        state.resumes = None;
        state.cancel();
        state.phase = Phase::Present { execution, function, status: Status::Pending };
        state.advance();
        state.remember(outcome, execution, op);
        state.left_behind(op)
    }

    /// The states in which the start begins an execution without a conflict.
    fn startable(&self, state: &State, start: &Start, number: u32) -> Vec<State> {
        match state.phase {
            Phase::Anything | Phase::Absent => vec![state.clone().shown()],
            Phase::Present { .. } => {
                let (mut startable, refused): (Vec<State>, Vec<State>) =
                    self.ended(state, number).into_iter().partition(|state| start.replaces(state.status()));
                startable.extend(refused.iter().flat_map(|state| self.swept(state, number)));
                startable
            }
        }
    }

    fn recall(&self, state: &State, op: &Op) -> Recall {
        let Some((request, _)) = op.ask.request() else { return Recall::Unused };
        let unknown = self.facts.is_piece || !self.facts.rules.begins_empty;
        match state.memory.entries.get(&request) {
            None if unknown => Recall::Perhaps(None),
            None => Recall::Unused,
            Some(first) if self.may_be_forgotten(first, op) => Recall::Perhaps(Some(*first)),
            Some(first) => Recall::Used(*first),
        }
    }

    fn may_be_forgotten(&self, first: &Remembered, op: &Op) -> bool {
        let until = op.returned;
        if until.saturating_sub(first.called) >= self.facts.rules.remember_for {
            return true;
        }
        if self.facts.requests_called.len() <= self.facts.rules.remember_max {
            return false;
        }
        let begun = self.facts.requests_called.partition_point(|called| *called <= until);
        let over = self.facts.requests_returned.partition_point(|returned| *returned < first.called);
        begun - over > self.facts.rules.remember_max
    }
}

impl Start {
    fn replaces(&self, status: Option<Status>) -> bool {
        status.is_some_and(|status| self.replaceable.contains(&status))
    }
}
