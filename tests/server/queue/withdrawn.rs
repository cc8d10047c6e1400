//! Who no longer wants to wait.

use soloist::proto::v1::{self, RuntimeStatus};
use tonic::Code;

use super::{next, of, queued, to_the_end, told, waiting, watch, withdraw};
use crate::support::{RawWorker, Server, error_info, start, status, value, violations};

#[tokio::test]
async fn what_was_withdrawn_never_runs_and_those_behind_it_move_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 9).await;
    told(&mut client, start("f", "a")).await;
    let run = worker.take().await;
    let one = queued(&mut client, "a", "1").await;
    let two = queued(&mut client, "a", "2").await;
    let three = queued(&mut client, "a", "3").await;
    let mut watching = watch(&mut client, "a", &two).await;
    let waits = next(&mut watching).await.expect("it waits");
    assert_eq!((waits.runtime_status(), waits.queued_starts), (RuntimeStatus::Pending, 1));

    let withdrawn = withdraw(&mut client, "a", &two).await.expect("it waits");
    assert_eq!((&withdrawn.execution_id, withdrawn.runtime_status()), (&two, RuntimeStatus::Terminated));
    assert_eq!(withdrawn.termination_reason, "no longer wanted");
    assert!(withdrawn.completed_at.is_some() && withdrawn.started_at.is_none());
    let shown = to_the_end(watching).await;
    assert_eq!(shown, [withdrawn]);
    assert_eq!(waiting(&mut client, "a").await, [one.clone(), three.clone()]);

    // What is no longer there can't be read, watched, or withdrawn once more; the live one was not touched.
    let watching = v1::WatchStatusRequest { instance_id: "a".into(), execution_id: two.clone(), ..Default::default() };
    for refused in [
        of(&mut client, "a", &two).await.expect_err("it is gone"),
        withdraw(&mut client, "a", &two).await.expect_err("it is gone"),
        client.watch_status(watching).await.map(drop).expect_err("it is gone"),
    ] {
        let info = error_info(&refused);
        assert_eq!((refused.code(), info.reason.as_str()), (Code::NotFound, "EXECUTION_NOT_FOUND"));
        assert_eq!((value(&info, "instance_id"), value(&info, "execution_id")), ("a", two.as_str()));
    }
    assert_eq!(status(&mut client, "a").await.runtime_status(), RuntimeStatus::Running);

    worker.complete(&run, "").await;
    for execution in [&one, &three] {
        let run = worker.take().await;
        assert_eq!(run.execution_id, **execution);
        worker.complete(&run, "").await;
    }
    let last = status(&mut client, "a").await;
    assert_eq!((&last.execution_id, last.runtime_status()), (&three, RuntimeStatus::Completed));
}

#[tokio::test]
async fn what_was_withdrawn_is_withdrawn_over_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    let one = queued(&mut client, "a", "1").await;
    let two = queued(&mut client, "a", "2").await;
    withdraw(&mut client, "a", &one).await.expect("it waits");
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_eq!(waiting(&mut client, "a").await, [two.as_str()]);
    assert_eq!(of(&mut client, "a", &two).await.expect("it waits").input.as_deref(), Some("2"));
}

#[tokio::test]
async fn the_running_one_is_ended_by_its_id_and_the_next_one_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let first = told(&mut client, start("f", "a")).await.execution_id;
    let second = queued(&mut client, "a", "1").await;
    let ended = withdraw(&mut client, "a", &first).await.expect("it is live");
    assert_eq!((&ended.execution_id, ended.runtime_status()), (&first, RuntimeStatus::Terminated));
    let now = status(&mut client, "a").await;
    assert_eq!((&now.execution_id, now.runtime_status()), (&second, RuntimeStatus::Pending));

    // A late retry hits nobody; the former one has ended, and is no longer the latest.
    let refused = withdraw(&mut client, "a", &first).await.expect_err("it has ended");
    assert_eq!(error_info(&refused).reason, "EXECUTION_NOT_FOUND");
    withdraw(&mut client, "a", &second).await.expect("it is live");
    let refused = withdraw(&mut client, "a", &second).await.expect_err("it has ended");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::FailedPrecondition, "INSTANCE_NOT_LIVE"));
}

#[tokio::test]
async fn an_execution_is_named_in_one_way_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let execution = told(&mut client, start("f", "a")).await.execution_id;
    let both = v1::TerminateInstanceRequest {
        instance_id: "a".into(),
        expected_execution_id: execution.clone(),
        execution_id: execution,
        ..Default::default()
    };
    let refused = client.terminate_instance(both).await.expect_err("one of them");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let fields: Vec<String> = violations(&refused).into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["execution_id"]);
    assert_eq!(status(&mut client, "a").await.runtime_status(), RuntimeStatus::Pending);

    let nobody = withdraw(&mut client, "never started", &"0".repeat(32)).await.expect_err("nobody is there");
    assert_eq!((nobody.code(), error_info(&nobody).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
}
