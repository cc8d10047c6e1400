//! Suspended before a worker has it: it is not handed out, and its start deadline stands still.

use std::time::Duration;

use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus};

use super::{after, id_of, is_given_only, micros, resumed, seen, suspended, watch};
use crate::{
    leases::{LONG, assert_accepted, has_ended, started, terminated, wire},
    support::{RawWorker, Server, start, status, until},
};

#[tokio::test]
async fn a_suspended_start_is_handed_out_when_it_is_resumed() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        started(&mut client, "i").await;
        let held = suspended(&mut client, "i").await;
        assert_eq!((held.runtime_status(), held.pending_reason.as_str()), (RuntimeStatus::Suspended, "suspended"));
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
        is_given_only(&mut client, &mut worker, "j").await;
        let held = status(&mut client, "i").await;
        assert_eq!((held.runtime_status(), held.attempt, held.started_at), (RuntimeStatus::Suspended, 0, None));
        // Whoever resumes it may find it granted at once.
        resumed(&mut client, "i").await;
        assert_eq!(id_of(&worker.take().await), "i");
        let mut watching = watch(&mut client, after("i", 0)).await;
        for expected in
            [RuntimeStatus::Pending, RuntimeStatus::Suspended, RuntimeStatus::Pending, RuntimeStatus::Running]
        {
            assert_eq!(seen(&mut watching).await.runtime_status(), expected);
        }
    }
}

#[tokio::test]
async fn what_was_offered_is_withdrawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let busy = is_given_only(&mut client, &mut worker, "busy").await;
    started(&mut client, "i").await;
    started(&mut client, "j").await;
    suspended(&mut client, "i").await;
    // It was the first to wait for the worker's place.
    assert_accepted(&worker.complete(&busy, "done").await);
    let next = worker.take().await;
    assert_eq!(id_of(&next), "j");
    resumed(&mut client, "i").await;
    let waiting = status(&mut client, "i").await;
    assert_eq!(waiting.pending_reason, "waiting for a worker of function 'f' that has room");
    assert_accepted(&worker.complete(&next, "done").await);
    assert_eq!(id_of(&worker.take().await), "i");
}

#[tokio::test]
async fn the_start_deadline_stands_still() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let deadline = |millis| wire(Duration::from_millis(millis));
        let request = v1::StartSingletonRequest { start_deadline: deadline(900), ..start("f", "i") };
        client.start_singleton(request).await.expect("it is free");
        let held = suspended(&mut client, "i").await;
        // Later than the deadline would have been.
        let request = v1::StartSingletonRequest { start_deadline: deadline(950), ..start("f", "j") };
        client.start_singleton(request).await.expect("it is free");
        until(&mut client, "j", has_ended).await;
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        let waiting = resumed(&mut client, "i").await;
        assert_eq!(waiting.runtime_status(), RuntimeStatus::Pending);
        let failed = until(&mut client, "i", has_ended).await;
        assert_eq!(failed.failure.as_ref().map(|f| f.error_type.as_str()), Some("StartDeadlineExceeded"));
        let before = micros(held.last_updated_at) - micros(held.created_at);
        let then = micros(failed.completed_at) - micros(waiting.last_updated_at);
        assert!(before + then >= 890_000, "it failed after {before} and {then} µs");
    }
}

#[tokio::test]
async fn a_suspended_replacement_waits_for_both_the_lease_and_the_resume() {
    for lease_first in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut old = RawWorker::join(&server, "old", &["f"], 1).await;
        started(&mut client, "i").await;
        let run = old.take().await;
        let mut request = start("f", "i");
        request.set_conflict_policy(ConflictPolicy::Replace);
        let next = client.start_singleton(request).await.expect("it takes the place").into_inner();
        // The worker that holds the lease is none of this execution's.
        assert_eq!(suspended(&mut client, "i").await.pending_reason, "suspended");
        old.cancel().await;
        let mut new = RawWorker::join(&server, "new", &["f"], 2).await;
        if lease_first {
            assert_accepted(&old.give_back(&run).await);
            old = RawWorker::join(&server, "old", &["nobody's"], 1).await;
        } else {
            assert_eq!(resumed(&mut client, "i").await.worker, "old");
        }
        is_given_only(&mut client, &mut new, "j").await;
        let waiting = status(&mut client, "i").await;
        assert_eq!((waiting.attempt, waiting.started_at), (0, None));
        if lease_first {
            resumed(&mut client, "i").await;
        } else {
            assert_accepted(&old.give_back(&run).await);
        }
        let handed_out = tokio::select! { run = new.run() => run, run = old.run() => run };
        assert_eq!(handed_out.execution_id, next.execution_id);
    }
}

#[tokio::test]
async fn what_is_suspended_can_be_terminated() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    started(&mut client, "i").await;
    suspended(&mut client, "i").await;
    let ended = terminated(&mut client, "i").await;
    assert_eq!((ended.runtime_status(), ended.pending_reason.as_str()), (RuntimeStatus::Terminated, ""));
    // The next one is not suspended.
    started(&mut client, "i").await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    worker.take().await;
}
