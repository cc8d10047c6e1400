//! Whether the rows of a store are those that its instances refer to, and no others.

use std::collections::{BTreeMap, BTreeSet};

use soloist::{
    clock::Clock,
    core::{
        ids::{Arrival, Revision},
        instance::Instance,
        limits,
        turn::{Task, TaskKind},
    },
    store::{Row, Store, Table, memory::Memory, record},
};

use crate::clock::HandClock;

pub fn all(memory: &Memory, table: Table) -> Vec<Row> {
    memory.scan(table, None, usize::MAX).expect("rows")
}

pub fn check(memory: &Memory, clock: &HandClock) {
    let mut numbers: BTreeMap<(Table, Arrival), BTreeSet<u64>> = BTreeMap::new();
    for table in Table::ALL.into_iter().filter(|table| !matches!(table, Table::Outbox | Table::Mark)) {
        for row in all(memory, table) {
            numbers.entry((table, row.key.arrival)).or_default().insert(row.key.number);
        }
    }
    let tasks = all(memory, Table::Task).into_iter().map(|row| {
        let task = record::decode_task(&row.bytes).expect("a task");
        (row.key, task)
    });
    let tasks: Vec<(_, Task)> = tasks.collect();
    // The inputs of starts that wait.
    let mut queued: BTreeMap<Arrival, Vec<u64>> = BTreeMap::new();
    for row in all(memory, Table::Queue) {
        let start = record::decode_queued(Revision(row.key.number), &row.bytes).expect("a start");
        queued.entry(row.key.arrival).or_default().extend(start.input.map(|input| input.number()));
    }
    for row in all(memory, Table::Record) {
        let arrival = row.key.arrival;
        let record::Recovered { key, instance, .. } =
            record::decode_instance(arrival, &row.bytes, clock.now()).expect("an instance");
        for table in Table::ALL {
            let found = numbers.remove(&(table, arrival)).unwrap_or_default();
            if let Some(mut expected) = expected(table, &instance) {
                if table == Table::Payload {
                    expected.extend(queued.get(&arrival).into_iter().flatten());
                }
                assert_eq!(found, expected, "{table:?} rows of {key:?}: {instance:?}");
            }
        }
        let live = instance.execution.status.is_live();
        for (_, task) in tasks.iter().filter(|(row, _)| row.arrival == arrival) {
            assert!(instance.is_there() && instance.turns.is_some(), "{task:?} of {key:?}");
            assert!(live || matches!(task.kind, TaskKind::Child { .. }), "{task:?} of {key:?}, which has ended");
        }
    }
    assert_eq!(numbers, BTreeMap::new(), "rows of nobody");
}

/// Nothing where the record does not tell.
fn expected(table: Table, instance: &Instance) -> Option<BTreeSet<u64>> {
    let execution = &instance.execution;
    let there = instance.is_there();
    let numbers: BTreeSet<u64> = match table {
        Table::Record => [0].into(),
        Table::Task | Table::Outbox | Table::Mark | Table::Request => return None,
        _ if !there => BTreeSet::new(),
        Table::Transition if instance.sequence == 1 => BTreeSet::new(),
        Table::Transition => {
            (instance.sequence.saturating_sub(limits::TRANSITIONS_KEPT).max(1)..=instance.sequence).collect()
        }
        Table::Payload => {
            let own = [execution.input, execution.output, execution.custom_status].into_iter().flatten();
            own.chain(instance.former_outputs.into_iter().copied()).map(|row| row.number()).collect()
        }
        Table::Event => (instance.inbox_after + 1..=instance.inbox_last).collect(),
        Table::Queue if execution.status.is_live() => return None,
        Table::Queue => BTreeSet::new(),
        Table::History => {
            let base = instance.turns.as_ref().map_or(0, |turns| turns.history_base);
            (base + 1..=execution.history).collect()
        }
    };
    Some(numbers)
}
