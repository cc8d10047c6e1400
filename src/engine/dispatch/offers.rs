//! Runs of one lane that wait for a worker.

use std::collections::VecDeque;

use crate::core::ids::{ExecutionId, InstanceKey};

/// Runs that wait, in the order of their tickets. One that is withdrawn leaves a gap, and gaps are never the most: so
/// a run that waits takes little room, however many do, and is found by its ticket in the time that a search takes.
///
/// They lie in chunks: one table of millions would stand still for a second whenever it doubles.
#[derive(Default)]
pub(super) struct Offers {
    /// None is empty.
    chunks: VecDeque<Chunk>,
}

#[derive(Default)]
struct Chunk {
    /// Never begins with a gap.
    slots: VecDeque<(u64, Option<InstanceKey>, ExecutionId)>,
    gaps: usize,
}

/// Slots of a chunk.
const CHUNK_SLOTS: usize = 512;

impl Offers {
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The newest: its ticket is greater than all before.
    pub fn push(&mut self, ticket: u64, key: InstanceKey, execution: ExecutionId) {
        let slot = (ticket, Some(key), execution);
        match self.chunks.back_mut().filter(|chunk| chunk.slots.len() < CHUNK_SLOTS) {
            Some(chunk) => chunk.slots.push_back(slot),
            None => self.chunks.push_back(Chunk { slots: VecDeque::from([slot]), gaps: 0 }),
        }
    }

    pub fn execution(&self, ticket: u64) -> Option<ExecutionId> {
        let chunk = self.chunks.get(self.chunk_of(ticket)?)?;
        chunk.slots.get(chunk.place(ticket)?).filter(|(_, key, _)| key.is_some()).map(|(.., execution)| *execution)
    }

    pub fn remove(&mut self, ticket: u64) {
        let Some(at) = self.chunk_of(ticket) else { return };
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        chunk.remove(ticket);
        if chunk.slots.is_empty() {
            self.chunks.remove(at);
        }
    }

    pub fn pop_first(&mut self) -> Option<(InstanceKey, ExecutionId)> {
        let chunk = self.chunks.front_mut()?;
        let (_, key, execution) = chunk.slots.pop_front()?;
        chunk.tidy();
        if chunk.slots.is_empty() {
            self.chunks.pop_front();
        }
        Some((key?, execution))
    }

    /// The oldest, with its ticket.
    pub fn first(&self) -> Option<(u64, &InstanceKey)> {
        self.iter().next().map(|(ticket, key, _)| (ticket, key))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &InstanceKey, ExecutionId)> {
        let slots = self.chunks.iter().flat_map(|chunk| &chunk.slots);
        slots.filter_map(|(ticket, key, execution)| Some((*ticket, key.as_ref()?, *execution)))
    }

    /// The chunk that has it, if any has.
    fn chunk_of(&self, ticket: u64) -> Option<usize> {
        let begins_by = |chunk: &Chunk| chunk.slots.front().is_some_and(|(first, ..)| *first <= ticket);
        self.chunks.partition_point(begins_by).checked_sub(1)
    }
}

impl Chunk {
    fn place(&self, ticket: u64) -> Option<usize> {
        self.slots.binary_search_by_key(&ticket, |(ticket, ..)| *ticket).ok()
    }

    fn remove(&mut self, ticket: u64) {
        let slot = self.place(ticket).and_then(|place| self.slots.get_mut(place));
        if slot.and_then(|(_, key, _)| key.take()).is_some() {
            self.gaps += 1;
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        while self.slots.front().is_some_and(|(_, key, _)| key.is_none()) {
            self.slots.pop_front();
            self.gaps -= 1;
        }
        if 2 * self.gaps > self.slots.len() {
            self.slots.retain(|(_, key, _)| key.is_some());
            self.slots.shrink_to_fit();
            self.gaps = 0;
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
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes, goes and is served, it is as in a sorted map, and gaps are never the most.
        #[test]
        fn it_is_a_queue_that_one_may_leave(steps in vec((0..5_u8, 0..3_000_u64), 0..4_000)) {
            let (mut offers, mut expected) = (Offers::default(), BTreeMap::new());
            for (ticket, (step, any)) in (0..).zip(steps) {
                match step {
                    0..3 => {
                        offers.push(ticket, key(ticket), execution(ticket));
                        expected.insert(ticket, key(ticket));
                    }
                    3 => {
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
                let slots: usize = offers.chunks.iter().map(|chunk| chunk.slots.len()).sum();
                prop_assert!(slots <= 2 * expected.len(), "{slots} slots for {}", expected.len());
                prop_assert!(offers.chunks.iter().all(|chunk| !chunk.slots.is_empty()));
            }
            prop_assert!(offers.iter().map(|(ticket, key, _)| (ticket, key)).eq(expected.iter().map(|(t, k)| (*t, k))));
            for ticket in expected.keys() {
                prop_assert_eq!(offers.execution(*ticket), Some(execution(*ticket)));
            }
        }
    }
}
