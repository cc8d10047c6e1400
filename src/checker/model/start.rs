//! Starts, and the request ids that are remembered of them.

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
        let recall = self.recall(state, op, start);
        let is_new = !matches!(recall, Recall::Used(_));
        let is_fail = start.policy == Policy::Fail;
        let joins = start.policy == Policy::UseExisting;
        match told {
            Told::Started(execution) if is_new => {
                let begin = |state| self.begun(state, op, start, Who::Named(execution), Outcome::Started);
                self.startable(state, start).into_iter().filter_map(begin).collect()
            }
            Told::Replaced(execution) if is_new && start.policy == Policy::Replace => self
                .live(state, number)
                .and_then(|state| self.begun(state, op, start, Who::Named(execution), Outcome::Replaced))
                .into_iter()
                .collect(),
            Told::Joined(execution) if is_new && joins => {
                self.joined(state, op, start, execution, number).into_iter().collect()
            }
            Told::AlreadyExists if is_new && is_fail => {
                self.live(state, number).and_then(|state| self.observed(state, op)).into_iter().collect()
            }
            Told::FunctionMismatch if is_new && joins => self
                .live(state, number)
                .filter(|state| state.function() != Some(start.function))
                .and_then(|state| self.observed(state, op))
                .into_iter()
                .collect(),
            Told::NotReplaceable if is_new => {
                let ended = self.ended(state, number).into_iter();
                let refused = ended.filter(|state| state.status().is_none_or(|s| !start.replaceable.contains(&s)));
                refused.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::RequestIdReused => match recall {
                Recall::Used(first) | Recall::Perhaps(Some(first)) if start.digest() != Some(first.digest) => {
                    vec![state.clone()]
                }
                Recall::Perhaps(None) => vec![state.clone()],
                Recall::Used(_) | Recall::Perhaps(Some(_)) | Recall::Unused => Vec::new(),
            },
            Told::Deduplicated(outcome, execution) => {
                self.deduplicated(state, op, start, recall, outcome, execution).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn joined(&self, state: &State, op: &Op, start: &Start, execution: Name, number: u32) -> Option<State> {
        let mut next = self.live(state, number)?;
        if next.function().is_some_and(|function| function != start.function) {
            return None;
        }
        let who = next.execution()?;
        if !self.bind(&mut next, who, execution) {
            return None;
        }
        next.set_function(start.function);
        if start.request.is_some() {
            next.remember(start, Outcome::Joined, Who::Named(execution), op);
            next.advance();
        }
        self.observed(next, op)
    }

    fn deduplicated(
        &self,
        state: &State,
        op: &Op,
        start: &Start,
        recall: Recall,
        outcome: Outcome,
        execution: Name,
    ) -> Option<State> {
        let mut next = state.clone();
        match recall {
            Recall::Unused => return None,
            Recall::Used(first) | Recall::Perhaps(Some(first)) => {
                let is_same = start.digest() == Some(first.digest) && outcome == first.outcome;
                if !is_same || !self.bind(&mut next, first.execution, execution) {
                    return None;
                }
            }
            Recall::Perhaps(None) => next.remember(start, outcome, Who::Named(execution), op),
        }
        self.observed(next, op)
    }

    /// A start that nobody was told of: only where it changes something is it of interest.
    pub(super) fn open_start(&self, state: &State, op: &Op, start: &Start, number: u32) -> Vec<State> {
        if matches!(self.recall(state, op, start), Recall::Used(_)) {
            return Vec::new();
        }
        let who = Who::Unnamed(number);
        let begin = |state| self.begun(state, op, start, who, Outcome::Started);
        let mut next: Vec<State> = self.startable(state, start).into_iter().filter_map(begin).collect();
        let live = self.live(state, number);
        match start.policy {
            Policy::Fail => {}
            Policy::UseExisting => next.extend(live.filter(|_| start.request.is_some()).and_then(|mut state| {
                if state.function().is_some_and(|function| function != start.function) {
                    return None;
                }
                let joined = state.execution()?;
                state.remember(start, Outcome::Joined, joined, op);
                state.advance();
                Some(state)
            })),
            Policy::Replace => {
                next.extend(live.and_then(|state| self.begun(state, op, start, who, Outcome::Replaced)));
            }
        }
        next
    }

    fn begun(&self, mut state: State, op: &Op, start: &Start, execution: Who, outcome: Outcome) -> Option<State> {
        state.replaced = state.execution().filter(|_| outcome == Outcome::Replaced);
        state.cancel();
        state.phase = Phase::Present { execution, function: Some(start.function), status: Status::Pending };
        state.advance();
        state.remember(start, outcome, execution, op);
        state.left_behind(op)
    }

    /// The states in which the start begins an execution without a conflict.
    fn startable(&self, state: &State, start: &Start) -> Vec<State> {
        match state.phase {
            Phase::Anything | Phase::Absent => vec![state.clone()],
            Phase::Present { status, .. } if status.is_live() => {
                let ends = self.unseen_ends().iter().filter(|status| start.replaceable.contains(status));
                ends.map(|status| state.ended_as(*status)).collect()
            }
            Phase::Present { status, .. } if start.replaceable.contains(&status) => vec![state.clone()],
            Phase::Present { .. } => Vec::new(),
        }
    }

    fn recall(&self, state: &State, op: &Op, start: &Start) -> Recall {
        let Some((request, _)) = start.request else { return Recall::Unused };
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
