//! Rows of queues and histories that were damaged before the server came back: it says which, and nobody is told
//! anything that did not happen.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, sync::OnceLock};

use proptest::{prelude::*, sample::Index, test_runner::FileFailurePersistence};
use rusqlite::{Connection, params};
use soloist::{
    core::{
        command::{RaiseEvent, Report, ReportBody, Resume, Signal, Start, Suspend},
        ids::{InstanceKey, TaskHub},
        lease::Proof,
        limits,
        policy::{ConflictPolicy, Replaceable},
        queue::QueuedStart,
        status::Failure,
    },
    engine::{Connection as Stream, Refusal, history::Chapter, workers::Mail},
    store::embedded::{Config, Embedded},
};
use tempfile::TempDir;

use crate::{
    hand::Hand,
    stage::{FUNCTION, key, name, spec},
};

const DATABASE: &str = "soloist.db";
const KEYS: [&str; 2] = ["a", "b"];

/// The folder of a server that died, and what it knew.
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    queues: Vec<Vec<QueuedStart>>,
    histories: Vec<Vec<Chapter>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    Queue,
    History,
}

#[derive(Clone, Debug)]
enum Damage {
    Flipped {
        at: Index,
        bit: u8,
    },
    Cut(Index),
    Grown(Vec<u8>),
    Checksum {
        bit: u8,
    },
    /// It has the number of another row now, or of none.
    Renumbered(i64),
    /// It belongs to the other instance now.
    Strayed,
    /// It holds what another row of its table holds.
    Another(Index),
    Lost,
}

fn hand(folder: &TempDir) -> Result<Hand, String> {
    let store = Embedded::open(Config::new(folder.path())).map_err(|error| error.to_string())?;
    Hand::over(Arc::new(store)).map_err(|error| error.to_string())
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("a plain name");
    entries.map(|entry| (name(&entry), fs::read(entry.path()).expect("a file"))).collect()
}

/// Two instances with starts that wait, and with histories that have every kind of event.
fn left() -> &'static Left {
    static LEFT: OnceLock<Left> = OnceLock::new();
    LEFT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let hand = hand(&folder).expect("an empty store");
        let keys = KEYS.map(key);
        keys.iter().for_each(|key| live(&hand, key));
        let (queues, histories): (Vec<_>, Vec<_>) =
            keys.iter().map(|key| (queue(&hand, key), history(&hand, key))).unzip();
        let histories: Vec<Vec<Chapter>> = histories.into_iter().map(|history| history.expect("a history")).collect();
        assert!(queues.iter().all(|queue| queue.len() == 4) && histories.iter().all(|history| history.len() == 11));
        // It dies: its log was never emptied.
        Left { files: files(folder.path()), queues, histories }
    })
}

fn live(hand: &Hand, key: &InstanceKey) {
    let start = |policy, input: Option<&str>| Start {
        execution: hand.engine.draw_execution_id(),
        spec: Arc::new(spec()),
        input: input.map(Into::into),
        conflict_policy: policy,
        replaceable: Replaceable::ALL,
        max_queue: 9,
        signal: None,
        request: None,
    };
    let begin = |start| drop(hand.finish(hand.engine.start(key, start)).expect("it is taken"));
    begin(start(ConflictPolicy::Fail, Some("first")));
    let connected = hand.engine.connect(TaskHub::default(), name("w"), vec![name(FUNCTION)], 1, BTreeMap::new());
    let worker: Stream = hand.finish(connected).expect("a place for a worker").connection;
    let raise = |input: Option<String>| {
        let signal = Signal { name: name("e"), input: input.map(Into::into) };
        hand.finish(hand.engine.raise_event(key, RaiseEvent { signal, expected_execution: None })).expect("live");
    };
    let report =
        |proof: Proof, body| hand.finish(hand.engine.report(key.clone(), Report { proof, body })).expect("held");
    let suspend = Suspend { reason: "a pause".into(), expected_execution: None };
    let resume = Resume { reason: "go on".into(), expected_execution: None };
    let accept = || {
        let Mail::Run(_, run) = hand.finish(worker.session.next_mail()) else { panic!("a run was due") };
        report(run.proof, ReportBody::Accept);
        run.proof
    };

    let proof = accept();
    raise(None);
    raise(Some("\"yes\"".into()));
    raise(Some("x".repeat(limits::HISTORY_INPUT_BYTES_MAX + 1)));
    report(
        proof,
        ReportBody::Failed { failure: Failure { non_retriable: false, ..Failure::declared("Oops", "no".into()) } },
    );
    hand.clock.pass(crate::stage::MOMENT);
    hand.settle();
    hand.finish(hand.engine.suspend(key, suspend.clone())).expect("it is live");
    hand.finish(hand.engine.resume(key, resume)).expect("it is live");
    raise(Some("\"again\"".into()));
    hand.finish(hand.engine.suspend(key, suspend)).expect("it is live");
    begin(start(ConflictPolicy::Queue, Some("second")));
    begin(start(ConflictPolicy::Queue, None));
    begin(start(ConflictPolicy::Coalesce, Some("fourth")));
    begin(start(ConflictPolicy::Coalesce, Some("fourth, again")));
    begin(start(ConflictPolicy::Queue, Some("fifth")));
}

fn queue(hand: &Hand, key: &InstanceKey) -> Vec<QueuedStart> {
    hand.finish(hand.engine.status(key, None, true)).expect("it is there").queue
}

fn history(hand: &Hand, key: &InstanceKey) -> Result<Vec<Chapter>, Refusal> {
    let mut history = hand.finish(hand.engine.history(key, None))?;
    let mut chapters = Vec::new();
    while let Some(chapter) = hand.finish(history.next())? {
        chapters.push(chapter);
    }
    Ok(chapters)
}

fn restored(files: &BTreeMap<String, Vec<u8>>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("a file");
    }
    folder
}

/// Damages one row; answers which instance's it was, or nothing where nothing is damaged.
fn damage(folder: &TempDir, rows: Rows, which: Index, damage: &Damage) -> Option<usize> {
    let table = match rows {
        Rows::Queue => "queue",
        Rows::History => "history",
    };
    let database = Connection::open(folder.path().join(DATABASE)).expect("a database");
    let sql = format!("SELECT arrival, number, checksum, bytes FROM {table} ORDER BY arrival, number");
    let mut select = database.prepare(&sql).expect("a statement");
    let read = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).expect("rows");
    let all: Vec<(i64, i64, i64, Vec<u8>)> = read.map(|row| row.expect("a row")).collect();
    let (arrival, number, checksum, bytes) = which.get(&all).clone();
    let becomes = match damage {
        Damage::Flipped { at, bit } => {
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            Some((arrival, number, checksum, flipped))
        }
        Damage::Cut(at) => Some((arrival, number, checksum, bytes[..at.index(bytes.len())].to_vec())),
        Damage::Grown(more) => Some((arrival, number, checksum, [bytes.as_slice(), more].concat())),
        Damage::Checksum { bit } => Some((arrival, number, checksum ^ 1 << bit, bytes.clone())),
        Damage::Renumbered(by) => Some((arrival, number + by, checksum, bytes.clone())),
        Damage::Strayed => Some((3 - arrival, number, checksum, bytes.clone())),
        Damage::Another(other) => {
            let (_, _, checksum, bytes) = other.get(&all).clone();
            Some((arrival, number, checksum, bytes))
        }
        Damage::Lost => None,
    };
    if becomes.as_ref() == Some(&(arrival, number, checksum, bytes)) {
        return None;
    }
    let delete = format!("DELETE FROM {table} WHERE arrival = ?1 AND number = ?2");
    database.execute(&delete, params![arrival, number]).expect("it is done");
    if let Some((arrival, number, checksum, bytes)) = becomes {
        let put = format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4)");
        database.execute(&put, params![arrival, number, checksum, bytes]).expect("it is done");
    }
    usize::try_from(arrival - 1).ok()
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flipped { at, bit }),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => proptest::collection::vec(any::<u8>(), 1..20).prop_map(Damage::Grown),
        1 => (0..63_u8).prop_map(|bit| Damage::Checksum { bit }),
        1 => prop_oneof![-12..0_i64, 1..12_i64, Just(5_000)].prop_map(Damage::Renumbered),
        1 => Just(Damage::Strayed),
        1 => any::<Index>().prop_map(Damage::Another),
        2 => Just(Damage::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    /// A row that was lost left no trace: its start never began, its event was not told, and nobody noticed.
    #[test]
    fn damaged_rows_are_named_and_nobody_is_told_anything_else(
        rows in prop_oneof![Just(Rows::Queue), Just(Rows::History)], which: Index, what in any_damage(),
    ) {
        let left = left();
        let folder = restored(&left.files);
        let Some(of) = damage(&folder, rows, which, &what) else { return Ok(()) };
        let hand = match (hand(&folder), rows) {
            (Err(said), Rows::Queue) => {
                prop_assert!(said.contains("Queue row ") || said.contains("Record row "), "{said}");
                return Ok(());
            }
            (Err(said), Rows::History) => panic!("histories are read when they are wanted: {said}"),
            (Ok(_), Rows::Queue) => panic!("the queue was believed"),
            (Ok(hand), Rows::History) => hand,
        };
        for (number, key) in KEYS.map(key).iter().enumerate() {
            prop_assert_eq!(&queue(&hand, key), &left.queues[number]);
            match history(&hand, key) {
                Ok(told) => {
                    prop_assert_eq!(told, left.histories[number].clone());
                    prop_assert!(number != of, "the history was believed");
                }
                Err(Refusal::Damaged(said)) => prop_assert!(said.contains("History row "), "{said}"),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn what_is_not_damaged_is_all_there() {
    let left = left();
    let folder = restored(&left.files);
    let hand = hand(&folder).expect("a whole store");
    for (number, key) in KEYS.map(key).iter().enumerate() {
        assert_eq!(queue(&hand, key), left.queues[number]);
        assert_eq!(history(&hand, key).expect("a history"), left.histories[number]);
    }
}
