//! Events, suspension and termination: what is so already is no error.

use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus},
    v1,
};
use tonic::Code;

use super::{create, raise, resume, sidecar, state, suspend, terminate};
use crate::support::{RawWorker, Server, start};

#[tokio::test]
async fn what_is_so_already_or_over_is_fine_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    resume(&mut sidecar, "i").await.expect("it is not suspended");
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
    for _ in 0..2 {
        suspend(&mut sidecar, "i").await.expect("it is live");
        assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Suspended);
    }
    for _ in 0..2 {
        resume(&mut sidecar, "i").await.expect("it is live");
        assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
    }
    raise(&mut sidecar, "i", "go").await.expect("it is live");
    terminate(&mut sidecar, "i", Some("first")).await;
    let ended = state(&mut sidecar, "i").await;
    suspend(&mut sidecar, "i").await.expect("it has ended");
    resume(&mut sidecar, "i").await.expect("it has ended");
    raise(&mut sidecar, "i", "go").await.expect("it is dropped");
    terminate(&mut sidecar, "i", Some("second")).await;
    assert_eq!(state(&mut sidecar, "i").await, ended);
}

#[tokio::test]
async fn nobody_can_be_terminated_but_not_told_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for id in ["never", "@counter@1", "a/b"] {
        terminate(&mut sidecar, id, None).await;
        let refused =
            [suspend(&mut sidecar, id).await, resume(&mut sidecar, id).await, raise(&mut sidecar, id, "go").await];
        for refused in refused {
            assert_eq!(refused.expect_err("nobody is there").code(), Code::NotFound, "{id}");
        }
    }
    for refused in
        [suspend(&mut sidecar, "").await, resume(&mut sidecar, "").await, raise(&mut sidecar, "", "go").await]
    {
        assert_eq!(refused.expect_err("no id is empty").code(), Code::InvalidArgument);
    }
    let refused = sidecar.terminate_instance(pb::TerminateRequest::default()).await.expect_err("no id is empty");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// Also one that was started by the other API, and runs: an event reaches its worker, its end cancels the run.
#[tokio::test]
async fn what_runs_natively_is_told_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    worker.take().await;
    let request = pb::RaiseEventRequest { instance_id: "i".into(), name: "Go".into(), input: Some("1".into()) };
    sidecar.raise_event(request).await.expect("it is live");
    let event = worker.event().await;
    assert_eq!((event.name.as_str(), event.input.as_deref()), ("Go", Some("1")));
    suspend(&mut sidecar, "i").await.expect("it is live");
    assert!(worker.pace().await.0);
    terminate(&mut sidecar, "i", Some("enough")).await;
    assert_eq!(worker.cancel().await.reason(), v1::CancelReason::Terminated);
    assert_eq!(state(&mut sidecar, "i").await.output.as_deref(), Some("enough"));
}

#[tokio::test]
async fn a_batch_is_ended_and_who_was_not_live_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for id in ["a", "b", "over"] {
        create(&mut sidecar, id).await;
    }
    terminate(&mut sidecar, "over", None).await;
    let batch = |ids: &[&str]| pb::SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(pb::InstanceBatch { instance_ids: ids.iter().map(|id| (*id).to_owned()).collect() }),
        reason: Some("enough".into()),
    };
    let told = sidecar.skip_graceful_orchestration_terminations(batch(&["a", "over", "never", "b", "@e@1"])).await;
    assert_eq!(told.expect("OK").into_inner().unterminated_instance_ids, ["over", "never", "@e@1"]);
    for id in ["a", "b"] {
        assert_eq!(state(&mut sidecar, id).await.orchestration_status(), OrchestrationStatus::Terminated);
    }
    let refused = sidecar.skip_graceful_orchestration_terminations(batch(&["a"; 501])).await.expect_err("too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    let large = Some("x".repeat((1 << 20) + 1));
    let event = pb::RaiseEventRequest { instance_id: "i".into(), name: "go".into(), input: large.clone() };
    let output = pb::TerminateRequest { instance_id: "i".into(), output: large.clone(), recursive: false };
    let reason = pb::SuspendRequest { instance_id: "i".into(), reason: large };
    let refused = [
        sidecar.raise_event(event).await.map(drop),
        sidecar.terminate_instance(output).await.map(drop),
        sidecar.suspend_instance(reason).await.map(drop),
        raise(&mut sidecar, "i", "").await,
    ];
    for refused in refused {
        assert_eq!(refused.expect_err("too large").code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn what_this_server_does_not_do_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let refused = [
        sidecar.signal_entity(pb::SignalEntityRequest::default()).await.map(drop),
        sidecar.get_entity(pb::GetEntityRequest::default()).await.map(drop),
        sidecar.query_entities(pb::QueryEntitiesRequest::default()).await.map(drop),
        sidecar.clean_entity_storage(pb::CleanEntityStorageRequest::default()).await.map(drop),
        sidecar.rewind_instance(pb::RewindInstanceRequest::default()).await.map(drop),
    ];
    for refused in refused {
        assert_eq!(refused.expect_err("it can't").code(), Code::Unimplemented);
    }
}
