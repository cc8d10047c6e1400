//! A worker that is not heard of loses its run to another, and what it says afterwards changes nothing.

use soloist::proto::v1::{self, CancelReason, work_request::Message as Say};

use super::{assert_accepted, assert_stale, attempts, has_ended, is_running};
use crate::support::{RawWorker, Server, start, status, until};

#[tokio::test]
async fn a_silent_worker_loses_its_run_to_another_with_a_higher_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut silent = RawWorker::join(&server, "silent", &["f"], 4).await;
    client.start_singleton(v1::StartSingletonRequest { retry: attempts(2), ..start("f", "i") }).await.expect("free");
    let lost = silent.take().await;
    assert_eq!(lost.attempt, 1);

    // It says no word more. The other one is there all the time, and is given the run when the lease is over.
    let mut other = RawWorker::join(&server, "other", &["f"], 4).await;
    let run = other.take().await;
    assert_eq!((run.attempt, &run.execution_id), (2, &lost.execution_id));
    let (before, now) = (lost.claim.clone().expect("a claim"), run.claim.clone().expect("a claim"));
    assert!(now.fencing_token > before.fencing_token);
    assert_ne!(now.claim_id, before.claim_id);

    // It was told, and is told again for each report, on the old stream and on a new one.
    let told = silent.cancel().await;
    assert_eq!((told.reason(), told.claim.as_ref()), (CancelReason::LeaseLost, Some(&before)));
    assert_stale(&silent.complete(&lost, "late").await);
    assert_stale(&silent.ask(Say::Progress(v1::Progress { claim: lost.claim.clone(), custom_status: None })).await);
    assert_eq!(silent.heartbeat(std::slice::from_ref(&before)).await, []);
    let mut silent = RawWorker::come_back(&server, "silent", &["f"], 4, vec![before.clone()]).await;
    assert_eq!(silent.registered.continued, []);
    assert_eq!(silent.cancel().await.reason(), CancelReason::LeaseLost);
    assert_stale(&silent.complete(&lost, "late").await);

    let still = status(&mut client, "i").await;
    assert!(is_running(&still) && still.output.is_none(), "{still:?}");
    assert_eq!((still.worker.as_str(), still.fencing_token), ("other", now.fencing_token));
    assert_accepted(&other.complete(&run, "by the other").await);
    assert_stale(&silent.complete(&lost, "later").await);
    let done = status(&mut client, "i").await;
    assert_eq!(done.output.as_deref(), Some("by the other"));
}

#[tokio::test]
async fn a_run_without_further_attempts_fails_with_its_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "gone", &["f"], 1).await;
    super::started(&mut client, "i").await;
    worker.take().await;
    drop(worker);
    let failed = until(&mut client, "i", has_ended).await;
    let failure = failed.failure.expect("it failed");
    assert_eq!(failure.error_type, "WorkerLost");
    assert_eq!(failure.message, "worker 'gone' let its lease run out (attempt 1)");
    assert_eq!((failed.worker.as_str(), failed.lease_expires_at), ("", None));
}

#[tokio::test]
async fn a_grant_that_was_never_accepted_is_no_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut deaf = RawWorker::join(&server, "deaf", &["f"], 1).await;
    super::started(&mut client, "i").await;
    let unaccepted = deaf.run().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    // One attempt is all that it has, and this is it.
    let run = worker.take().await;
    assert_eq!((unaccepted.attempt, run.attempt), (1, 1));
    assert_accepted(&worker.complete(&run, "done").await);
    assert_eq!(deaf.cancel().await.reason(), CancelReason::LeaseLost);
    assert_stale(&deaf.ask(Say::Accept(v1::Accept { claim: unaccepted.claim.clone() })).await);
}

#[tokio::test]
async fn a_worker_that_lost_a_run_is_given_others_once_it_is_heard_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    super::started(&mut client, "first").await;
    let first = worker.take().await;
    until(&mut client, "first", has_ended).await;
    assert_eq!(worker.cancel().await.claim, first.claim);
    // It may be paused: nothing is wasted on it, and it is not counted on.
    super::started(&mut client, "second").await;
    let waiting = status(&mut client, "second").await;
    assert_eq!(waiting.pending_reason, "waiting for a worker of function 'f' that has room");
    worker.heartbeat(&[]).await;
    let second = worker.take().await;
    assert_eq!(second.claim.as_ref().map(|claim| claim.instance_id.as_str()), Some("second"));
}

#[tokio::test]
async fn a_lease_is_kept_by_heartbeats_for_as_long_as_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    super::started(&mut client, "kept").await;
    let kept = worker.take().await;
    super::started(&mut client, "left").await;
    let left = worker.take().await;
    // Both have the same lease; one is not renewed, and long after it is lost the other one is still held.
    let claim = kept.claim.clone().expect("a claim");
    let mut pulse = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut lost = None;
    let mut beats = 0;
    while lost.is_none() || beats < 30 {
        pulse.tick().await;
        beats += 1;
        worker.say(Say::Heartbeat(v1::Heartbeat { claims: vec![claim.clone()] })).await;
        match worker.hear().await {
            super::Heard::HeartbeatAcked(acked) => assert_eq!(acked.renewed, std::slice::from_ref(&claim)),
            super::Heard::Cancel(cancel) => lost = Some(cancel),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lost.and_then(|cancel| cancel.claim), left.claim);
    let status = status(&mut client, "kept").await;
    assert!(is_running(&status), "{status:?}");
    assert_eq!(status.fencing_token, claim.fencing_token);
}
