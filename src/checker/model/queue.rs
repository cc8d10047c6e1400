//! Starts that wait for the live execution to end.

use std::cmp::Ordering;

use super::{
    Model,
    op::{Name, Op, Seen, Start, Told},
    state::{State, Waiting, Who},
};
use crate::checker::history::{Outcome, Policy, Status};

impl Model<'_> {
    /// What a start that may wait is told of the queue.
    pub(super) fn queue(&self, state: &State, op: &Op, start: &Start, told: Told, number: u32) -> Vec<State> {
        let live = self.live(state, number).into_iter();
        match told {
            Told::Queued(execution, position) => {
                let at_place = live.filter_map(|state| at(state.queue.len(), position.checked_sub(1)? as usize, state));
                let queued = at_place.filter_map(|state| self.queued(state, op, start, Who::Named(execution)));
                queued.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::Coalesced(execution, position) if start.policy == Policy::Coalesce => {
                let coalesced = live.flat_map(|state| self.coalesced(state, op, start, Some((execution, position))));
                coalesced.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::QueueFull(waiting) if waiting >= start.max_queue => {
                let full = live.filter_map(|state| at(state.queue.len(), waiting as usize, state));
                full.filter(|state| !self.coalesces(state, start)).collect()
            }
            // The start that waits is one of another function.
            Told::FunctionMismatch if start.policy == Policy::Coalesce => {
                let is_other = |waiting: &Waiting| {
                    waiting.coalesces && waiting.function.is_none_or(|function| function != start.function)
                };
                live.filter(|state| state.hides || state.queue.iter().any(is_other)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a start that nobody was told of may have done to the queue.
    pub(super) fn open_queue(&self, state: &State, op: &Op, start: &Start, who: Who, number: u32) -> Vec<State> {
        let live = self.live(state, number).into_iter();
        live.flat_map(|state| {
            let coalesced = if start.policy == Policy::Coalesce && start.request.is_some() {
                self.coalesced(state.clone(), op, start, None)
            } else {
                Vec::new()
            };
            coalesced.into_iter().chain(self.queued(state, op, start, who)).collect::<Vec<State>>()
        })
        .collect()
    }

    /// Puts the start at the end of the queue, if it has room.
    fn queued(&self, mut state: State, op: &Op, start: &Start, execution: Who) -> Option<State> {
        let coalesces = start.policy == Policy::Coalesce;
        let has_room = state.queue.len() < start.max_queue as usize;
        if !has_room || self.coalesces(&state, start) {
            return None;
        }
        state.queue.push(Waiting { execution, function: Some(start.function), coalesces });
        state.floor += 1;
        state.remember(Outcome::Queued, execution, op);
        Some(state)
    }

    /// Lets it take the place of the one that waits to run once more.
    fn coalesced(&self, state: State, op: &Op, start: &Start, told: Option<(Name, u32)>) -> Vec<State> {
        let mut next = Vec::new();
        let place = state.queue.iter().position(|waiting| waiting.coalesces);
        let is_same = |waiting: &Waiting| waiting.function.is_none_or(|function| function == start.function);
        if let Some(place) = place.filter(|place| is_same(&state.queue[*place])) {
            next.extend(self.coalesced_at(state.clone(), op, start, place, told));
        }
        // It waits where nobody has told of it.
        if let Some((execution, _)) = told.filter(|_| state.hides && place.is_none()) {
            let mut hidden = state;
            hidden.floor += 1;
            hidden.remember(Outcome::Coalesced, Who::Named(execution), op);
            next.push(hidden);
        }
        next
    }

    fn coalesced_at(
        &self,
        state: State,
        op: &Op,
        start: &Start,
        place: usize,
        told: Option<(Name, u32)>,
    ) -> Option<State> {
        let mut state = match told {
            Some((_, position)) => at(place + 1, position as usize, state)?,
            None => state,
        };
        let place = state.queue.iter().position(|waiting| waiting.coalesces)?;
        if let Some((execution, _)) = told {
            let who = state.queue[place].execution;
            if !self.bind(&mut state, who, execution) {
                return None;
            }
        }
        state.queue[place].function = Some(start.function);
        state.floor += 1;
        let execution = state.queue[place].execution;
        state.remember(Outcome::Coalesced, execution, op);
        Some(state)
    }

    /// Whether it would take the place of one that is known to wait.
    fn coalesces(&self, state: &State, start: &Start) -> bool {
        start.policy == Policy::Coalesce && state.queue.iter().any(|waiting| waiting.coalesces)
    }

    /// One that waits never begins.
    pub(super) fn withdrawn(&self, state: &State, execution: Name, seen: Option<Seen>) -> Vec<State> {
        let mut next = Vec::new();
        for place in 0..state.queue.len() {
            let mut without = state.clone();
            if self.bind(&mut without, state.queue[place].execution, execution) {
                without.queue.remove(place);
                next.extend(without.withdrew(seen));
            }
        }
        if next.is_empty() && state.hides {
            next.extend(state.clone().withdrew(seen));
        }
        next
    }
}

/// The state if it comes to this number with what is known to wait, or with what may wait before that.
pub(super) fn at(known: usize, told: usize, state: State) -> Option<State> {
    match known.cmp(&told) {
        Ordering::Equal => Some(if state.hides { state.shown() } else { state }),
        Ordering::Less => state.hides.then_some(state),
        Ordering::Greater => None,
    }
}

impl State {
    fn withdrew(mut self, seen: Option<Seen>) -> Option<State> {
        self.floor += 1;
        let Some(seen) = seen else { return Some(self) };
        if seen.status != Status::Terminated || seen.revision < self.floor {
            return None;
        }
        self.floor = seen.revision;
        self.settled = seen.revision;
        Some(self)
    }
}
