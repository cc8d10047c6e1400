//! What has ended is started anew, with what it was started with.

use std::time::Duration;

use soloist::proto::v1::{self, CancelReason, RuntimeStatus, StartOutcome};
use tonic::Code;

use super::{purged, restarted, token_of};
use crate::{
    leases::{LONG, assert_accepted, attempts, started, terminated, wire},
    support::{Client, RawWorker, Server, error_info, start, status},
};

#[tokio::test]
async fn the_same_once_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let request = v1::StartSingletonRequest {
        input: Some("in".into()),
        version: "2".into(),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        retry: attempts(2),
        run_timeout: wire(Duration::from_secs(3_600)),
        ..start("f", "i")
    };
    client.start_singleton(request).await.expect("it is free");
    let mut run = worker.take().await;
    for round in 0..3 {
        // It had events, a custom status and an output; the next one has none of them.
        super::progress(&mut worker, &run, "half").await;
        assert_accepted(&worker.complete(&run, "done").await);
        if round == 1 {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            worker = RawWorker::join(&server, "w", &["f"], 1).await;
        }
        let before = status(&mut client, "i").await;
        let again = restarted(&mut client, "i").await;
        assert_eq!(again.outcome(), StartOutcome::Started);
        assert_ne!(again.execution_id, run.execution_id);
        let next = worker.take().await;
        assert_eq!(next.execution_id, again.execution_id);
        let given =
            |run: &v1::Run| (run.function_name.clone(), run.input.clone(), run.version.clone(), run.tags.clone());
        assert_eq!(given(&next), given(&run));
        assert_eq!((next.attempt, next.deadline.is_some()), (1, true));
        assert!(token_of(&next) > token_of(&run));
        let now = status(&mut client, "i").await;
        assert_eq!((now.input.as_deref(), &now.output, &now.custom_status), (Some("in"), &None, &None));
        assert!(now.revision > before.revision && now.completed_at.is_none());
        run = next;
    }
    // So is the retry policy.
    assert_accepted(&worker.fail(&run, "no", false).await);
    assert_eq!(worker.take().await.attempt, 2);
}

async fn ask(
    client: &mut Client,
    request_id: &str,
    expected: &str,
) -> Result<v1::RestartInstanceResponse, tonic::Status> {
    let (instance_id, request_id) = ("i".to_owned(), request_id.to_owned());
    let request = v1::RestartInstanceRequest { instance_id, request_id, expected_execution_id: expected.into() };
    client.restart_instance(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_request_that_was_accepted_is_not_done_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let first = started(&mut client, "i").await.execution_id;
    terminated(&mut client, "i").await;
    let again = ask(&mut client, "once", &first).await.expect("it has ended");
    assert_eq!((again.outcome(), again.first_outcome()), (StartOutcome::Started, StartOutcome::Unspecified));
    for kill in [false, true] {
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        // While it runs, and when it has ended: without the request id the first would be refused, and the second done.
        for _ in 0..2 {
            let retry = ask(&mut client, "once", &first).await.expect("it was accepted");
            assert_eq!((retry.outcome(), retry.first_outcome()), (StartOutcome::Deduplicated, StartOutcome::Started));
            assert_eq!(retry.execution_id, again.execution_id);
            assert_eq!(retry.status.map(|status| status.execution_id).as_ref(), Some(&again.execution_id));
            if status(&mut client, "i").await.runtime_status() == RuntimeStatus::Pending {
                terminated(&mut client, "i").await;
            }
        }
    }
    // Other content, be it of a restart or of a start.
    let mut start = start("f", "i");
    start.request_id = "once".into();
    let others = [ask(&mut client, "once", "").await.map(drop), client.start_singleton(start).await.map(drop)];
    for reused in others {
        let reused = reused.expect_err("it asks for something else");
        assert_eq!((reused.code(), error_info(&reused).reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    }
    // It is remembered over a purge; what was purged has no status, and can't be restarted.
    purged(&mut client, "i").await;
    let retry = ask(&mut client, "once", &first).await.expect("it was accepted");
    assert_eq!((retry.outcome(), retry.status), (StartOutcome::Deduplicated, None));
    let gone = ask(&mut client, "twice", "").await.expect_err("it was purged");
    assert_eq!((gone.code(), error_info(&gone).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
}

#[tokio::test]
async fn it_waits_for_the_lease_of_the_former_worker() {
    for kill in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut old = RawWorker::join(&server, "old", &["f"], 1).await;
        started(&mut client, "i").await;
        let run = old.take().await;
        let mut new = RawWorker::join(&server, "new", &["f"], 2).await;
        terminated(&mut client, "i").await;
        let again = restarted(&mut client, "i").await;
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            new = RawWorker::join(&server, "new", &["f"], 2).await;
            let held = run.claim.clone().into_iter().collect();
            old = RawWorker::come_back(&server, "old", &["f"], 1, held).await;
        }
        assert_eq!(old.cancel().await.reason(), CancelReason::Terminated);
        super::is_given_only(&mut client, &mut new, "j").await;
        let waiting = status(&mut client, "i").await;
        assert_eq!((waiting.runtime_status(), waiting.worker.as_str()), (RuntimeStatus::Pending, "old"));
        assert_accepted(&old.give_back(&run).await);
        let next = tokio::select! { run = new.run() => run, run = old.run() => run };
        assert_eq!(next.execution_id, again.execution_id);
        assert!(token_of(&next) > token_of(&run));
    }
}
