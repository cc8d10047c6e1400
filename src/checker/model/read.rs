//! Looks at one execution, which may be the latest, wait, or be over.

use super::{
    Model,
    op::{Name, Op, Seen, Told},
    state::{Phase, State, Who},
};

impl Model<'_> {
    pub(super) fn read_of(&self, state: &State, op: &Op, execution: Name, told: Told, number: u32) -> Vec<State> {
        match (told, op.aside) {
            (Told::NotFound, _) => self.absent(state, number),
            (Told::ExecutionNotFound, _) => self.without(state, execution).into_iter().collect(),
            (Told::Status, Some(seen)) => {
                let mut latest = state.clone();
                let is_latest = self.is_at(&mut latest, Some(execution));
                let latest = Some(latest).filter(|_| is_latest).and_then(|latest| self.sees(latest, Some(seen)));
                latest.into_iter().chain(self.followed(state, execution)).collect()
            }
            (Told::Waiting(position), Some(seen)) => {
                let live = self.live(state, number).into_iter();
                live.filter_map(|state| self.waits(state, execution, position, seen)).collect()
            }
            (_, _) => Vec::new(),
        }
    }

    /// The state in which the execution is neither the latest nor waits.
    pub(super) fn without(&self, state: &State, execution: Name) -> Option<State> {
        let is_there = state.phase != Phase::Absent;
        let is_it = state.execution() == Some(Who::Named(execution)) || state.place(Who::Named(execution)).is_some();
        (is_there && !is_it).then(|| state.clone())
    }

    /// The state in which others have followed it.
    fn followed(&self, state: &State, execution: Name) -> Option<State> {
        // Where its beginning was told of, that was before.
        let has_been = self.facts.is_piece
            || !self.facts.rules.begins_empty
            || self.has_begun(execution)
            || !self.facts.claimed.contains(&execution);
        self.without(state, execution).filter(|_| has_been)
    }

    fn waits(&self, mut state: State, execution: Name, position: Option<u32>, seen: Seen) -> Option<State> {
        let place = (0..state.queue.len()).find(|place| {
            let who = state.queue[*place].execution;
            self.bind(&mut state, who, execution)
        });
        let mut next = match place {
            Some(place) => match position {
                Some(position) => self.until_place(state, place, position)?,
                None => state,
            },
            None => Some(state).filter(|state| state.hides)?,
        };
        if seen.revision < next.floor {
            return None;
        }
        (next.floor, next.settled) = (seen.revision, seen.revision);
        Some(next)
    }
}
