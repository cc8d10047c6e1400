//! Looks at one execution, which may be the latest, wait, or be over.

use super::{
    Model,
    op::{Name, Op, Seen, Told},
    queue::at,
    state::{Phase, State, Who},
};
use crate::checker::history::Status;

impl Model<'_> {
    pub(super) fn read_of(&self, state: &State, op: &Op, execution: Name, told: Told, number: u32) -> Vec<State> {
        match (told, op.aside) {
            (Told::NotFound, _) => self.absent(state, number),
            (Told::ExecutionNotFound, _) => self.without(state, execution).into_iter().collect(),
            (Told::Status, Some(seen)) => {
                // It may have continued as another one, which no call began; then its end is as old as it is.
                let continued = seen.execution != execution;
                if continued && self.facts.claimed.contains(&seen.execution) {
                    return Vec::new();
                }
                let over = if continued && !seen.status.is_live() { self.over(state, seen) } else { None };
                let latest = self.sees(state.clone(), Some(seen));
                // Else others have followed it.
                let followed = self.without(state, seen.execution);
                latest.into_iter().chain(followed).chain(over).collect()
            }
            (Told::Waiting(position), Some(seen)) => {
                let live = self.stirred(state, number).into_iter();
                live.flat_map(|state| self.waits(state, execution, position, seen)).collect()
            }
            (_, _) => Vec::new(),
        }
    }

    /// The state in which it has ended so, perhaps by itself and before something else that has happened since.
    fn over(&self, state: &State, seen: Seen) -> Option<State> {
        let mut next = state.clone();
        let is_it = self.bind(&mut next, state.execution()?, seen.execution);
        match state.status()? {
            _ if !is_it => None,
            status if status == seen.status => Some(next),
            status if status.is_live() && self.unseen_ends().contains(&seen.status) => Some(next.ended_as(seen.status)),
            _ => None,
        }
    }

    /// The state in which the execution is neither the latest nor waits.
    pub(super) fn without(&self, state: &State, execution: Name) -> Option<State> {
        let who = Who::Named(execution);
        self.elsewhere(state, |state| state.execution() == Some(who) || state.place(who).is_some())
    }

    /// The state in which it is not this, perhaps after those that wait have begun by themselves.
    pub(super) fn elsewhere(&self, state: &State, is_this: impl Fn(&State) -> bool) -> Option<State> {
        if state.phase == Phase::Absent {
            return None;
        }
        let mut next = state.clone();
        while self.by_itself && is_this(&next) && !next.queue.is_empty() {
            next = next.shown().ended_as(Status::Failed);
        }
        // Where there is more than is known, anything may have taken its place.
        let is_open = state.hides || self.by_itself && !self.facts.rules.reports_recorded;
        match is_this(&next) {
            false => Some(next),
            true => is_open.then(|| state.clone()),
        }
    }

    fn waits(&self, state: State, execution: Name, position: Option<u32>, seen: Seen) -> Vec<State> {
        let place = |place: usize| {
            let mut next = state.clone();
            let is_it = self.bind(&mut next, state.queue[place].execution, execution);
            match position {
                _ if !is_it => None,
                Some(position) => at(place + 1, position as usize, next),
                None => Some(next),
            }
        };
        let mut next: Vec<State> = (0..state.queue.len()).filter_map(place).collect();
        if next.is_empty() && state.hides && state.place(Who::Named(execution)).is_none() {
            next.push(state);
        }
        next.retain(|state| seen.revision >= state.floor);
        next.iter_mut().for_each(|state| (state.floor, state.settled) = (seen.revision, seen.revision));
        next
    }
}
