//! Lists and watches of very many instances, over the real store: no page takes long, and none is too many.
#![cfg(feature = "server")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use soloist::{
    clock::{Clock, SystemClock},
    core::{
        event::Event,
        filter::Filter,
        ids::{Arrival, ExecutionId, InstanceId, InstanceKey, Name, Revision, TaskHub},
        instance::Instance,
        lease::Cancellation,
        partitioning::PartitionId,
        policy::{RetryPolicy, WorkerKind},
        status::{Spec, Status},
        time::Span,
    },
    engine::{
        Config, Engine,
        watch::{Glimpse, Wanted},
    },
    entropy::SystemEntropy,
    store::{
        Batch, RowKey, Store, Table, Write,
        embedded::{self, Embedded},
        record,
    },
};

/// Instances that the store is filled with in one commit.
const COMMIT: u64 = 10_000;
/// Every so many are of the rare function, and of the rare tag.
const RARE: u64 = 10_000;

/// A store with so many instances, the first half of which has ended, and an engine over it.
fn engine(folder: &Path, instances: u64) -> Engine {
    let store = Embedded::open(embedded::Config::new(folder)).expect("a new store");
    fill(&store, instances);
    let config = Config {
        lease_ttl: Span::from_secs(15),
        turn_ttl: Span::from_secs(300),
        request_memory: Span::from_secs(86_400),
        retention: None,
        watchers_max: 10,
        workers_max: 10,
    };
    let engine = Engine::recover(config, Arc::new(store), Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    engine.expect("the store can be taken over")
}

fn fill(store: &Embedded, instances: u64) {
    let now = SystemClock::new().now();
    let (common, rare) = (spec("common", "blue"), spec("rare", "red"));
    let partitions: Vec<PartitionId> = PartitionId::all().collect();
    let claims = store.claim(&partitions).expect("claims");
    let mut batches: BTreeMap<PartitionId, Batch> = BTreeMap::new();
    for claim in claims {
        let (partition, epoch, sequence, revision) = (claim.partition, claim.epoch, claim.sequence, claim.revision);
        batches.insert(partition, Batch { partition, epoch, sequence, revision, writes: Vec::new() });
    }
    for number in 1..=instances {
        let id = InstanceId::parse(&format!("instance-{number:08}")).expect("an id");
        let key = InstanceKey::new(&TaskHub::default(), &id);
        let batch = batches.get_mut(&PartitionId::of(&key)).expect("every partition has one");
        let spec = if number.is_multiple_of(RARE) { &rare } else { &common };
        let (arrival, execution) = (Arrival(number), ExecutionId(u128::from(number).to_be_bytes()));
        let mut next = || {
            batch.revision = Revision(batch.revision.0 + 1);
            batch.revision
        };
        let mut instance = Instance::create(arrival, execution, spec, None, next(), now);
        if number <= instances / 2 {
            let ended =
                Event::ExecutionTerminated { reason: "".into(), output: None, cancellation: Cancellation::Terminated };
            instance.apply(&ended, next(), now);
        }
        let bytes = record::encode_instance(&key, &instance);
        batch.writes.push(Write::Put { table: Table::Record, key: RowKey { arrival, number: 0 }, bytes });
        if number.is_multiple_of(COMMIT) || number == instances {
            let commit: Vec<Batch> = batches
                .values_mut()
                .filter(|batch| !batch.writes.is_empty())
                .map(|batch| {
                    batch.sequence += 1;
                    Batch { writes: std::mem::take(&mut batch.writes), ..*batch }
                })
                .collect();
            store.commit(&commit).expect("committed");
        }
    }
}

fn spec(function: &str, team: &str) -> Arc<Spec> {
    Arc::new(Spec {
        function: Name::parse(function).expect("a name"),
        version: Some("1".into()),
        tags: BTreeMap::from([("team".into(), team.into()), ("size".into(), "large".into())]),
        worker_kind: WorkerKind::Any,
        retry: RetryPolicy { max_attempts: 1, initial_backoff: Span::ZERO, max_backoff: Span::ZERO, multiplier: 2.0 },
        start_deadline: None,
        run_timeout: None,
        start_at: None,
        parent: None,
        trace: None,
    })
}

/// The whole list: how many were found, in how many pages, and how long the longest took.
async fn list(engine: &Engine, filter: Filter, limit: usize) -> (u64, u32, Duration) {
    let filter = Arc::new(Filter { hub: Some(TaskHub::default()), ..filter });
    let (mut found, mut pages, mut longest, mut next) = (0, 0, Duration::ZERO, Some(Arrival(0)));
    let mut last_key = None;
    while let Some(after) = next {
        let begun = Instant::now();
        let page = engine.list(filter.clone(), after, limit).await.expect("a page");
        longest = longest.max(begun.elapsed());
        for view in page.views {
            // The ids rise with the arrivals.
            assert!(last_key.replace(view.key.clone()).is_none_or(|last| last < view.key), "each once");
            found += 1;
        }
        pages += 1;
        next = page.next;
    }
    (found, pages, longest)
}

async fn look_through(instances: u64, page_max: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let engine = engine(folder.path(), instances);
    println!("{instances} instances made and recovered in {:?}", begun.elapsed());
    let function = |name: &str| Some(Name::parse(name).expect("a name"));
    let tags = |team: &str| BTreeMap::from([("team".to_string(), team.to_string())]);
    let cases = [
        ("all", Filter::default(), 1_000, instances),
        ("none, by prefix", Filter { id_prefix: "x".into(), ..Filter::default() }, 100, 0),
        ("none, by function", Filter { function: function("none"), ..Filter::default() }, 100, 0),
        ("few, by function", Filter { function: function("rare"), ..Filter::default() }, 100, instances / RARE),
        ("few, by tag", Filter { tags: tags("red"), ..Filter::default() }, 100, instances / RARE),
        ("half, by status", Filter { statuses: vec![Status::Pending], ..Filter::default() }, 1_000, instances / 2),
    ];
    for (what, filter, limit, expected) in cases {
        let begun = Instant::now();
        let (found, pages, longest) = list(&engine, filter, limit).await;
        println!("{what}: {found} in {pages} pages and {:?}, the longest page {longest:?}", begun.elapsed());
        assert_eq!(found, expected, "{what}");
        assert!(longest < page_max, "{what}: a page took {longest:?}");
    }

    let begun = Instant::now();
    let filter = Filter { hub: Some(TaskHub::default()), ..Filter::default() };
    let mut watch = engine.watch_many(Wanted::Pattern(TaskHub::default(), Arc::new(filter))).expect("a watch");
    let mut shown = 0;
    loop {
        match watch.next().await.expect("it goes on") {
            Glimpse::Current(_) => shown += 1,
            Glimpse::Synced => break,
            other => panic!("nothing happens: {other:?}"),
        }
    }
    println!("a watch had shown all of them after {:?}", begun.elapsed());
    assert_eq!(shown, instances);
}

/// A busy machine may hold any page up; without optimisation a page is as long as it is, but not as long as all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_page_of_a_long_list_takes_long() {
    look_through(50_000, Duration::from_secs(2)).await;
}

/// `cargo test --release --test scale -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes minutes without --release"]
async fn no_page_of_a_million_takes_long() {
    look_through(1_000_000, Duration::from_millis(100)).await;
}
