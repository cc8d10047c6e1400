//! Runs of one lane that wait for a worker.

use std::collections::VecDeque;

use crate::core::ids::{ExecutionId, InstanceKey};

/// Runs that wait, in the order of their tickets. One that is withdrawn leaves a gap, and gaps are never the most: so
/// a run that waits takes little room, however many do, and is found by its ticket in the time that a search takes.
#[derive(Default)]
pub(super) struct Offers {
    /// Never begins with a gap.
    slots: VecDeque<(u64, Option<InstanceKey>, ExecutionId)>,
    gaps: usize,
}

/// Gaps that are kept, and room that is, however few wait.
const SLACK: usize = 64;

impl Offers {
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The newest: its ticket is greater than all before.
    pub fn push(&mut self, ticket: u64, key: InstanceKey, execution: ExecutionId) {
        self.slots.push_back((ticket, Some(key), execution));
    }

    pub fn execution(&self, ticket: u64) -> Option<ExecutionId> {
        self.slots.get(self.place(ticket)?).filter(|(_, key, _)| key.is_some()).map(|(.., execution)| *execution)
    }

    pub fn remove(&mut self, ticket: u64) {
        let slot = self.place(ticket).and_then(|place| self.slots.get_mut(place));
        if slot.and_then(|(_, key, _)| key.take()).is_some() {
            self.gaps += 1;
            self.tidy();
        }
    }

    pub fn pop_first(&mut self) -> Option<(InstanceKey, ExecutionId)> {
        let (_, key, execution) = self.slots.pop_front()?;
        self.tidy();
        Some((key?, execution))
    }

    /// The oldest, with its ticket.
    pub fn first(&self) -> Option<(u64, &InstanceKey)> {
        self.iter().next().map(|(ticket, key, _)| (ticket, key))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &InstanceKey, ExecutionId)> {
        self.slots.iter().filter_map(|(ticket, key, execution)| Some((*ticket, key.as_ref()?, *execution)))
    }

    fn place(&self, ticket: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&ticket, |(ticket, ..)| *ticket).ok()
    }

    fn tidy(&mut self) {
        while self.slots.front().is_some_and(|(_, key, _)| key.is_none()) {
            self.slots.pop_front();
            self.gaps -= 1;
        }
        if self.gaps > self.slots.len() / 2 + SLACK {
            self.slots.retain(|(_, key, _)| key.is_some());
            self.gaps = 0;
        }
        if self.slots.capacity() > 4 * self.slots.len() + SLACK {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::core::ids::{InstanceId, TaskHub};

    fn key(number: u64) -> InstanceKey {
        InstanceKey::new(&TaskHub::default(), &InstanceId::parse(&number.to_string()).expect("an id"))
    }

    fn execution(number: u64) -> ExecutionId {
        ExecutionId(u128::from(number).to_be_bytes())
    }

    proptest! {
        /// Whatever comes, goes and is served, it is as in a sorted map, and gaps are never the most.
        #[test]
        fn it_is_a_queue_that_one_may_leave(steps in vec((0..3_u8, 0..200_u64), 0..2_000)) {
            let (mut offers, mut expected) = (Offers::default(), BTreeMap::new());
            for (ticket, (step, any)) in (0..).zip(steps) {
                match step {
                    0 => {
                        offers.push(ticket, key(ticket), execution(ticket));
                        expected.insert(ticket, key(ticket));
                    }
                    1 => {
                        let gone = ticket.saturating_sub(any);
                        offers.remove(gone);
                        expected.remove(&gone);
                        prop_assert_eq!(offers.execution(gone), None);
                    }
                    _ => {
                        let first = expected.pop_first().map(|(ticket, key)| (key, execution(ticket)));
                        prop_assert_eq!(offers.pop_first(), first);
                    }
                }
                prop_assert_eq!(offers.first(), expected.first_key_value().map(|(ticket, key)| (*ticket, key)));
                prop_assert_eq!(offers.is_empty(), expected.is_empty());
                prop_assert!(offers.slots.len() <= 2 * expected.len() + 2 * SLACK);
            }
            prop_assert!(offers.iter().map(|(ticket, key, _)| (ticket, key)).eq(expected.iter().map(|(t, k)| (*t, k))));
            for ticket in expected.keys() {
                prop_assert_eq!(offers.execution(*ticket), Some(execution(*ticket)));
            }
        }
    }
}
