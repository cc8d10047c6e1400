//! Clients that open streams and never read: the server does not keep for them what they don't take.

use std::thread;

use soloist::proto::v1::{
    self, orchestration_service_client::OrchestrationServiceClient, work_request::Message as Say,
    work_response::Message as Heard, worker_service_client::WorkerServiceClient,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use super::{assert_works, in_time};
use crate::support::{Client, RawWorker, Server, start};

/// A client on a runtime of its own that stands still between its calls, so that nothing is read from its connection.
struct Frozen<T> {
    runtime: Runtime,
    streams: Vec<T>,
}

impl<T> Frozen<T> {
    /// Opens streams, then stands still.
    fn open<F: Future<Output = Vec<T>>>(open: impl FnOnce() -> F) -> Frozen<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let streams = runtime.block_on(open());
        Frozen { runtime, streams }
    }
}

impl<T> Drop for Frozen<T> {
    fn drop(&mut self) {
        // The streams' ends are told on the runtime that they came from.
        let _entered = self.runtime.enter();
        self.streams.clear();
    }
}

async fn channel(address: String) -> tonic::transport::Channel {
    Endpoint::from_shared(address).expect("an address").connect().await.expect("the server takes connections")
}

fn frozen_watchers(server: &Server, id: &'static str, count: usize) -> Frozen<Streaming<v1::WatchStatusResponse>> {
    let address = server.address.clone();
    Frozen::open(|| async move {
        let mut client = OrchestrationServiceClient::new(channel(address).await);
        let mut streams = Vec::new();
        for _ in 0..count {
            let request = v1::WatchStatusRequest { instance_id: id.into(), wait_for_start: true, ..Default::default() };
            streams.push(client.watch_status(request).await.expect("a watch").into_inner());
        }
        streams
    })
}

type Stuck = (Streaming<v1::WorkResponse>, mpsc::Sender<v1::WorkRequest>);

/// Workers that take `runs` runs each, and nothing after.
fn frozen_workers(server: &Server, count: usize, runs: u32) -> Frozen<Stuck> {
    let address = server.address.clone();
    Frozen::open(|| async move {
        let mut streams = Vec::new();
        for number in 0..count {
            let mut client = WorkerServiceClient::new(channel(address.clone()).await);
            let (say, saying) = mpsc::channel(4);
            let register = v1::Register {
                worker_name: format!("w-{number}"),
                functions: vec!["stuck".into()],
                max_runs: runs,
                held: Vec::new(),
            };
            let register = v1::WorkRequest { sequence: 1, message: Some(Say::Register(register)) };
            say.send(register).await.expect("there is room");
            let mut hear = client.work(ReceiverStream::new(saying)).await.expect("a stream").into_inner();
            // Registered, then the runs.
            for _ in 0..=runs {
                hear.message().await.expect("the stream goes on").expect("the stream does not end");
            }
            streams.push((hear, say));
        }
        streams
    })
}

const WATCHERS: usize = 400;
const TRANSITIONS: usize = 2000;
/// Reports whose answers are awaited together.
const UNDER_WAY: usize = 50;
const INSTANCES: usize = 8;
const EVENTS: usize = 500;
const EVENT_BYTES: usize = 16 << 10;
/// Kept for each stream, the transitions would be some 200 MB and the events 64 MB. A stream costs 45 kB for a watcher
/// and 1.6 MB for a worker with such events in a debug build, however many there are of them.
const GROWTH_KIB_MAX: u64 = 48 << 10;

fn stuck(round: &str, n: usize) -> String {
    format!("{round}-stuck-{n}")
}

async fn begin(client: &mut Client, round: &str) {
    for n in 0..INSTANCES {
        client.start_singleton(start("stuck", &stuck(round, n))).await.expect("started");
    }
    client.start_singleton(start("busy", round)).await.expect("started");
}

/// Thousands of transitions of one instance, and of events for others.
async fn load(server: &Server, round: &'static str) {
    let mut raising = Vec::new();
    for n in 0..INSTANCES {
        let mut client = server.client().await;
        raising.push(tokio::spawn(async move {
            for _ in 0..EVENTS {
                let request = v1::RaiseEventRequest {
                    instance_id: stuck(round, n),
                    name: "e".into(),
                    input: Some("p".repeat(EVENT_BYTES)),
                    ..Default::default()
                };
                in_time("an event", client.raise_event(request)).await.expect("raised");
            }
        }));
    }
    let mut worker = RawWorker::join(server, "w", &["busy"], 1).await;
    let run = worker.take().await;
    for n in (0..TRANSITIONS).step_by(UNDER_WAY) {
        for n in n..n + UNDER_WAY {
            let progress = v1::Progress { claim: run.claim.clone(), custom_status: Some(n.to_string()) };
            worker.say(Say::Progress(progress)).await;
        }
        for _ in 0..UNDER_WAY {
            let answer = in_time("a report", worker.hear()).await;
            assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");
        }
    }
    for raising in raising {
        raising.await.expect("all are raised");
    }
    worker.complete(&run, "1").await;
}

/// Both kinds of streams, thousands of transitions and of events, and nobody who reads them. What the server keeps for
/// itself, such as pages of its store, it has after a first round that nobody watches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads_cost_little_and_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--drain-timeout", "1s"], &[]);
    let mut client = server.client().await;
    begin(&mut client, "first").await;
    load(&server, "first").await;
    for n in 0..INSTANCES {
        let end = v1::TerminateInstanceRequest { instance_id: stuck("first", n), ..Default::default() };
        client.terminate_instance(end).await.expect("terminated");
    }
    let before = server.resident_kib();

    begin(&mut client, "second").await;
    let frozen = thread::scope(|scope| {
        let watchers = scope.spawn(|| frozen_watchers(&server, "second", WATCHERS));
        let workers = scope.spawn(|| frozen_workers(&server, INSTANCES, 1));
        (watchers.join().expect("watchers"), workers.join().expect("workers"))
    });
    load(&server, "second").await;
    assert_works(&server, "meanwhile").await;
    let growth = server.resident_kib().saturating_sub(before);
    println!("from {before} KiB by {growth} KiB");
    assert!(growth < GROWTH_KIB_MAX, "from {before} KiB by {growth} KiB");

    // Nor is the server held up when it ends.
    let (ended, said) = server.stop().await;
    assert!(ended.success() && !said.contains("panicked"), "{said}");
    tokio::task::spawn_blocking(|| drop(frozen)).await.expect("the frozen ones go");
}
