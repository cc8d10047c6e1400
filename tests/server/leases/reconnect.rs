//! A lost stream is no lost run: whoever comes back in time carries on, also after the server was away.

use soloist::proto::v1::{self, CancelReason, work_request::Message as Say};

use super::{LONG, assert_accepted, attempts, has_ended, is_running, raised, started, terminated};
use crate::support::{RawWorker, Server, start, status, until};

#[tokio::test]
async fn who_reconnects_in_time_carries_on_and_the_newest_stream_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut old = RawWorker::join(&server, "w", &["f"], 1).await;
    started(&mut client, "i").await;
    let run = old.take().await;
    let claim = run.claim.clone().expect("a claim");

    let mut new = RawWorker::come_back(&server, "w", &["f"], 1, vec![claim.clone()]).await;
    assert_eq!(new.registered.continued, std::slice::from_ref(&claim));
    // What is for the run goes to the new stream alone, and the run takes a place there and none on the old one.
    raised(&mut client, "i", "e", "1").await;
    assert_eq!(new.event().await.claim.as_ref(), Some(&claim));
    // A stream whose run came back on another one may be dead: it is given nothing before it is heard of.
    started(&mut client, "j").await;
    let waiting = status(&mut client, "j").await;
    assert_eq!(waiting.pending_reason, "waiting for a worker of function 'f' that has room");
    old.heartbeat(&[]).await;
    let other = old.take().await;
    assert_eq!(other.claim.as_ref().map(|claim| claim.instance_id.as_str()), Some("j"));
    terminated(&mut client, "i").await;
    let cancel = new.cancel().await;
    assert_eq!((cancel.reason(), cancel.claim.as_ref()), (CancelReason::Terminated, Some(&claim)));
    assert_eq!(old.heartbeat(&[other.claim.clone().expect("a claim")]).await.len(), 1, "the old one heard nothing");
}

#[tokio::test]
async fn a_stream_that_broke_is_no_lost_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    started(&mut client, "i").await;
    let run = worker.take().await;
    drop(worker);
    let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
    let held = status(&mut client, "i").await;
    assert!(is_running(&held) && held.worker == "w", "it keeps what it holds: {held:?}");
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
    assert_eq!(worker.registered.continued.len(), 1);
    assert_accepted(&worker.complete(&run, "done").await);
    // The other one was given nothing in the meantime.
    started(&mut client, "j").await;
    started(&mut client, "k").await;
    let (j, k) = (worker.take().await, other.take().await);
    assert_ne!(j.claim, k.claim);
}

#[tokio::test]
async fn each_held_run_is_told_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 8).await;
    let mut runs = Vec::new();
    for id in ["kept", "ended", "reported", "forged"] {
        started(&mut client, id).await;
        runs.push(worker.take().await);
    }
    let claims: Vec<v1::Claim> = runs.iter().filter_map(|run| run.claim.clone()).collect();
    terminated(&mut client, "ended").await;
    worker.cancel().await;
    assert_accepted(&worker.complete(&runs[2], "done").await);
    let forged = v1::Claim { claim_id: vec![7; 16], ..claims[3].clone() };
    let unknown = v1::Claim { instance_id: "nobody".into(), claim_id: vec![8; 16], ..claims[0].clone() };
    let held = vec![claims[0].clone(), claims[1].clone(), claims[2].clone(), forged.clone(), unknown.clone()];
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 8, held).await;

    let mut continued = worker.registered.continued.clone();
    continued.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    assert_eq!(continued, [claims[0].clone(), claims[2].clone()], "held, or reported: not lost");
    let mut cancelled = Vec::new();
    for _ in 0..3 {
        let cancel = worker.cancel().await;
        cancelled.push((cancel.claim.clone().expect("a claim").instance_id, cancel.reason()));
    }
    cancelled.sort();
    let expected =
        [("ended", CancelReason::Terminated), ("forged", CancelReason::LeaseLost), ("nobody", CancelReason::LeaseLost)];
    assert_eq!(cancelled, expected.map(|(id, reason)| (id.to_owned(), reason)));
    assert_eq!(status(&mut client, "forged").await.worker, "w", "a forged claim moved nothing");
    assert_accepted(&worker.complete(&runs[3], "done").await);
}

#[tokio::test]
async fn a_run_outlives_the_server() {
    for kill in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
        let request = v1::StartSingletonRequest { retry: attempts(3), ..start("f", "i") };
        client.start_singleton(request).await.expect("it is free");
        let run = worker.take().await;
        let report = Say::Progress(v1::Progress { claim: run.claim.clone(), custom_status: Some("half".into()) });
        assert_accepted(&worker.ask(report).await);
        if kill {
            server.kill();
        } else {
            server.stop().await;
        }

        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        // Another one comes first, and is not given it.
        let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
        let held = status(&mut client, "i").await;
        assert!(is_running(&held) && held.lease_expires_at.is_some(), "{held:?}");
        assert_eq!((held.worker.as_str(), held.custom_status.as_deref()), ("w", Some("half")));
        let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
        assert_eq!(worker.registered.continued.len(), 1, "kill: {kill}");
        assert_accepted(&worker.complete(&run, "done").await);
        let done = status(&mut client, "i").await;
        assert_eq!(done.output.as_deref(), Some("done"));
        assert_eq!((done.attempt, done.fencing_token), (1, run.claim.map_or(0, |claim| claim.fencing_token)));
        // The next token is higher than all before the restart.
        started(&mut client, "i").await;
        let mut next = tokio::select! { run = worker.run() => run, run = other.run() => run };
        assert!(next.claim.take().is_some_and(|claim| claim.fencing_token > done.fencing_token));
    }
}

#[tokio::test]
async fn a_worker_that_does_not_come_back_loses_its_run_a_full_lease_after_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let request = v1::StartSingletonRequest { retry: attempts(2), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let run = worker.take().await;
    server.kill();

    let server = Server::start(folder.path());
    let up = std::time::Instant::now();
    let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
    let next = other.take().await;
    // The server was up a little before it said so.
    assert!(up.elapsed() > std::time::Duration::from_millis(1_000), "after {:?}", up.elapsed());
    assert_eq!(next.attempt, 2);
    assert!(next.claim.as_ref().map(|claim| claim.fencing_token) > run.claim.as_ref().map(|claim| claim.fencing_token));
    assert_accepted(&other.complete(&next, "done").await);
    until(&mut server.client().await, "i", has_ended).await;
}
