//! How long an execution may wait for its first worker, and how long it may run.

use std::time::Duration;

use soloist::proto::v1::{self, CancelReason, ConflictPolicy};

use super::{LONG, assert_accepted, assert_cancelled, has_ended, started, wire};
use crate::support::{RawWorker, Server, start, status, until};

/// Since the epoch.
fn millis(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

#[tokio::test]
async fn an_execution_that_no_worker_takes_in_time_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let start_deadline = wire(Duration::from_millis(200));
    for (id, over_a_restart) in [("i", false), ("j", true)] {
        let request = v1::StartSingletonRequest { start_deadline, ..start("f", id) };
        client.start_singleton(request).await.expect("it is free");
        if over_a_restart {
            break;
        }
        let failed = until(&mut client, id, has_ended).await;
        assert_eq!(failed.failure.expect("it failed").error_type, "StartDeadlineExceeded");
        assert_eq!((failed.started_at, failed.attempt, failed.fencing_token), (None, 0, 0));
    }
    server.kill();
    let server = Server::start_with(folder.path(), &[], &LONG);
    let failed = until(&mut server.client().await, "j", has_ended).await;
    assert_eq!(failed.failure.expect("it failed").error_type, "StartDeadlineExceeded");
    // A worker that comes now is given nothing of them.
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 4).await;
    started(&mut client, "k").await;
    assert_eq!(worker.take().await.claim.map(|claim| claim.instance_id).as_deref(), Some("k"));
}

#[tokio::test]
async fn the_wait_for_a_lease_is_not_the_start_deadline_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut old = RawWorker::join(&server, "old", &["f"], 1).await;
    started(&mut client, "i").await;
    old.take().await;
    let start_deadline = wire(Duration::from_millis(500));
    let mut request = v1::StartSingletonRequest { start_deadline, ..start("f", "i") };
    request.set_conflict_policy(ConflictPolicy::Replace);
    let replaced = client.start_singleton(request).await.expect("it takes the place").into_inner();
    // The old worker never stops; its lease is three times as long as the deadline.
    let mut new = RawWorker::join(&server, "new", &["f"], 1).await;
    let run = new.take().await;
    assert_eq!(run.execution_id, replaced.execution_id);
    assert_accepted(&new.complete(&run, "done").await);

    // Nobody is there when the lease ends: from then on it runs.
    let mut old = RawWorker::join(&server, "old", &["g"], 1).await;
    client.start_singleton(start("g", "j")).await.expect("it is free");
    old.take().await;
    let mut request = v1::StartSingletonRequest { start_deadline, ..start("nobody's", "j") };
    request.set_conflict_policy(ConflictPolicy::Replace);
    client.start_singleton(request).await.expect("it takes the place");
    assert_eq!(old.cancel().await.reason(), CancelReason::Replaced);
    assert_eq!(old.cancel().await.reason(), CancelReason::LeaseLost);
    let failed = until(&mut client, "j", has_ended).await;
    let waited = millis(failed.completed_at) - millis(failed.created_at);
    assert!(waited > 1_200, "it failed after {waited} ms: the wait for the lease was counted");
    assert_eq!(failed.failure.expect("it failed").error_type, "StartDeadlineExceeded");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run_timeout = wire(Duration::from_millis(300));
    client.start_singleton(v1::StartSingletonRequest { run_timeout, ..start("f", "i") }).await.expect("it is free");
    let run = worker.take().await;
    let granted = status(&mut client, "i").await.started_at.expect("it was granted");
    let allowed = millis(run.deadline) - millis(Some(granted));
    assert!((290..=310).contains(&allowed), "{allowed} ms from the first grant");

    let cancel = worker.cancel().await;
    assert_eq!((cancel.reason(), cancel.claim.as_ref()), (CancelReason::TimedOut, run.claim.as_ref()));
    let failed = status(&mut client, "i").await;
    assert_eq!(failed.failure.expect("it failed").error_type, "RunTimeoutExceeded");
    assert_eq!(failed.worker, "w", "decided, not stopped");
    assert_cancelled(&worker.complete(&run, "late").await, CancelReason::TimedOut);
    started(&mut client, "i").await;
    assert_accepted(&worker.give_back(&run).await);
    worker.take().await;
}

#[tokio::test]
async fn a_run_times_out_between_its_attempts_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    let retry =
        v1::RetryPolicy { max_attempts: 9, initial_backoff: wire(Duration::from_secs(600)), ..Default::default() };
    let run_timeout = wire(Duration::from_millis(400));
    for id in ["i", "j"] {
        let retry = if id == "i" { Some(retry) } else { super::attempts(9) };
        let request = v1::StartSingletonRequest { run_timeout, retry, ..start("f", id) };
        client.start_singleton(request).await.expect("it is free");
        let run = worker.take().await;
        assert_accepted(&worker.fail(&run, "no", false).await);
        if id == "j" {
            // The second attempt has what the first one left.
            let again = worker.take().await;
            assert_eq!(again.attempt, 2);
            let off = millis(again.deadline) - millis(run.deadline);
            assert!(off.abs() < 50, "the deadline has moved by {off} ms");
            assert_eq!(worker.cancel().await.reason(), CancelReason::TimedOut);
        }
        let failed = until(&mut client, id, has_ended).await;
        assert_eq!(failed.failure.expect("it failed").error_type, "RunTimeoutExceeded");
    }
}
