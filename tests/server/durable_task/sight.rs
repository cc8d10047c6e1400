//! GetInstance.

use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus},
    v1::{self, ConflictPolicy, work_request::Message as Say},
};
use tonic::Code;

use super::{asked, create, found, sidecar, state, terminate};
use crate::{
    leases::assert_accepted,
    support::{RawWorker, Server, start},
};

#[tokio::test]
async fn who_is_not_there_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for id in ["never", "@counter@1", "a/b", &"x".repeat(300)] {
        assert_eq!(found(&mut sidecar, id).await, None, "{id}");
    }
    let refused = sidecar.get_instance(asked("", true)).await.expect_err("no id is empty");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// Who does not ask for payloads gets none, nor why it failed.
#[tokio::test]
async fn payloads_come_to_who_asks_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let request = v1::StartSingletonRequest { input: Some("in".into()), ..start("f", "completes") };
    client.start_singleton(request).await.expect("it is free");
    let run = worker.take().await;
    let progress = v1::Progress { claim: run.claim.clone(), custom_status: Some("half".into()) };
    assert_accepted(&worker.ask(Say::Progress(progress)).await);
    assert_accepted(&worker.complete(&run, "").await);
    client.start_singleton(start("f", "fails")).await.expect("it is free");
    let run = worker.take().await;
    assert_accepted(&worker.fail(&run, "no", true).await);

    let completed = state(&mut sidecar, "completes").await;
    assert_eq!(completed.orchestration_status(), OrchestrationStatus::Completed);
    let texts =
        |state: &pb::OrchestrationState| (state.input.clone(), state.output.clone(), state.custom_status.clone());
    assert_eq!(texts(&completed), (Some("in".into()), Some(String::new()), Some("half".into())));
    assert!(completed.completed_timestamp.is_some());
    let failed = state(&mut sidecar, "fails").await;
    assert_eq!(failed.orchestration_status(), OrchestrationStatus::Failed);
    assert_eq!(texts(&failed), (None, None, None));
    let why = failed.failure_details.expect("why it failed");
    assert_eq!((why.error_message.as_str(), why.is_non_retriable), ("no", true));
    for id in ["completes", "fails"] {
        let bare = sidecar.get_instance(asked(id, false)).await.expect("a state").into_inner();
        let bare = bare.orchestration_state.expect("a state");
        assert_eq!((texts(&bare), bare.failure_details), ((None, None, None), None), "{id}");
    }
}

#[tokio::test]
async fn a_termination_keeps_its_output_to_the_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let outputs = [("absent", None), ("empty", Some("")), ("text", Some("\"bye\""))];
    for (id, output) in outputs {
        create(&mut sidecar, id).await;
        terminate(&mut sidecar, id, output).await;
    }
    for _ in 0..2 {
        let mut sidecar = super::sidecar(&server).await;
        for (id, output) in outputs {
            let seen = state(&mut sidecar, id).await;
            assert_eq!(seen.orchestration_status(), OrchestrationStatus::Terminated);
            assert_eq!((seen.output.as_deref(), seen.failure_details), (output, None), "{id}");
            let native = crate::support::status(&mut server.client().await, id).await;
            assert_eq!(native.output.as_deref(), output, "{id}");
        }
        server.kill();
        server = Server::with_long_leases(folder.path());
    }
}

/// QUEUE belongs to the other API: here the live one is seen, and then the next.
#[tokio::test]
async fn a_start_that_waits_in_the_queue_is_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    let live = state(&mut sidecar, "i").await;
    let mut request = start("next", "i");
    request.set_conflict_policy(ConflictPolicy::Queue);
    let queued = client.start_singleton(request).await.expect("the queue has room").into_inner();
    assert_eq!(state(&mut sidecar, "i").await, live);
    terminate(&mut sidecar, "i", None).await;
    let next = state(&mut sidecar, "i").await;
    assert_eq!((next.name.as_str(), next.execution_id), ("next", Some(queued.execution_id)));
}
