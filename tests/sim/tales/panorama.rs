//! An instance ends, is purged and begun anew while a watch of many looks for the first time: the watch looks in every
//! moment in which it can, and whatever it shows, those who watch know in the end how things stand, and have seen each
//! transition once.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    pin::{Pin, pin},
    sync::Arc,
};

use parking_lot::Mutex;
use soloist::{
    core::{
        command::{Target, Terminate},
        filter::Filter,
        ids::{Arrival, InstanceKey, TaskHub},
        limits,
        partitioning::PartitionId,
        status::{Told, Transition, View},
    },
    engine::{
        committer::Committed,
        watch::{Glimpse, Wanted},
    },
    store::{Batch, Claim, CommitError, ReadError, Row, RowKey, Store, Table, memory::Memory},
};

use super::{Scene, key, poll};

/// What happens, step by step.
#[derive(Clone, Copy, Debug)]
enum Move {
    Terminate(&'static str),
    Purge(&'static str),
    Start(&'static str),
    /// What waits becomes durable.
    Flush,
    /// And is told.
    CarryOut,
}

/// Whoever waits for everything that was decided waits for the last one, since the other one's turn is before it. Then
/// the other one's end is not durable while the first one begins anew, so that a look at both of them waits.
const MOVES: [Move; 13] = [
    Move::Terminate(FIRST),
    Move::Flush,
    Move::CarryOut,
    Move::Purge(FIRST),
    Move::Flush,
    Move::CarryOut,
    Move::Terminate(LAST),
    Move::Flush,
    Move::Terminate(OTHER),
    Move::CarryOut,
    Move::Start(FIRST),
    Move::Flush,
    Move::CarryOut,
];

const FIRST: &str = "first";
const OTHER: &str = "second";
const LAST: &str = "third";
const ALL: [&str; 3] = [FIRST, OTHER, LAST];

/// What a watcher has made of what it was shown.
#[derive(Default)]
struct Known {
    instances: BTreeMap<String, Transition>,
    is_synced: bool,
}

impl Known {
    fn see(&mut self, glimpse: &Glimpse) -> Result<(), String> {
        let id = |transition: &Transition| transition.view.key.id().to_owned();
        let (transition, is_news) = match glimpse {
            Glimpse::Synced if self.is_synced => return Err("synced twice".into()),
            Glimpse::Synced => {
                self.is_synced = true;
                return Ok(());
            }
            Glimpse::Resync => return Err("it keeps up".into()),
            Glimpse::Current(transition) => (Transition::clone(transition), false),
            Glimpse::News(news) => match &news.told {
                Told::Transition(transition) => (transition.clone(), true),
                Told::Purged(last) => {
                    let known = self.instances.remove(&id(last));
                    let fits = known.is_some_and(|known| known.sequence == last.sequence);
                    return if fits { Ok(()) } else { Err(format!("{} was not known as it was purged", id(last))) };
                }
                Told::Withdrawn(_) => return Err("nobody waits in a queue".into()),
            },
        };
        let (id, sequence) = (id(&transition), transition.sequence);
        match self.instances.insert(id.clone(), transition) {
            Some(before) if !is_news || before.sequence + 1 != sequence => {
                Err(format!("{id}: {sequence} after {}", before.sequence))
            }
            None if is_news && sequence != 1 => Err(format!("{id} begins with {sequence}")),
            _ => Ok(()),
        }
    }
}

fn everything() -> Wanted {
    let filter = Filter { hub: Some(TaskHub::default()), ..Filter::default() };
    Wanted::Pattern(TaskHub::default(), Arc::new(filter))
}

/// Looks after so many of the moves, at each of `looks` once, and then to the end. A wait that is held goes on with the
/// next look; one that is not begins anew.
fn played(fillers: usize, looks: &[usize], is_held: bool) -> Result<(), String> {
    let scene = &Scene::new();
    let keys = ALL.map(key);
    assert!(PartitionId::of(&keys[1]) < PartitionId::of(&keys[2]), "their turns");
    let keys: Vec<InstanceKey> = keys.into_iter().chain((0..fillers).map(|n| key(&n.to_string()))).collect();
    let mut begun: Vec<_> = keys.iter().map(|key| Box::pin(scene.engine.start(key, scene.start()))).collect();
    for start in &mut begun {
        assert!(poll(&mut start.as_mut()).is_none(), "it waits for the disk");
    }
    scene.settle();
    drop(begun);

    let panorama = tokio::sync::Mutex::new(scene.engine.watch_many(everything()).expect("a place"));
    let seen = RefCell::new(Vec::new());
    let watching = async || {
        loop {
            let glimpse = panorama.lock().await.next().await;
            seen.borrow_mut().push(glimpse);
        }
    };
    let mut held = pin!(watching());
    let look = |held: &mut Pin<&mut _>| {
        if is_held {
            assert!(poll::<_>(held).is_none());
        } else {
            assert!(poll(&mut pin!(watching())).is_none());
        }
    };

    let mut calls: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let mut committed: Vec<Committed> = Vec::new();
    for (number, next) in MOVES.into_iter().enumerate() {
        looks.iter().filter(|at| **at == number).for_each(|_| look(&mut held));
        let mut call: Pin<Box<dyn Future<Output = ()>>> = match next {
            Move::Terminate(id) => {
                let terminate =
                    Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
                Box::pin(async move { drop(scene.engine.terminate(&key(id), terminate).await.expect("it is live")) })
            }
            Move::Purge(id) => Box::pin(async move { scene.engine.purge(&key(id), None).await.expect("it has ended") }),
            Move::Start(id) => {
                let start = scene.start();
                Box::pin(async move { drop(scene.engine.start(&key(id), start).await.expect("it is free")) })
            }
            Move::Flush => {
                let commit = scene.stepper.take_commit().expect("something waits");
                committed.push(scene.stepper.flush(commit).expect("a disk that works"));
                continue;
            }
            Move::CarryOut => {
                committed.drain(..).for_each(|committed| scene.stepper.carry_out(committed));
                continue;
            }
        };
        assert!(poll(&mut call.as_mut()).is_none(), "it waits for the disk");
        calls.push(call);
    }
    (0..20).for_each(|_| look(&mut held));

    let mut known = Known::default();
    for glimpse in seen.borrow().iter() {
        known.see(glimpse.as_ref().map_err(ToString::to_string)?)?;
    }
    let page = scene.finish(scene.engine.list(Arc::default(), Arrival(0), limits::PAGE_MAX)).expect("a page");
    let rest = page.next.map(|after| scene.finish(scene.engine.list(Arc::default(), after, limits::PAGE_MAX)));
    let rest = rest.map(|page| page.expect("a page").views).unwrap_or_default();
    let stands = |view: &View| (view.key.id().to_owned(), view.revision);
    let there: BTreeSet<_> = page.views.iter().chain(&rest).map(stands).collect();
    let known: BTreeSet<_> = known.instances.values().map(|transition| stands(&transition.view)).collect();
    if known == there { Ok(()) } else { Err(format!("{:?} differ", known.symmetric_difference(&there))) }
}

/// A watcher was told of the end of a life that it had never been shown, after all current statuses. Here three looks
/// fall between the moves in every way in which they can.
#[test]
fn what_was_gone_when_it_looked_is_not_told() {
    let end = MOVES.len();
    let looks = (0..=end).flat_map(|a| (a..=end).map(move |b| (a, b)));
    let looks = looks.flat_map(|(a, b)| (b..=end).map(move |c| [a, b, c]));
    for looks in looks {
        for is_held in [true, false] {
            if let Err(wrong) = played(0, &looks, is_held) {
                panic!("looks before the moves {looks:?}, held: {is_held}: {wrong}");
            }
        }
    }
}

/// The new life stands on the next page. It was told when it began, while a look at the first page waited, and shown again
/// when its page was read.
#[test]
fn what_stands_on_a_later_page_is_shown_once() {
    let fillers = limits::PAGE_MAX - ALL.len();
    for is_held in [true, false] {
        // It reads the page; it waits for the last one; it waits for the other one.
        if let Err(wrong) = played(fillers, &[3, 3, 7, 10], is_held) {
            panic!("held: {is_held}: {wrong}");
        }
    }
}

/// The page is read in parts. In between an id was purged and begun anew: it stood in both parts, and was shown twice.
#[test]
fn what_begins_anew_while_its_page_is_read_is_shown_once() {
    const FILLERS: usize = 300;
    let store = Arc::new(Turning { memory: Memory::new(), then: Mutex::default() });
    let scene = Scene::over(store.clone());
    let start = |id: &str| scene.finish(scene.engine.start(&key(id), scene.start())).expect("it is free");
    start(FIRST);
    (0..FILLERS).for_each(|n| drop(start(&n.to_string())));
    let other = Scene { engine: scene.engine.clone(), stepper: scene.engine.stepper(), key: key(FIRST) };
    *store.then.lock() = Some(Box::new(move || {
        let terminate = Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
        other.finish(other.engine.terminate(&other.key, terminate)).expect("it is live");
        other.finish(other.engine.purge(&other.key, None)).expect("it has ended");
        other.finish(other.engine.start(&other.key, other.start())).expect("it is free");
    }));
    let mut panorama = scene.engine.watch_many(everything()).expect("a place");
    let mut known = Known::default();
    while !known.is_synced {
        let glimpse = scene.finish(panorama.next()).expect("the watch goes on");
        known.see(&glimpse).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    assert_eq!((known.instances.len(), store.then.lock().is_none()), (FILLERS + 1, true));
}

/// A store in memory in which something happens between the first two parts of a page.
struct Turning {
    memory: Memory,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Store for Turning {
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError> {
        self.memory.claim(partitions)
    }

    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError> {
        self.memory.commit(batches)
    }

    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        let is_further = after.is_some_and(|after| after.arrival > Arrival(0));
        let then = if is_further { self.then.lock().take() } else { None };
        then.into_iter().for_each(|then| then());
        self.memory.scan(table, after, limit)
    }

    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.memory.read(table, arrival, from, limit)
    }

    fn check(&self) -> Result<(), CommitError> {
        Store::check(&self.memory)
    }

    fn close(&self) -> Result<(), CommitError> {
        self.memory.close()
    }
}
