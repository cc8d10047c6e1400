//! What a turn costs the store does not depend on how long the history has become; but for the past, which each turn's
//! worker is told in full: that is as long as it is.

use std::{
    collections::BTreeMap,
    slice,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use soloist::{
    core::{
        command::{Action, CompleteTurn},
        ids::{Arrival, TaskHub},
        partitioning::PartitionId,
        turn::TaskOutcome,
    },
    engine::work_items::{Assignment, Attendance, Content, Wishes, Work},
    proto::durable_task::{OrchestratorStartedEvent, TaskCompletedEvent, TaskScheduledEvent, history_event::EventType},
    store::{Batch, Claim, CommitError, ReadError, Row, RowKey, Store, Table, Write, memory::Memory},
};

use super::player::{durable_start, note};
use crate::{
    hand::Hand,
    stage::{key, name},
};

/// What the store was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cost {
    commits: usize,
    written: BTreeMap<Table, usize>,
    deleted: BTreeMap<Table, usize>,
    bytes: usize,
    read: BTreeMap<Table, usize>,
}

/// A store that counts.
#[derive(Default)]
struct Counting {
    memory: Memory,
    cost: Mutex<Cost>,
}

impl Counting {
    /// What it has cost since this was last asked.
    fn take(&self) -> Cost {
        std::mem::take(&mut *self.cost.lock().expect("nobody panics with it"))
    }

    fn note_read(&self, table: Table, rows: Result<Vec<Row>, ReadError>) -> Result<Vec<Row>, ReadError> {
        let rows = rows?;
        *self.cost.lock().expect("nobody panics with it").read.entry(table).or_default() += rows.len();
        Ok(rows)
    }
}

impl Store for Counting {
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError> {
        self.memory.claim(partitions)
    }

    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError> {
        let mut cost = self.cost.lock().expect("nobody panics with it");
        cost.commits += 1;
        for write in batches.iter().flat_map(|batch| &batch.writes) {
            match write {
                Write::Put { table, bytes, .. } => {
                    *cost.written.entry(*table).or_default() += 1;
                    cost.bytes += bytes.len();
                }
                Write::Delete { table, .. } => *cost.deleted.entry(*table).or_default() += 1,
                Write::DeleteThrough { table, key } => {
                    let rows = self.memory.read(*table, key.arrival, 0, usize::MAX).expect("rows");
                    let gone = rows.iter().filter(|row| row.key.number <= key.number).count();
                    *cost.deleted.entry(*table).or_default() += gone;
                }
            }
        }
        drop(cost);
        self.memory.commit(batches)
    }

    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.note_read(table, self.memory.scan(table, after, limit))
    }

    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.note_read(table, self.memory.read(table, arrival, from, limit))
    }

    fn check(&self) -> Result<(), CommitError> {
        self.memory.check()
    }

    fn close(&self) -> Result<(), CommitError> {
        self.memory.close()
    }
}

struct Labour {
    hand: Hand,
    store: Arc<Counting>,
    worker: Attendance,
    /// Turns so far.
    turns: i32,
}

impl Labour {
    fn begin() -> Labour {
        let store = Arc::new(Counting::default());
        let hand = Hand::over(store.clone()).expect("an empty store");
        let (hub, filters) = (TaskHub::default(), None);
        let wishes = Wishes { hub, turns_max: 1, activities_max: 1, filters, nameless: false };
        let worker = hand.engine.attend(wishes).expect("a place");
        let start = durable_start(&hand.engine);
        hand.finish(hand.engine.start(&key("i"), start)).expect("it is free");
        hand.settle();
        Labour { hand, store, worker, turns: 0 }
    }

    /// What has come to the worker: one thing at a time.
    fn next(&self) -> Assignment {
        let mut come = self.worker.stream.next(usize::MAX).now_or_never().expect("something has come");
        assert_eq!(come.len(), 1);
        come.remove(0)
    }

    /// The worker is told of the last activity's end and schedules the next, which ends.
    fn turn(&mut self) {
        let turn = self.next();
        self.complete(&turn);
        self.end(&self.next());
    }

    fn complete(&mut self, turn: &Assignment) {
        let claim = turn.claim.as_ref().expect("it is a turn");
        let mut notes = vec![note(-1, EventType::OrchestratorStarted(OrchestratorStartedEvent {}))];
        if self.turns > 0 {
            let (task_scheduled_id, result) = (self.turns, Some("1".into()));
            notes.push(note(-1, EventType::TaskCompleted(TaskCompletedEvent { task_scheduled_id, result })));
        }
        self.turns += 1;
        notes.push(note(self.turns, EventType::TaskScheduled(TaskScheduledEvent::default())));
        let (id, at) = (self.turns, notes.len() as u64 - 1);
        let turn = CompleteTurn {
            token: turn.token,
            notes,
            through: claim.inbox_last,
            began_at: self.hand.engine.now(),
            custom_status: None,
            trace: None,
            actions: vec![Action::ScheduleActivity { id, name: name("act"), version: String::new(), note: at }],
            ending: None,
        };
        self.hand.finish(self.hand.engine.complete_turn(key("i"), turn)).expect("it is its turn");
        self.hand.settle();
    }

    fn end(&self, activity: &Assignment) {
        assert!(matches!(activity.item.work, Work::Activity(_)));
        let out = self.hand.engine.item_out(activity.token).expect("it is the worker's");
        let outcome = TaskOutcome::Completed { result: Some("1".into()) };
        self.hand.finish(self.hand.engine.end_activity(&out, activity.token, outcome)).expect("it is wanted");
        self.hand.settle();
    }

    fn told(&self, assignment: &Assignment) -> Content {
        let told = self.hand.finish(self.hand.engine.contents(slice::from_ref(assignment))).remove(0);
        told.expect("whole rows").expect("it is wanted")
    }

    fn events(&self) -> usize {
        let rows = self.store.memory.scan(Table::History, None, usize::MAX).expect("rows");
        rows.len()
    }

    /// What one more turn costs: to be told, to be completed, and the activity that comes of it.
    fn measure(&mut self) -> Measured {
        let events = self.events();
        self.store.take();
        let turn = self.next();
        let Content::Turn(content) = self.told(&turn) else { panic!("it is a turn") };
        assert_eq!(content.past.len(), events);
        let to_be_told = self.store.take();
        self.complete(&turn);
        let completed = self.store.take();
        let activity = self.next();
        assert!(matches!(self.told(&activity), Content::Activity(_)));
        let activity_told = self.store.take();
        self.end(&activity);
        Measured { events, to_be_told, completed, activity_told, ended: self.store.take() }
    }
}

#[derive(Debug)]
struct Measured {
    events: usize,
    to_be_told: Cost,
    completed: Cost,
    activity_told: Cost,
    ended: Cost,
}

#[test]
fn a_turn_costs_the_same_however_long_the_history_is() {
    /// Numbers take more bytes when they are greater, in a handful of places.
    const LONGER_NUMBERS: usize = 64;
    let mut labour = Labour::begin();
    let mut measured = Vec::new();
    for events in [100, 1_000, 10_000] {
        // Three events a turn.
        while 3 * labour.turns < events {
            labour.turn();
        }
        measured.push(labour.measure());
    }
    let first = &measured[0];
    assert!(first.events < 110 && measured[2].events >= 10_000);
    let counted = |cost: &Cost| Cost { bytes: 0, ..cost.clone() };
    for later in &measured[1..] {
        let steps = [
            ("a turn", &first.completed, &later.completed),
            ("an activity told", &first.activity_told, &later.activity_told),
            ("an activity's end", &first.ended, &later.ended),
        ];
        for (what, before, after) in steps {
            assert_eq!(counted(before), counted(after), "{what} after {} events", later.events);
            assert!(after.bytes <= before.bytes + LONGER_NUMBERS, "{what}: {} bytes, {}", before.bytes, after.bytes);
        }
        assert_eq!(later.completed.read, BTreeMap::new(), "to complete a turn nothing is read");
    }
    for Measured { events, to_be_told, .. } in &measured {
        // The whole past: a worker keeps nothing between its turns.
        assert_eq!(to_be_told.read.get(&Table::History), Some(events));
        assert_eq!((to_be_told.commits, to_be_told.read.get(&Table::Event)), (0, Some(&1)));
    }
}
