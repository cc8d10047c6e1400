//! What the server as a whole takes: watchers, workers, events and remembered requests.

use std::{sync::Arc, time::Duration};

use soloist::proto::v1::{
    self, ConflictPolicy, StartOutcome, work_request::Message as Say, work_response::Message as Heard,
};
use tokio::sync::Barrier;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Client, RawWorker, Server, error_info, start, value};

/// Asserts that a bound was met, by its reason, and that the caller is told when to try again.
fn assert_exhausted(status: &Status, reason: &str) {
    assert_eq!((status.code(), error_info(status).reason.as_str()), (Code::ResourceExhausted, reason));
    let retry = status.get_error_details().retry_info().cloned().expect("a RetryInfo");
    assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()), "{retry:?}");
}

/// Waits for what the server does by and by; panics if it does not.
async fn in_time<F: Future>(waiting: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("a place becomes free")
}

async fn watch(client: &mut Client) -> Result<tonic::Streaming<v1::WatchStatusResponse>, Status> {
    let request = v1::WatchStatusRequest { instance_id: "a".into(), ..Default::default() };
    client.watch_status(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn one_watcher_too_many_is_told_to_come_later_and_finds_the_place_of_one_that_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--watchers-max", "3"], &[]);
    let mut client = server.client().await;
    client.start_singleton(start("f", "a")).await.expect("started");
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(watch(&mut client).await.expect("a place"));
    }
    let refused = watch(&mut client).await.expect_err("there are three");
    assert_exhausted(&refused, "TOO_MANY");
    assert_eq!(value(&error_info(&refused), "limit"), "watchers");
    // Who watches goes on watching, and other calls are taken.
    for watch in &mut watches {
        assert_eq!(watch.message().await.expect("an item").expect("an item").sequence, 1);
    }
    crate::support::status(&mut client, "a").await;

    drop(watches.pop());
    // The server hears of it by and by.
    let found = in_time(async {
        loop {
            match watch(&mut client).await {
                Ok(found) => break found,
                Err(status) => assert_exhausted(&status, "TOO_MANY"),
            }
        }
    });
    let found = found.await;
    assert_exhausted(&watch(&mut client).await.expect_err("three again"), "TOO_MANY");
    drop((found, watches));
}

/// A worker's stream, if the server takes one more.
async fn join(server: &Server) -> Result<RawWorker, Status> {
    RawWorker::try_come_back(server, "w", &["f"], 1, Vec::new()).await
}

#[tokio::test]
async fn one_worker_too_many_is_told_to_come_later_and_finds_the_place_of_one_that_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--workers-max", "2"], &[]);
    let mut client = server.client().await;
    let first = join(&server).await.expect("a place");
    let mut second = join(&server).await.expect("a place");
    let refused = join(&server).await.err().expect("there are two");
    assert_exhausted(&refused, "TOO_MANY");
    assert_eq!(value(&error_info(&refused), "limit"), "workers");

    drop(first);
    let third = in_time(async {
        loop {
            match join(&server).await {
                Ok(worker) => break worker,
                Err(status) => assert_exhausted(&status, "TOO_MANY"),
            }
        }
    });
    drop(third.await);
    client.start_singleton(start("f", "a")).await.expect("started");
    let run = second.take().await;
    second.complete(&run, "1").await;
}

/// Each comes with runs to be looked up, so that there is time between its coming and its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_workers_at_once_no_more_are_seated_than_there_are_places() {
    const COMING: usize = 16;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Arc::new(Server::start_with(folder.path(), &["--lease", "5m", "--workers-max", "3"], &[]));
    let claim = |n: usize| v1::Claim { instance_id: n.to_string(), fencing_token: 1, claim_id: vec![0; 16] };
    let held: Vec<v1::Claim> = (0..5000).map(claim).collect();
    let barrier = Arc::new(Barrier::new(COMING));
    let coming = (0..COMING).map(|_| {
        let (server, barrier, held) = (server.clone(), barrier.clone(), held.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            RawWorker::try_come_back(&server, "w", &["f"], 1, held).await
        })
    });
    let coming: Vec<_> = coming.collect();
    let mut seated = Vec::new();
    for worker in coming {
        match worker.await.expect("it does not panic") {
            Ok(worker) => seated.push(worker),
            Err(status) => assert_exhausted(&status, "TOO_MANY"),
        }
    }
    assert_eq!(seated.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_wait_for_a_worker_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    client.start_singleton(start("f", "a")).await.expect("started");
    let raise = |n: usize| v1::RaiseEventRequest {
        instance_id: "a".into(),
        name: "e".into(),
        input: Some(n.to_string()),
        ..Default::default()
    };
    for n in 1..=1000 {
        let raised = client.raise_event(raise(n)).await.expect("there is room").into_inner();
        assert_eq!(raised.sequence, n as u64);
    }
    let refused = client.raise_event(raise(1001)).await.expect_err("there is none");
    assert_exhausted(&refused, "TOO_MANY_EVENTS");
    assert!(refused.message().contains("1000 events"), "{}", refused.message());

    // All are delivered in order, and each that the worker confirms makes room for one.
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.run().await;
    worker.say(Say::Accept(v1::Accept { claim: run.claim.clone() })).await;
    // The answer to Accept comes before, between or after them.
    let (mut next, mut accepted) = (1, false);
    while next <= 1000 || !accepted {
        match worker.hear().await {
            Heard::Event(event) => {
                assert_eq!((event.sequence, event.input), (next, Some(next.to_string())));
                next += 1;
            }
            Heard::Accepted(_) => accepted = true,
            other => panic!("no event: {other:?}"),
        }
    }
    let acked = worker.ask(Say::EventsAcked(v1::EventsAcked { claim: run.claim, sequence: 2 })).await;
    assert!(matches!(acked, Heard::Accepted(_)), "{acked:?}");
    for n in 1001..=1002 {
        client.raise_event(raise(n)).await.expect("room for two");
    }
    assert_exhausted(&client.raise_event(raise(1003)).await.expect_err("full again"), "TOO_MANY_EVENTS");
}

#[tokio::test]
async fn the_newest_thousand_request_ids_are_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let request = |n: usize| v1::StartSingletonRequest {
        request_id: format!("r-{n}"),
        conflict_policy: ConflictPolicy::UseExisting.into(),
        ..start("f", "a")
    };
    for n in 0..1000 {
        let expected = if n == 0 { StartOutcome::Started } else { StartOutcome::Joined };
        let told = client.start_singleton(request(n)).await.expect("accepted").into_inner();
        assert_eq!(told.outcome(), expected, "{n}");
    }
    for (n, expected) in [
        (0, StartOutcome::Deduplicated),
        // One more, and the oldest is forgotten: only that one.
        (1000, StartOutcome::Joined),
        (1, StartOutcome::Deduplicated),
        (0, StartOutcome::Joined),
        (1, StartOutcome::Joined),
        (3, StartOutcome::Deduplicated),
    ] {
        let told = client.start_singleton(request(n)).await.expect("accepted").into_inner();
        assert_eq!(told.outcome(), expected, "{n}");
    }
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    for (n, expected) in
        [(3, StartOutcome::Deduplicated), (1000, StartOutcome::Deduplicated), (2, StartOutcome::Joined)]
    {
        let told = client.start_singleton(request(n)).await.expect("accepted").into_inner();
        assert_eq!(told.outcome(), expected, "{n} after a restart");
    }
}
