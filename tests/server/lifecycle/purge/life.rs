//! The next life of a purged id: it waits for the old worker, and its tokens are higher.

use soloist::proto::v1::{CancelReason, RuntimeStatus};

use super::super::{is_given_only, purged, token_of, until_free};
use crate::{
    leases::{LONG, assert_accepted, assert_cancelled, assert_stale, started, terminated},
    support::{RawWorker, Server, status},
};

#[tokio::test]
async fn it_waits_until_the_old_worker_has_stopped() {
    for kill in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut old = RawWorker::join(&server, "old", &["f"], 1).await;
        started(&mut client, "i").await;
        let run = old.take().await;
        terminated(&mut client, "i").await;
        purged(&mut client, "i").await;
        if kill {
            drop(old);
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            let held = run.claim.clone().into_iter().collect();
            old = RawWorker::come_back(&server, "old", &["f"], 1, held).await;
        }
        assert_eq!(old.cancel().await.reason(), CancelReason::Terminated);
        let mut new = RawWorker::join(&server, "new", &["f"], 2).await;
        let next = started(&mut client, "i").await;
        let waiting = next.status.expect("a status");
        let reason = "waiting for the lease of worker 'old' on the former execution to be released or to expire";
        assert_eq!((waiting.runtime_status(), waiting.pending_reason.as_str()), (RuntimeStatus::Pending, reason));
        is_given_only(&mut client, &mut new, "j").await;
        // What the old one still says changes nothing, and does not keep the lease.
        assert_cancelled(&old.complete(&run, "too late").await, CancelReason::Terminated);
        assert_eq!(old.heartbeat(&run.claim.clone().into_iter().collect::<Vec<_>>()).await, []);
        assert_eq!(status(&mut client, "i").await.execution_id, next.execution_id);
        assert_accepted(&old.give_back(&run).await);
        let handed_out = tokio::select! { run = new.run() => run, run = old.run() => run };
        assert_eq!((&handed_out.execution_id, handed_out.attempt), (&next.execution_id, 1));
        assert!(token_of(&handed_out) > token_of(&run));
        assert_stale(&old.complete(&run, "much too late").await);
        assert_eq!(status(&mut client, "i").await.runtime_status(), RuntimeStatus::Running);
    }
}

#[tokio::test]
async fn it_waits_until_the_lease_has_run_out() {
    for kill in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start(folder.path());
        let mut client = server.client().await;
        let mut old = RawWorker::join(&server, "old", &["f"], 1).await;
        started(&mut client, "i").await;
        let run = old.take().await;
        terminated(&mut client, "i").await;
        purged(&mut client, "i").await;
        if kill {
            server.kill();
            server = Server::start(folder.path());
            client = server.client().await;
        }
        let mut new = RawWorker::join(&server, "new", &["f"], 2).await;
        let next = started(&mut client, "i").await;
        assert_eq!(next.status.expect("a status").worker, "old");
        is_given_only(&mut client, &mut new, "j").await;
        let handed_out = new.take().await;
        assert_eq!(handed_out.execution_id, next.execution_id);
        assert!(token_of(&handed_out) > token_of(&run));
    }
}

#[tokio::test]
async fn tokens_rise_where_nothing_of_the_former_life_was_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let mut former: Option<soloist::proto::v1::Run> = None;
    for round in 0..6 {
        let next = started(&mut client, "i").await;
        let run = worker.take().await;
        assert_eq!(run.execution_id, next.execution_id);
        if let Some(former) = &former {
            assert!(token_of(&run) > token_of(former), "{former:?}, {run:?}");
            assert_stale(&worker.complete(former, "too late").await);
            assert_stale(&worker.give_back(former).await);
        }
        let token = token_of(&run);
        assert_eq!(status(&mut client, "i").await.fencing_token, token);
        if round % 2 == 0 {
            assert_accepted(&worker.complete(&run, "done").await);
        } else {
            terminated(&mut client, "i").await;
            worker.cancel().await;
            assert_accepted(&worker.give_back(&run).await);
        }
        until_free(&mut client, "i").await;
        purged(&mut client, "i").await;
        assert_stale(&worker.complete(&run, "another output").await);
        if round > 2 {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            worker = RawWorker::join(&server, "w", &["f"], 1).await;
        }
        former = Some(run);
    }
}
