//! Late words for an execution that is over: its successor does not hear them.

use soloist::proto::v1;
use tonic::Code;

use super::told;
use crate::support::{Client, RawWorker, Server, error_info, start, status, value, violations};

/// Terminates and raises for `expected`, while the instance is at `current`; asserts that nothing came of it.
async fn assert_late(client: &mut Client, expected: &str, current: &str) {
    let before = as_it_stands(client).await;
    let end = v1::TerminateInstanceRequest {
        instance_id: "a".into(),
        expected_execution_id: expected.into(),
        ..Default::default()
    };
    let raise = v1::RaiseEventRequest {
        instance_id: "a".into(),
        name: "e".into(),
        expected_execution_id: expected.into(),
        ..Default::default()
    };
    let ended = client.terminate_instance(end).await.map(drop);
    let raised = client.raise_event(raise).await.map(drop);
    for late in [ended, raised] {
        let late = late.expect_err("it is not at that execution");
        let info = error_info(&late);
        assert_eq!((late.code(), info.reason.as_str()), (Code::FailedPrecondition, "EXECUTION_MISMATCH"));
        assert_eq!((value(&info, "execution_id"), value(&info, "expected_execution_id")), (current, expected));
    }
    assert_eq!(as_it_stands(client).await, before);
}

/// The status, but for the lease's end: that is a moment on another clock, shown anew in each answer.
async fn as_it_stands(client: &mut Client) -> v1::InstanceStatus {
    v1::InstanceStatus { lease_expires_at: None, ..status(client, "a").await }
}

#[tokio::test]
async fn a_late_terminate_or_event_does_not_hit_the_successor() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let one = told(&mut client, &start("f", "a")).await.execution_id;
    let end = v1::TerminateInstanceRequest {
        instance_id: "a".into(),
        expected_execution_id: one.clone(),
        ..Default::default()
    };
    client.terminate_instance(end.clone()).await.expect("that one is live");
    // The same again finds that it has ended.
    let again = client.terminate_instance(end).await.expect_err("it has ended");
    assert_eq!(error_info(&again).reason, "INSTANCE_NOT_LIVE");

    let two = told(&mut client, &start("f", "a")).await.execution_id;
    assert_late(&mut client, &one, &two).await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    assert_late(&mut client, &one, &two).await;
    worker.complete(&run, "1").await;
    assert_late(&mut client, &one, &two).await;

    let three = told(&mut client, &start("g", "a")).await.execution_id;
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_late(&mut client, &one, &three).await;
    assert_late(&mut client, &two, &three).await;
    let raise = v1::RaiseEventRequest {
        instance_id: "a".into(),
        name: "e".into(),
        expected_execution_id: three.clone(),
        ..Default::default()
    };
    let raised = client.raise_event(raise).await.expect("that one is live").into_inner();
    assert_eq!((raised.execution_id, raised.sequence), (three, 1));
}

#[tokio::test]
async fn an_expected_execution_that_is_no_id_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let execution = told(&mut client, &start("f", "a")).await.execution_id;
    let long = format!("{execution}0");
    let upper = "ABCDEF0123456789ABCDEF0123456789";
    for wrong in ["x", &execution[1..], long.as_str(), upper] {
        let end = v1::TerminateInstanceRequest {
            instance_id: "a".into(),
            expected_execution_id: wrong.into(),
            ..Default::default()
        };
        let refused = client.terminate_instance(end).await.expect_err(wrong);
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
        assert_eq!(violations(&refused)[0].field, "expected_execution_id");
    }
}
