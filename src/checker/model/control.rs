//! What is done to an execution from outside, and the end of what has ended.

use super::{
    Model,
    op::{Name, Op, Seen, Told},
    state::{State, Who},
};
use crate::checker::history::Status;

impl Model<'_> {
    pub(super) fn terminate(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        match told {
            None | Some(Told::Ended) => {
                let live = self.live(state, number).into_iter();
                live.filter_map(|state| self.terminated(state, expected, op.seen)).collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
    }

    /// The end of one execution, the latest or one that waits.
    pub(super) fn terminate_of(
        &self,
        state: &State,
        op: &Op,
        execution: Name,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        match told {
            None | Some(Told::Ended) => {
                let live = self.stirred(state, number);
                let withdrawn = live.iter().flat_map(|state| self.withdrawn(state, execution, op.aside));
                let withdrawn: Vec<State> = withdrawn.collect();
                let terminated = live.into_iter().filter_map(|s| self.terminated(s, Some(execution), op.aside));
                terminated.chain(withdrawn).collect()
            }
            Some(Told::ExecutionNotFound) => self.without(state, execution).into_iter().collect(),
            Some(told) => self.not_carried_out(state, op, Some(execution), told, number),
        }
    }

    fn terminated(&self, mut state: State, expected: Option<Name>, seen: Option<Seen>) -> Option<State> {
        let is_it = self.is_at(&mut state, expected) && self.is_at(&mut state, seen.map(|seen| seen.execution));
        let mut next = is_it.then(|| state.ended_as(Status::Terminated))?;
        if let Some(seen) = seen {
            if seen.status != Status::Terminated || seen.revision <= state.floor {
                return None;
            }
            next.floor = seen.revision + u64::from(next.execution() != state.execution());
        }
        Some(next)
    }

    pub(super) fn raise_event(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Told,
        number: u32,
    ) -> Vec<State> {
        let Told::EventRaised(execution, _) = told else {
            return self.not_carried_out(state, op, expected, told, number);
        };
        if expected.is_some_and(|expected| expected != execution) {
            return Vec::new();
        }
        self.live_at(state, Some(execution), number)
    }

    pub(super) fn suspend(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        match told {
            None | Some(Told::Suspended) => {
                let live = self.stirred(state, number).into_iter();
                let at_it = |mut state| self.is_at(&mut state, expected).then_some(state);
                let suspended = live.filter_map(at_it).map(State::suspended);
                suspended.filter_map(|state| self.observed(state, op)).collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
    }

    pub(super) fn resume(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        match told {
            None | Some(Told::Resumed) => {
                let resumed = self.live_at(state, expected, number).into_iter().flat_map(State::resumed);
                resumed.filter_map(|state| self.observed(state, op)).collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
    }

    pub(super) fn purge(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Option<Told>,
        number: u32,
    ) -> Vec<State> {
        match told {
            None | Some(Told::Purged) => self.ended_at(state, expected, number).iter().map(State::purged).collect(),
            Some(Told::StillLive) => {
                let live = self.live_at(state, expected, number).into_iter();
                live.filter_map(|state| self.observed(state, op)).collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
    }

    pub(super) fn not_carried_out(
        &self,
        state: &State,
        op: &Op,
        expected: Option<Name>,
        told: Told,
        number: u32,
    ) -> Vec<State> {
        match told {
            Told::NotFound => self.absent(state, number),
            Told::NotLive => {
                let ended = self.ended_at(state, expected, number).into_iter();
                ended.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::ExecutionMismatch => {
                let Some(expected) = expected.map(Who::Named) else { return Vec::new() };
                let is_it = |state: &State| state.execution() == Some(expected);
                let next = match op.seen {
                    Some(_) => self.observed(state.clone(), op).filter(|next| !is_it(next)),
                    None => self.elsewhere(state, is_it),
                };
                next.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The live states at the execution that is expected, if any.
    pub(super) fn live_at(&self, state: &State, expected: Option<Name>, number: u32) -> Vec<State> {
        let at_it = |mut state| self.is_at(&mut state, expected).then_some(state);
        self.live(state, number).into_iter().filter_map(at_it).collect()
    }

    pub(super) fn ended_at(&self, state: &State, expected: Option<Name>, number: u32) -> Vec<State> {
        let at_it = |mut state| self.is_at(&mut state, expected).then_some(state);
        self.ended(state, number).into_iter().filter_map(at_it).collect()
    }

    /// Whether the instance is at the execution that is expected, if any.
    pub(super) fn is_at(&self, state: &mut State, expected: Option<Name>) -> bool {
        match (expected, state.execution()) {
            (Some(expected), Some(who)) => self.bind(state, who, expected),
            (_, _) => true,
        }
    }
}
