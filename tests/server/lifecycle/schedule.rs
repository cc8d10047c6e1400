//! Starts that are scheduled: not handed out before their time.

use std::time::Duration;

use soloist::proto::v1::{self, RuntimeStatus};

use super::{from_now, id_of, is_given_only, micros, queued, resumed, suspended};
use crate::{
    leases::{LONG, assert_accepted, has_ended, started, terminated, wire},
    support::{Client, RawWorker, Server, start, status, until},
};

/// Starts an instance of `f` so many milliseconds ahead.
async fn scheduled(client: &mut Client, id: &str, millis: i64) -> v1::StartSingletonResponse {
    let request = v1::StartSingletonRequest { start_at: from_now(millis), ..start("f", id) };
    client.start_singleton(request).await.expect("it is free").into_inner()
}

fn assert_not_early(status: &v1::InstanceStatus) {
    let (scheduled, started) = (micros(status.scheduled_start_at), micros(status.started_at));
    assert!(started >= scheduled, "handed out {} µs early", scheduled - started);
}

#[tokio::test]
async fn a_scheduled_start_waits_for_its_time() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
        let waiting = scheduled(&mut client, "i", 900).await.status.expect("a status");
        assert_eq!(waiting.runtime_status(), RuntimeStatus::Pending);
        assert!(waiting.pending_reason.starts_with("scheduled for 20"), "{}", waiting.pending_reason);
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            worker = RawWorker::join(&server, "w", &["f"], 2).await;
        } else {
            is_given_only(&mut client, &mut worker, "j").await;
        }
        assert_eq!(id_of(&worker.take().await), "i");
        let running = status(&mut client, "i").await;
        assert_eq!(running.scheduled_start_at, waiting.scheduled_start_at);
        assert_not_early(&running);
    }
}

#[tokio::test]
async fn a_time_that_has_passed_means_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let waiting = scheduled(&mut client, "i", -60_000).await.status.expect("a status");
    assert_eq!(waiting.pending_reason, "no worker has registered function 'f'");
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    assert_eq!(id_of(&worker.take().await), "i");
    assert_not_early(&status(&mut client, "i").await);
}

#[tokio::test]
async fn the_start_deadline_counts_from_then() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let start_deadline = wire(Duration::from_millis(200));
        let request = v1::StartSingletonRequest { start_at: from_now(400), start_deadline, ..start("f", "i") };
        client.start_singleton(request).await.expect("it is free");
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        let failed = until(&mut client, "i", has_ended).await;
        assert_eq!(failed.failure.as_ref().map(|f| f.error_type.as_str()), Some("StartDeadlineExceeded"));
        let waited = micros(failed.completed_at) - micros(failed.scheduled_start_at);
        assert!(waited >= 195_000, "it failed {waited} µs after its time");
    }
}

#[tokio::test]
async fn a_scheduled_start_can_be_terminated() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    scheduled(&mut client, "i", 3_600_000).await;
    let ended = terminated(&mut client, "i").await;
    assert_eq!((ended.runtime_status(), ended.pending_reason.as_str()), (RuntimeStatus::Terminated, ""));
    // The next one is not scheduled.
    let next = started(&mut client, "i").await;
    assert_eq!(worker.take().await.execution_id, next.execution_id);
    assert_eq!(status(&mut client, "i").await.scheduled_start_at, None);
}

#[tokio::test]
async fn the_queue_waits_behind_a_scheduled_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    let first = scheduled(&mut client, "i", 300).await;
    let second = queued(&mut client, "i").await;
    assert_eq!((second.outcome(), second.queue_position), (v1::StartOutcome::Queued, 1));
    let run = worker.take().await;
    assert_eq!(run.execution_id, first.execution_id);
    assert_not_early(&status(&mut client, "i").await);
    assert_accepted(&worker.complete(&run, "done").await);
    assert_eq!(worker.take().await.execution_id, second.execution_id);

    // A scheduled start that waits in the queue waits for both.
    let mut request = v1::StartSingletonRequest { start_at: from_now(600), ..start("f", "j") };
    let run = is_given_only(&mut client, &mut worker, "j").await;
    request.set_conflict_policy(v1::ConflictPolicy::Queue);
    client.start_singleton(request).await.expect("the queue has room");
    assert_accepted(&worker.complete(&run, "done").await);
    let next = worker.take().await;
    assert_eq!(id_of(&next), "j");
    assert_not_early(&status(&mut client, "j").await);
}

#[tokio::test]
async fn a_suspended_one_waits_for_the_resume_and_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 3).await;
    // Resumed before its time, and after it.
    scheduled(&mut client, "early", 900).await;
    suspended(&mut client, "early").await;
    let waiting = resumed(&mut client, "early").await;
    assert!(waiting.pending_reason.starts_with("scheduled for "), "{}", waiting.pending_reason);
    scheduled(&mut client, "late", 800).await;
    assert_eq!(suspended(&mut client, "late").await.pending_reason, "suspended");
    assert_eq!(id_of(&worker.take().await), "early");
    assert_not_early(&status(&mut client, "early").await);
    // That is later still, so its time has come.
    scheduled(&mut client, "last", 900).await;
    assert_eq!(id_of(&worker.take().await), "last");
    assert_eq!(status(&mut client, "late").await.runtime_status(), RuntimeStatus::Suspended);
    resumed(&mut client, "late").await;
    assert_eq!(id_of(&worker.take().await), "late");
}
