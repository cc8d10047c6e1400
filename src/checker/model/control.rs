//! Ends and events from outside.

use super::{
    Model,
    op::{Name, Op, Told},
    state::{Phase, State, Who},
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
                let Some(mut next) = self.live(state, number) else { return Vec::new() };
                if !self.is_at(&mut next, expected) {
                    return Vec::new();
                }
                if let Some(seen) = op.seen
                    && let Some(who) = next.execution()
                    && !self.bind(&mut next, who, seen.execution)
                {
                    return Vec::new();
                }
                next.cancel();
                next.set_status(Status::Terminated);
                next.advance();
                next.left_behind(op).into_iter().collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
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
        let Some(mut next) = self.live(state, number) else { return Vec::new() };
        if expected.is_some_and(|expected| expected != execution) {
            return Vec::new();
        }
        let Some(who) = next.execution() else { return Vec::new() };
        if !self.bind(&mut next, who, execution) {
            return Vec::new();
        }
        vec![next]
    }

    fn not_carried_out(&self, state: &State, op: &Op, expected: Option<Name>, told: Told, number: u32) -> Vec<State> {
        match told {
            Told::NotFound => self.absent(state),
            Told::NotLive => {
                let at_expected = |mut state| self.is_at(&mut state, expected).then_some(state);
                let ended = self.ended(state, number).into_iter().filter_map(at_expected);
                ended.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::ExecutionMismatch => {
                let Some(expected) = expected else { return Vec::new() };
                let is_there = state.phase != Phase::Absent && state.execution() != Some(Who::Named(expected));
                let elsewhere = op.seen.is_none_or(|seen| seen.execution != expected);
                let next = (is_there && elsewhere).then(|| self.observed(state.clone(), op));
                next.flatten().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_at(&self, state: &mut State, expected: Option<Name>) -> bool {
        match (expected, state.execution()) {
            (Some(expected), Some(who)) => self.bind(state, who, expected),
            (_, _) => true,
        }
    }
}
