//! What every store must do, told once and asked of each.
#![cfg(feature = "server")]
#![expect(clippy::disallowed_methods, reason = "a test starts threads of its own")]

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    core::{
        ids::{Arrival, Revision},
        partitioning::{PARTITIONS, PartitionId},
    },
    store::{
        Batch, Claim, CommitError, Row, RowKey, Store, Table, Write,
        embedded::{Config, Embedded},
        memory::{Fault, Memory},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
};
use tempfile::TempDir;

/// How a server ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Crashed,
}

/// A kind of store, where it lives, and how it is started again.
trait Engine: Sized {
    type Store: Store;
    fn new() -> Self;
    fn store(&self) -> &Self::Store;
    fn restarted(self, end: End) -> Self;
}

struct InMemory(Memory);

struct OnDisk {
    store: Embedded,
    folder: TempDir,
}

impl Engine for InMemory {
    type Store = Memory;

    fn new() -> InMemory {
        InMemory(Memory::new())
    }

    fn store(&self) -> &Memory {
        &self.0
    }

    fn restarted(self, end: End) -> InMemory {
        match end {
            End::Closed => self.0.close().expect("a clean end"),
            End::Crashed => {}
        }
        InMemory(self.0.reopen())
    }
}

impl Engine for OnDisk {
    type Store = Embedded;

    fn new() -> OnDisk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        OnDisk { store: Embedded::open(Config::new(folder.path())).expect("a new store"), folder }
    }

    fn store(&self) -> &Embedded {
        &self.store
    }

    fn restarted(self, end: End) -> OnDisk {
        let OnDisk { store, folder } = self;
        match end {
            End::Closed => store.close().expect("a clean end"),
            End::Crashed => {}
        }
        drop(store);
        OnDisk { store: Embedded::open(Config::new(folder.path())).expect("the same store"), folder }
    }
}

/// One owner of a partition, who counts.
#[derive(Clone, Debug)]
struct Owner(Claim);

impl Owner {
    fn of(store: &impl Store, partition: u16) -> Owner {
        Owner(store.claim(&[PartitionId(partition)]).expect("a claim")[0])
    }

    /// The batch that comes next; counted when it is committed.
    fn batch(&self, writes: Vec<Write>) -> Batch {
        let Claim { partition, epoch, sequence, revision, .. } = self.0;
        Batch { partition, epoch, sequence: sequence + 1, revision: Revision(revision.0 + 10), writes }
    }

    fn follow(&mut self, batch: &Batch) {
        (self.0.sequence, self.0.revision) = (batch.sequence, batch.revision);
    }

    fn commit(&mut self, store: &impl Store, writes: Vec<Write>) {
        let batch = self.batch(writes);
        store.commit(std::slice::from_ref(&batch)).expect("a commit");
        self.follow(&batch);
    }
}

fn key(arrival: u64, number: u64) -> RowKey {
    RowKey { arrival: Arrival(arrival), number }
}

fn put(table: Table, arrival: u64, number: u64, bytes: &[u8]) -> Write {
    Write::Put { table, key: key(arrival, number), bytes: bytes.to_vec() }
}

fn row(arrival: u64, number: u64, bytes: &[u8]) -> Row {
    Row { key: key(arrival, number), bytes: bytes.to_vec() }
}

fn all(store: &impl Store, table: Table) -> Vec<Row> {
    store.scan(table, None, usize::MAX).expect("a scan")
}

fn keys(rows: Vec<Row>) -> Vec<(u64, u64)> {
    rows.into_iter().map(|row| (row.key.arrival.0, row.key.number)).collect()
}

fn assert_empty(store: &impl Store) {
    for table in Table::ALL {
        assert_eq!(all(store, table), [], "{table:?}");
    }
}

fn assert_fenced(store: &impl Store, batches: &[Batch]) {
    let refused = store.commit(batches);
    assert!(matches!(refused, Err(CommitError::Fenced { .. })), "{refused:?}");
}

/// Each story runs on each engine, in a module of the engine's name.
macro_rules! conformance {
    ($($story:ident)*) => {
        mod memory {
            $(#[test] fn $story() { super::$story::<super::InMemory>(); })*
        }
        mod embedded {
            $(#[test] fn $story() { super::$story::<super::OnDisk>(); })*
        }
    };
}

conformance! {
    a_new_store_is_empty_and_unclaimed
    rows_are_put_overwritten_and_deleted
    tables_are_apart
    delete_through_spares_later_numbers_and_other_arrivals
    scans_page_in_the_order_of_keys
    reads_stay_within_their_arrival
    a_commit_is_all_or_nothing
    a_stale_epoch_is_refused
    a_sequence_must_follow
    nobody_writes_without_a_claim
    an_unknown_partition_is_nobodys
    positions_survive_a_restart
    rows_survive_a_restart
    large_values_come_back
    the_greatest_numbers_are_kept
    what_no_row_can_be_is_refused_for_good
    nothing_answers_after_the_end
    readers_run_beside_the_writer
    random_batches_match_the_model
}

fn a_new_store_is_empty_and_unclaimed<E: Engine>() {
    let engine = E::new();
    assert_empty(engine.store());
    let all: Vec<PartitionId> = PartitionId::all().collect();
    let claims = engine.store().claim(&all).expect("claims");
    let expected = |partition| Claim { partition, epoch: 1, sequence: 0, revision: Revision(0), restored: Revision(0) };
    assert_eq!(claims, all.into_iter().map(expected).collect::<Vec<_>>());
}

fn rows_are_put_overwritten_and_deleted<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 3);
    for (table, number) in [(Table::Record, 0), (Table::Transition, 4)] {
        owner.commit(store, vec![put(table, 7, number, b"first"), put(table, 8, number, b"")]);
        assert_eq!(all(store, table), [row(7, number, b"first"), row(8, number, b"")]);
        owner.commit(store, vec![put(table, 7, number, b"second, longer")]);
        assert_eq!(all(store, table), [row(7, number, b"second, longer"), row(8, number, b"")]);
        let delete = |arrival| Write::Delete { table, key: key(arrival, number) };
        owner.commit(store, vec![delete(7), delete(99)]);
        assert_eq!(all(store, table), [row(8, number, b"")]);
        // Within a batch the order counts.
        owner.commit(store, vec![delete(8), put(table, 8, number, b"a"), put(table, 8, number, b"b"), delete(7)]);
        assert_eq!(all(store, table), [row(8, number, b"b")]);
    }
}

fn tables_are_apart<E: Engine>() {
    let engine = E::new();
    let mut owner = Owner::of(engine.store(), 0);
    let named = |table: Table| format!("{table:?}").into_bytes();
    owner.commit(engine.store(), Table::ALL.iter().map(|table| put(*table, 1, 0, &named(*table))).collect());
    for table in Table::ALL {
        assert_eq!(all(engine.store(), table), [row(1, 0, &named(table))]);
    }
}

fn delete_through_spares_later_numbers_and_other_arrivals<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 0);
    let places = [(1, 9), (2, 0), (2, 3), (2, 4), (2, 5), (3, 1)];
    owner.commit(store, places.iter().map(|(arrival, number)| put(Table::Event, *arrival, *number, b"x")).collect());
    let through = |table, arrival, number| Write::DeleteThrough { table, key: key(arrival, number) };
    owner.commit(store, vec![through(Table::Event, 2, 4)]);
    assert_eq!(keys(all(store, Table::Event)), [(1, 9), (2, 5), (3, 1)]);
    owner.commit(store, vec![through(Table::Event, 1, i64::MAX as u64), through(Table::Event, 77, 5)]);
    assert_eq!(keys(all(store, Table::Event)), [(2, 5), (3, 1)]);
    owner.commit(store, vec![put(Table::Record, 5, 0, b"x"), put(Table::Record, 6, 0, b"x")]);
    owner.commit(store, vec![through(Table::Record, 5, 0)]);
    assert_eq!(keys(all(store, Table::Record)), [(6, 0)]);
}

fn scans_page_in_the_order_of_keys<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 0);
    let mut places: Vec<(u64, u64)> = (0..5).flat_map(|arrival| (0..4).map(move |n| (arrival * 3, n * n))).collect();
    let shuffled = places.iter().rev().map(|(arrival, number)| put(Table::Transition, *arrival, *number, b"t"));
    owner.commit(store, shuffled.collect());
    places.sort_unstable();
    for limit in 1..=places.len() + 1 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = keys(store.scan(Table::Transition, after, limit).expect("a page"));
            assert!(page.len() <= limit);
            let Some((arrival, number)) = page.last().copied() else { break };
            after = Some(key(arrival, number));
            found.extend(page);
        }
        assert_eq!(found, places, "pages of {limit}");
    }
    let after = |arrival, number| keys(store.scan(Table::Transition, Some(key(arrival, number)), 1).expect("a page"));
    assert_eq!(after(0, 9), [(3, 0)]);
    assert_eq!(after(2, 5), [(3, 0)]);
    assert_eq!(after(3, u64::MAX), [(6, 0)]);
    assert_eq!(after(12, 9), []);
    assert_eq!(after(u64::MAX, u64::MAX), []);
    assert_eq!(store.scan(Table::Transition, None, 0).expect("nothing"), []);
    owner.commit(store, vec![put(Table::Record, 4, 0, b"r"), put(Table::Record, 2, 0, b"r")]);
    assert_eq!(keys(store.scan(Table::Record, Some(key(2, 0)), 9).expect("a page")), [(4, 0)]);
    assert_eq!(keys(store.scan(Table::Record, Some(key(2, 5)), 9).expect("a page")), [(4, 0)]);
}

fn reads_stay_within_their_arrival<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 0);
    let places = [(1, 5), (2, 1), (2, 3), (2, 8), (3, 0)];
    owner.commit(store, places.iter().map(|(arrival, number)| put(Table::Payload, *arrival, *number, b"p")).collect());
    let read = |arrival, from, limit| keys(store.read(Table::Payload, Arrival(arrival), from, limit).expect("a read"));
    assert_eq!(read(2, 0, 9), [(2, 1), (2, 3), (2, 8)]);
    assert_eq!(read(2, 3, 9), [(2, 3), (2, 8)]);
    assert_eq!(read(2, 2, 1), [(2, 3)]);
    assert_eq!(read(2, 9, 9), []);
    assert_eq!(read(2, u64::MAX, 9), []);
    assert_eq!(read(4, 0, 9), []);
    assert_eq!(read(u64::MAX, 0, 9), []);
    owner.commit(store, vec![put(Table::Record, 2, 0, b"r"), put(Table::Record, 3, 0, b"r")]);
    assert_eq!(store.read(Table::Record, Arrival(2), 0, 9).expect("a read"), [row(2, 0, b"r")]);
    assert_eq!(store.read(Table::Record, Arrival(2), 1, 9).expect("a read"), []);
}

/// The last of three batches is fenced: nothing of the others may show, nor count.
fn a_commit_is_all_or_nothing<E: Engine>() {
    let engine = E::new();
    let mut owners: Vec<Owner> = (0..3).map(|partition| Owner::of(engine.store(), partition)).collect();
    let batches: Vec<Batch> =
        (1..).zip(&owners).map(|(arrival, owner)| owner.batch(vec![put(Table::Record, arrival, 0, b"r")])).collect();
    let mut spoilt = batches.clone();
    spoilt[2].epoch += 1;
    assert_fenced(engine.store(), &spoilt);
    assert_empty(engine.store());
    engine.store().commit(&batches).expect("the sequences did not move");
    owners.iter_mut().zip(&batches).for_each(|(owner, batch)| owner.follow(batch));
    assert_eq!(keys(all(engine.store(), Table::Record)), [(1, 0), (2, 0), (3, 0)]);
    let engine = engine.restarted(End::Crashed);
    assert_eq!(keys(all(engine.store(), Table::Record)), [(1, 0), (2, 0), (3, 0)]);
}

fn a_stale_epoch_is_refused<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut former = Owner::of(store, 9);
    former.commit(store, vec![put(Table::Record, 1, 0, b"former")]);
    let mut owner = Owner::of(store, 9);
    assert_eq!(owner.0, Claim { epoch: former.0.epoch + 1, ..former.0 });
    assert_fenced(store, &[former.batch(vec![put(Table::Record, 1, 0, b"late")])]);
    assert_eq!(all(store, Table::Record), [row(1, 0, b"former")]);
    owner.commit(store, vec![put(Table::Record, 1, 0, b"owner")]);
    assert_fenced(store, &[former.batch(vec![])]);
    let engine = engine.restarted(End::Crashed);
    assert_fenced(engine.store(), &[former.batch(vec![])]);
    assert_eq!(all(engine.store(), Table::Record), [row(1, 0, b"owner")]);
}

fn a_sequence_must_follow<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 1);
    owner.commit(store, vec![]);
    owner.commit(store, vec![]);
    for sequence in [0, 1, 2, 4, 100, u64::MAX] {
        let batch = Batch { sequence, ..owner.batch(vec![put(Table::Record, 1, 0, b"astray")]) };
        assert_fenced(store, &[batch]);
    }
    let twice = owner.batch(vec![put(Table::Record, 1, 0, b"twice")]);
    assert_fenced(store, &[twice.clone(), twice]);
    assert_empty(store);
    owner.commit(store, vec![]);
    store.commit(&[]).expect("nothing is no fault");
}

fn nobody_writes_without_a_claim<E: Engine>() {
    let engine = E::new();
    let claim =
        Claim { partition: PartitionId(5), epoch: 0, sequence: 0, revision: Revision(0), restored: Revision(0) };
    assert_fenced(engine.store(), &[Owner(claim).batch(vec![])]);
}

fn an_unknown_partition_is_nobodys<E: Engine>() {
    let engine = E::new();
    let partition = PartitionId(PARTITIONS);
    assert!(engine.store().claim(&[PartitionId(0), partition]).is_err());
    let claim = Claim { partition, epoch: 1, sequence: 0, revision: Revision(0), restored: Revision(0) };
    assert_fenced(engine.store(), &[Owner(claim).batch(vec![])]);
    assert_eq!(Owner::of(engine.store(), 0).0.epoch, 1, "a refused claim raises no epoch");
}

fn positions_survive_a_restart<E: Engine>() {
    let mut engine = E::new();
    let mut expected = Owner::of(engine.store(), 127);
    for end in [End::Closed, End::Crashed, End::Closed] {
        expected.commit(engine.store(), vec![]);
        expected.commit(engine.store(), vec![]);
        engine = engine.restarted(end);
        // The epoch alone decides: who held it before the restart may go on until somebody claims.
        expected.commit(engine.store(), vec![]);
        let owner = Owner::of(engine.store(), 127);
        expected.0.epoch += 1;
        assert_eq!(owner.0, expected.0);
    }
    assert_eq!((expected.0.epoch, expected.0.sequence, expected.0.revision), (4, 9, Revision(90)));
}

fn rows_survive_a_restart<E: Engine>() {
    let mut engine = E::new();
    let mut arrivals = Vec::new();
    for (arrival, end) in (0..).zip([End::Crashed, End::Closed, End::Crashed, End::Closed]) {
        let mut owner = Owner::of(engine.store(), 0);
        owner.commit(engine.store(), vec![put(Table::Record, arrival, 0, b"r")]);
        arrivals.push((arrival, 0));
        engine = engine.restarted(end);
        assert_eq!(keys(all(engine.store(), Table::Record)), arrivals, "{end:?}");
    }
}

fn large_values_come_back<E: Engine>() {
    let engine = E::new();
    let mut owner = Owner::of(engine.store(), 0);
    let value: Vec<u8> = (0..3 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    owner.commit(engine.store(), vec![put(Table::Payload, 1, 1, &value), put(Table::Payload, 1, 2, b"small")]);
    assert!(all(engine.store(), Table::Payload) == [row(1, 1, &value), row(1, 2, b"small")]);
    let engine = engine.restarted(End::Closed);
    assert!(engine.store().read(Table::Payload, Arrival(1), 1, 1).expect("a read") == [row(1, 1, &value)]);
}

fn the_greatest_numbers_are_kept<E: Engine>() {
    let engine = E::new();
    let mut owner = Owner::of(engine.store(), 0);
    let last = Write::NUMBER_MAX;
    let places = [(0, 0), (0, last), (last, 0), (last, last)];
    let writes = places.iter().map(|(arrival, number)| put(Table::Request, *arrival, *number, b"q")).collect();
    let batch = Batch { revision: Revision(last), ..owner.batch(writes) };
    engine.store().commit(std::slice::from_ref(&batch)).expect("a commit");
    owner.follow(&batch);
    let engine = engine.restarted(End::Closed);
    let store = engine.store();
    assert_eq!(keys(all(store, Table::Request)), places);
    assert_eq!(keys(store.scan(Table::Request, Some(key(last, 0)), 9).expect("a page")), [(last, last)]);
    assert_eq!(store.scan(Table::Request, Some(key(last, last)), 9).expect("a page"), []);
    assert_eq!(keys(store.read(Table::Request, Arrival(last), last, 9).expect("a read")), [(last, last)]);
    assert_eq!(Owner::of(store, 0).0.revision, Revision(last));
}

/// A bug in the engine above must not become a row that can't be found again.
fn what_no_row_can_be_is_refused_for_good<E: Engine>() {
    for write in
        [put(Table::Event, u64::MAX, 0, b""), put(Table::Event, 0, 1 << 63, b""), put(Table::Record, 1, 1, b"")]
    {
        let engine = E::new();
        let mut owner = Owner::of(engine.store(), 0);
        owner.commit(engine.store(), vec![]);
        let batch = owner.batch(vec![put(Table::Record, 1, 0, b"r"), write]);
        for _ in 0..2 {
            let failed = engine.store().commit(std::slice::from_ref(&batch));
            assert!(matches!(failed, Err(CommitError::OutcomeUnknown(_))), "{failed:?}");
        }
        let engine = engine.restarted(End::Crashed);
        assert_empty(engine.store());
    }
}

fn nothing_answers_after_the_end<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let owner = Owner::of(store, 0);
    assert_eq!(all(store, Table::Record), []);
    store.close().expect("a clean end");
    assert!(matches!(store.commit(&[owner.batch(vec![])]), Err(CommitError::OutcomeUnknown(_))));
    assert!(store.claim(&[PartitionId(0)]).is_err());
    assert!(store.scan(Table::Record, None, 1).is_err());
    assert!(store.read(Table::Record, Arrival(0), 0, 1).is_err());
    store.close().expect("a second end is none");
}

/// More readers than connections, beside a writer that puts two rows at a time: nobody ever sees one of them alone.
fn readers_run_beside_the_writer<E: Engine>() {
    let engine = E::new();
    let store = engine.store();
    let mut owner = Owner::of(store, 0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < 100 {
                    let rows = all(store, Table::Event).len();
                    assert!(rows.is_multiple_of(2) && rows >= seen, "{rows} rows after {seen}");
                    seen = rows;
                }
            });
        }
        for n in 0..50 {
            owner.commit(store, vec![put(Table::Event, n, 0, b"left"), put(Table::Event, n, 1, b"right")]);
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u16, Vec<Write>)>),
    Claim(u16),
    Restart(End),
}

fn any_step() -> impl Strategy<Value = Step> {
    let table = prop::sample::select(Table::ALL.to_vec());
    let write = (table, 0..6_u64, 0..6_u64, 0..4, prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |(table, arrival, number, kind, bytes)| {
            let key = key(arrival, if table == Table::Record { 0 } else { number });
            match kind {
                0 | 1 => Write::Put { table, key, bytes },
                2 => Write::Delete { table, key },
                _ => Write::DeleteThrough { table, key },
            }
        },
    );
    let batches = prop::collection::btree_map(0..4_u16, prop::collection::vec(write, 0..8), 1..4);
    prop_oneof![
        8 => batches.prop_map(|batches| Step::Commit(batches.into_iter().collect())),
        1 => (0..4_u16).prop_map(Step::Claim),
        1 => prop_oneof![Just(End::Closed), Just(End::Crashed)].prop_map(Step::Restart),
    ]
}

fn random_batches_match_the_model<E: Engine>() {
    let seeds = FileFailurePersistence::Direct("proptest-regressions/store.txt");
    let config = ProptestConfig { cases: 48, failure_persistence: Some(Box::new(seeds)), ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(any_step(), 1..24))| follow_model::<E>(steps));
}

fn follow_model<E: Engine>(steps: Vec<Step>) {
    let mut engine = E::new();
    let mut model: BTreeMap<(Table, RowKey), Vec<u8>> = BTreeMap::new();
    let mut owners: Vec<Owner> = (0..4).map(|partition| Owner::of(engine.store(), partition)).collect();
    for step in steps {
        match step {
            Step::Restart(end) => engine = engine.restarted(end),
            Step::Claim(partition) => {
                let owner = &mut owners[usize::from(partition)];
                owner.0.epoch += 1;
                assert_eq!(Owner::of(engine.store(), partition).0, owner.0);
            }
            Step::Commit(parts) => {
                let batches: Vec<Batch> =
                    parts.into_iter().map(|(partition, writes)| owners[usize::from(partition)].batch(writes)).collect();
                engine.store().commit(&batches).expect("a commit");
                for batch in batches {
                    owners[usize::from(batch.partition.0)].follow(&batch);
                    batch.writes.into_iter().for_each(|write| apply(&mut model, write));
                }
            }
        }
        for table in Table::ALL {
            let rows = model.iter().filter(|((of, _), _)| *of == table);
            let rows: Vec<Row> = rows.map(|((_, key), bytes)| Row { key: *key, bytes: bytes.clone() }).collect();
            assert_eq!(all(engine.store(), table), rows, "{table:?}");
        }
    }
}

fn apply(model: &mut BTreeMap<(Table, RowKey), Vec<u8>>, write: Write) {
    match write {
        Write::Put { table, key, bytes } => drop(model.insert((table, key), bytes)),
        Write::Delete { table, key } => drop(model.remove(&(table, key))),
        Write::DeleteThrough { table, key } => {
            model.retain(|(of, at), _| *of != table || at.arrival != key.arrival || at.number > key.number);
        }
    }
}

#[test]
fn a_planned_fault_hits_its_commit_and_all_later_ones() {
    for (fault, survives) in [(Fault::BeforeApplied { commits: 2 }, false), (Fault::AfterApplied { commits: 2 }, true)]
    {
        let memory = Memory::new();
        memory.plan(fault);
        let mut owner = Owner::of(&memory, 0);
        owner.commit(&memory, vec![put(Table::Record, 1, 0, b"r")]);
        let batch = owner.batch(vec![put(Table::Record, 2, 0, b"r")]);
        for _ in 0..2 {
            let failed = memory.commit(std::slice::from_ref(&batch));
            assert!(matches!(failed, Err(CommitError::OutcomeUnknown(_))), "{failed:?}");
        }
        assert!(memory.claim(&[PartitionId(0)]).is_err());
        assert!(memory.close().is_err());
        let reopened = memory.reopen();
        assert!(memory.scan(Table::Record, None, 1).is_err(), "the former handle is dead");
        let rows = keys(all(&reopened, Table::Record));
        assert_eq!(rows, if survives { vec![(1, 0), (2, 0)] } else { vec![(1, 0)] });
        assert_eq!(reopened.commits(), if survives { 2 } else { 1 });
        let mut owner = Owner::of(&reopened, 0);
        owner.commit(&reopened, vec![]);
        owner.commit(&reopened, vec![]);
    }
}

#[test]
fn a_held_commit_shows_nothing_until_it_is_released() {
    let memory = Arc::new(Memory::new());
    let owner = Owner::of(&*memory, 0);
    let batch = owner.batch(vec![put(Table::Record, 1, 0, b"r")]);
    memory.hold();
    let (done, committed) = mpsc::channel();
    let committer = thread::spawn({
        let memory = memory.clone();
        move || done.send(memory.commit(&[batch]))
    });
    memory.wait_held(1);
    assert_empty(&*memory);
    assert_eq!(memory.commits(), 0);
    assert!(committed.try_recv().is_err());
    memory.release();
    committed.recv().expect("an answer").expect("a commit");
    committer.join().expect("no panic").expect("a listener");
    assert_eq!(keys(all(&*memory, Table::Record)), [(1, 0)]);
}

#[test]
fn a_held_commit_is_lost_in_a_crash() {
    let memory = Arc::new(Memory::new());
    let batch = Owner::of(&*memory, 0).batch(vec![put(Table::Record, 1, 0, b"r")]);
    memory.hold();
    let committer = thread::spawn({
        let memory = memory.clone();
        move || memory.commit(&[batch])
    });
    memory.wait_held(1);
    let reopened = memory.reopen();
    let lost = committer.join().expect("no panic");
    assert!(matches!(lost, Err(CommitError::OutcomeUnknown(_))), "{lost:?}");
    assert_empty(&reopened);
}
