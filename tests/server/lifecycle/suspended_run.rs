//! Suspended while a worker runs it: it is told, keeps its lease, may report, and gets no events.

use std::time::Duration;

use soloist::proto::v1::{
    self, CancelReason, RuntimeStatus, work_request::Message as Say, work_response::Message as Heard,
};

use super::{continue_as_new, events, id_of, is_given_only, micros, progress, resumed, status_of, suspended, token_of};
use crate::{
    leases::{LONG, assert_accepted, assert_cancelled, attempts, has_ended, raised, started, terminated, wire},
    support::{Client, RawWorker, Server, start, status, until},
};

/// A run of `i`, with attempts enough, that `w` has taken on.
async fn running(server: &Server) -> (Client, RawWorker, v1::Run) {
    let mut client = server.client().await;
    let mut worker = RawWorker::join(server, "w", &["f"], 2).await;
    client.start_singleton(v1::StartSingletonRequest { retry: attempts(9), ..start("f", "i") }).await.expect("free");
    let run = worker.take().await;
    (client, worker, run)
}

#[tokio::test]
async fn events_are_held_and_reports_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut worker, run) = running(&server).await;
    raised(&mut client, "i", "e", "1").await;
    assert_eq!(events(&mut worker, &run, 1).await, [1]);
    let held = suspended(&mut client, "i").await;
    assert_eq!((held.runtime_status(), held.worker.as_str(), held.attempt), (RuntimeStatus::Suspended, "w", 1));
    assert!(held.lease_expires_at.is_some() && held.pending_reason.is_empty(), "{held:?}");
    assert_eq!(worker.pace().await, (true, run.claim.clone()));
    // More than are read at a time. Nothing else comes before the answers.
    for number in 2..=20 {
        assert_eq!(raised(&mut client, "i", "e", "2").await, number);
    }
    progress(&mut worker, &run, "half").await;
    let acked = v1::EventsAcked { claim: run.claim.clone(), sequence: 1 };
    assert_accepted(&worker.ask(Say::EventsAcked(acked)).await);
    assert_eq!(worker.heartbeat(&run.claim.clone().into_iter().collect::<Vec<_>>()).await.len(), 1);
    let held = status(&mut client, "i").await;
    assert_eq!((held.runtime_status(), held.custom_status.as_deref()), (RuntimeStatus::Suspended, Some("half")));

    let resumed = resumed(&mut client, "i").await;
    assert_eq!((resumed.runtime_status(), resumed.attempt), (RuntimeStatus::Running, 1));
    assert_eq!(worker.pace().await, (false, run.claim.clone()));
    assert_eq!(events(&mut worker, &run, 19).await, Vec::from_iter(2..=20));
    // Its end is taken while it is suspended, too.
    suspended(&mut client, "i").await;
    assert!(worker.pace().await.0);
    assert_accepted(&worker.complete(&run, "done").await);
    let done = status(&mut client, "i").await;
    assert_eq!((done.runtime_status(), done.output.as_deref()), (RuntimeStatus::Completed, Some("done")));
}

#[tokio::test]
async fn twice_is_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut worker, run) = running(&server).await;
    let before = status(&mut client, "i").await;
    assert_eq!(resumed(&mut client, "i").await.revision, before.revision, "it is not suspended");
    let first = suspended(&mut client, "i").await;
    assert!(first.revision > before.revision);
    assert_eq!(suspended(&mut client, "i").await.revision, first.revision);
    let first = resumed(&mut client, "i").await;
    assert_eq!(resumed(&mut client, "i").await.revision, first.revision);
    assert_eq!([worker.pace().await.0, worker.pace().await.0], [true, false]);
    // Nothing else was said before this is answered.
    progress(&mut worker, &run, "half").await;
}

#[tokio::test]
async fn heartbeats_keep_the_lease() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut worker, run) = running(&server).await;
    let granted = micros(suspended(&mut client, "i").await.lease_expires_at);
    worker.pace().await;
    let claims: Vec<v1::Claim> = run.claim.clone().into_iter().collect();
    let mut pulse = tokio::time::interval(Duration::from_millis(100));
    // Until it was renewed when the first one would have been over.
    while micros(status(&mut client, "i").await.lease_expires_at) < granted + 1_500_000 {
        pulse.tick().await;
        assert_eq!(worker.heartbeat(&claims).await, claims);
    }
    let held = status(&mut client, "i").await;
    assert_eq!((held.runtime_status(), held.attempt), (RuntimeStatus::Suspended, 1));
}

#[tokio::test]
async fn a_lost_attempt_is_followed_by_the_next_one_after_the_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut lost, run) = running(&server).await;
    raised(&mut client, "i", "e", "1").await;
    assert_eq!(events(&mut lost, &run, 1).await, [1]);
    suspended(&mut client, "i").await;
    raised(&mut client, "i", "e", "2").await;
    lost.pace().await;
    // It falls silent.
    assert_eq!(lost.cancel().await.reason(), CancelReason::LeaseLost);
    let mut worker = RawWorker::join(&server, "other", &["f"], 2).await;
    let other = is_given_only(&mut client, &mut worker, "j").await;
    assert_accepted(&worker.complete(&other, "done").await);
    let held = status(&mut client, "i").await;
    assert_eq!((held.runtime_status(), held.worker.as_str()), (RuntimeStatus::Suspended, ""));
    assert_eq!(held.pending_reason, "suspended");
    resumed(&mut client, "i").await;
    let next = worker.run().await;
    assert_eq!((id_of(&next), next.attempt, &next.execution_id), ("i", 2, &run.execution_id));
    assert_eq!(events(&mut worker, &next, 2).await, [1, 2]);

    // Where there is no other attempt it has failed, suspended or not.
    client.start_singleton(start("g", "k")).await.expect("it is free");
    let mut lost = RawWorker::join(&server, "w", &["g"], 1).await;
    lost.take().await;
    suspended(&mut client, "k").await;
    let failed = until(&mut client, "k", has_ended).await;
    assert_eq!(failed.failure.expect("it failed").error_type, "WorkerLost");
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_the_next_one_after_the_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut worker, run) = running(&server).await;
    suspended(&mut client, "i").await;
    worker.pace().await;
    assert_accepted(&worker.fail(&run, "no", false).await);
    is_given_only(&mut client, &mut worker, "j").await;
    resumed(&mut client, "i").await;
    let next = worker.take().await;
    assert_eq!((id_of(&next), next.attempt), ("i", 2));
}

#[tokio::test]
async fn what_is_suspended_can_be_terminated() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut worker, run) = running(&server).await;
    suspended(&mut client, "i").await;
    worker.pace().await;
    let ended = terminated(&mut client, "i").await;
    assert_eq!((ended.runtime_status(), ended.worker.as_str()), (RuntimeStatus::Terminated, "w"));
    let cancel = worker.cancel().await;
    assert_eq!((cancel.reason(), cancel.claim.as_ref()), (CancelReason::Terminated, run.claim.as_ref()));
    assert_cancelled(&worker.complete(&run, "late").await, CancelReason::Terminated);
    let next = started(&mut client, "i").await;
    assert_accepted(&worker.give_back(&run).await);
    assert_eq!(worker.take().await.execution_id, next.execution_id);
}

#[tokio::test]
async fn who_comes_back_is_told_whether_its_run_is_suspended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut worker, run) = running(&server).await;
    let held: Vec<v1::Claim> = run.claim.clone().into_iter().collect();
    suspended(&mut client, "i").await;
    worker.pace().await;
    raised(&mut client, "i", "e", "1").await;
    for kill in [false, true] {
        drop(worker);
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            assert_eq!(status(&mut client, "i").await.runtime_status(), RuntimeStatus::Suspended);
        }
        worker = RawWorker::come_back(&server, "w", &["f"], 2, held.clone()).await;
        assert_eq!((&worker.registered.continued, &worker.registered.suspended), (&held, &held));
        assert_eq!(worker.pace().await, (true, run.claim.clone()));
        progress(&mut worker, &run, if kill { "2" } else { "1" }).await;
    }
    // The Resume is missed: what is not said to be suspended is not. The event comes.
    drop(worker);
    resumed(&mut client, "i").await;
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 2, held.clone()).await;
    assert_eq!((&worker.registered.continued, worker.registered.suspended.len()), (&held, 0));
    assert_eq!(events(&mut worker, &run, 1).await, [1]);
    // So is a Suspend and a Resume together.
    suspended(&mut client, "i").await;
    assert!(worker.pace().await.0);
    resumed(&mut client, "i").await;
    assert!(!worker.pace().await.0);
    assert_accepted(&worker.complete(&run, "done").await);
}

#[tokio::test]
async fn continued_as_new_it_stays_suspended() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let (mut client, mut worker, run) = running(&server).await;
        suspended(&mut client, "i").await;
        worker.pace().await;
        raised(&mut client, "i", "e", "1").await;
        continue_as_new(&mut worker, &run, "next").await;
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            worker = RawWorker::join(&server, "w", &["f"], 2).await;
        }
        is_given_only(&mut client, &mut worker, "j").await;
        let held = status(&mut client, "i").await;
        assert_eq!((held.runtime_status(), held.pending_reason.as_str()), (RuntimeStatus::Suspended, "suspended"));
        assert_ne!(held.execution_id, run.execution_id);
        let followed = status_of(&mut client, "i", &run.execution_id).await.expect("it goes on");
        assert_eq!(followed.execution_id, held.execution_id);
        assert_eq!(resumed(&mut client, "i").await.runtime_status(), RuntimeStatus::Running);
        let next = worker.run().await;
        assert_eq!((&next.execution_id, next.attempt), (&held.execution_id, 1));
        assert_eq!(next.input.as_deref(), Some("next"));
        assert!(token_of(&next) > token_of(&run));
        assert_eq!(events(&mut worker, &next, 1).await, [1]);
    }
}

#[tokio::test]
async fn the_run_timeout_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    let run_timeout = wire(Duration::from_millis(900));
    for with_worker in [true, false] {
        let id = if with_worker { "with" } else { "without" };
        let retry = attempts(9);
        let request = v1::StartSingletonRequest { run_timeout, retry, ..start("f", id) };
        client.start_singleton(request).await.expect("it is free");
        let run = worker.take().await;
        suspended(&mut client, id).await;
        worker.pace().await;
        if with_worker {
            let cancel = worker.cancel().await;
            assert_eq!((cancel.reason(), cancel.claim), (CancelReason::TimedOut, run.claim.clone()));
            assert!(matches!(worker.give_back(&run).await, Heard::Accepted(_)));
        } else {
            assert_accepted(&worker.fail(&run, "no", false).await);
        }
        let failed = until(&mut client, id, has_ended).await;
        assert_eq!(failed.failure.expect("it failed").error_type, "RunTimeoutExceeded");
    }
}
