//! The rows of each instance that are on the disk.

use std::collections::{BTreeMap, BTreeSet};

use soloist::{
    core::{
        history::HistoryEvent,
        ids::{Arrival, ExecutionId, Revision},
        instance::Instance,
        limits,
        queue::QueuedStart,
    },
    store::{RowKey, Table, Write, record},
};

#[derive(Default)]
pub struct Rows {
    numbers: BTreeMap<(Arrival, Table), BTreeSet<u64>>,
    queues: BTreeMap<(Arrival, u64), QueuedStart>,
    histories: BTreeMap<(Arrival, u64), HistoryEvent>,
}

/// A start that has left the queue.
pub struct Taken {
    pub execution: ExecutionId,
    /// Whether it had waited longest.
    pub was_first: bool,
}

impl Rows {
    /// Answers the start that has left its queue with this, if one has.
    pub fn note(&mut self, write: &Write) -> Option<Taken> {
        match write {
            Write::Put { table, key, bytes } => {
                self.numbers.entry((key.arrival, *table)).or_default().insert(key.number);
                let place = (key.arrival, key.number);
                match table {
                    Table::Queue => {
                        let start = record::decode_queued(Revision(key.number), bytes);
                        self.queues.insert(place, start.expect("what was just written can be read"));
                    }
                    Table::History => {
                        let event = record::decode_history(bytes).expect("what was just written can be read");
                        self.histories.insert(place, event);
                    }
                    _ => {}
                }
                None
            }
            Write::Delete { table: Table::Queue, key } => {
                let first = self.queue(key.arrival).next().map(|start| start.ticket.0);
                self.delete(Table::Queue, *key, |number| number == key.number);
                let start = self.queues.remove(&(key.arrival, key.number))?;
                Some(Taken { execution: start.execution, was_first: first == Some(key.number) })
            }
            Write::Delete { table, key } => {
                self.delete(*table, *key, |number| number == key.number);
                None
            }
            Write::DeleteThrough { table, key } => {
                self.delete(*table, *key, |number| number <= key.number);
                None
            }
        }
    }

    fn delete(&mut self, table: Table, key: RowKey, goes: impl Fn(u64) -> bool) {
        if let Some(numbers) = self.numbers.get_mut(&(key.arrival, table)) {
            numbers.retain(|number| !goes(*number));
        }
        if table == Table::History {
            self.histories.retain(|(arrival, number), _| *arrival != key.arrival || !goes(*number));
        }
    }

    /// The starts that wait, in their order.
    pub fn queue(&self, arrival: Arrival) -> impl Iterator<Item = &QueuedStart> {
        self.queues.range((arrival, 0)..=(arrival, u64::MAX)).map(|(_, start)| start)
    }

    pub fn history(&self, arrival: Arrival) -> Vec<HistoryEvent> {
        self.histories.range((arrival, 0)..=(arrival, u64::MAX)).map(|(_, event)| event.clone()).collect()
    }

    /// Whether they are those that the instance refers to, and no others.
    pub fn check(&self, arrival: Arrival, instance: Option<&Instance>) -> Result<(), String> {
        for table in Table::ALL {
            let found = self.numbers.get(&(arrival, table)).cloned().unwrap_or_default();
            let Some(instance) = instance else {
                if !found.is_empty() {
                    return Err(format!("{table:?} rows {found:?} are left of an instance that is forgotten"));
                }
                continue;
            };
            let expected = self.expected(table, arrival, instance);
            if expected.as_ref().is_some_and(|expected| found != *expected) {
                return Err(format!("its {table:?} rows are {found:?}, not {expected:?}: {instance:?}"));
            }
        }
        Ok(())
    }

    /// The numbers of the rows that an instance refers to; nothing where they are not known.
    fn expected(&self, table: Table, arrival: Arrival, instance: &Instance) -> Option<BTreeSet<u64>> {
        let execution = &instance.execution;
        match table {
            Table::Record => Some(BTreeSet::from([0])),
            Table::Request => None,
            _ if !instance.is_there() => Some(BTreeSet::new()),
            // The first gets its row when another follows.
            Table::Transition if instance.sequence == 1 => Some(BTreeSet::new()),
            Table::Transition => {
                Some((instance.sequence.saturating_sub(limits::TRANSITIONS_KEPT).max(1)..=instance.sequence).collect())
            }
            Table::Payload => {
                let own = [execution.input, execution.output, execution.custom_status];
                let queued = self.queue(arrival).map(|start| start.input);
                let rows = own.into_iter().chain(queued).flatten().chain(instance.former_outputs.into_iter().copied());
                Some(rows.map(|row| row.number()).collect())
            }
            Table::Event => Some((instance.inbox_after + 1..=instance.inbox_last).collect()),
            // Nobody runs anything in turns here, so nobody sends anything.
            Table::Task | Table::Outbox | Table::Mark => Some(BTreeSet::new()),
            // How many wait, and which, only their rows tell.
            Table::Queue if !execution.status.is_live() => Some(BTreeSet::new()),
            Table::Queue => None,
            Table::History => {
                let first = (execution.history + 1).saturating_sub(limits::HISTORY_KEPT).max(1);
                Some((first..=execution.history).collect())
            }
        }
    }
}
