//! Sub-orchestrations: their ends, their ids, and what becomes of them when their parents end.

use soloist::proto::durable_task::{self as pb, OrchestrationStatus, history_event::EventType};

use super::hand::{Turn, Worker, broken, child, completed, failed, schedule};
use crate::{
    durable_task::{create, found, state},
    support::Server,
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

fn failure(turn: &Turn) -> pb::TaskFailureDetails {
    match &turn.request.new_events[1].event_type {
        Some(EventType::SubOrchestrationInstanceFailed(failed)) => {
            failed.failure_details.clone().expect("a failure has details")
        }
        other => panic!("no failure, but {other:?}"),
    }
}

async fn end(worker: &mut Worker, id: &str, recursive: bool) {
    let request = pb::TerminateRequest { instance_id: id.into(), output: Some("\"end\"".into()), recursive };
    worker.sidecar.terminate_instance(request).await.expect("always OK");
}

async fn purge(worker: &mut Worker, id: &str, recursive: bool) -> i32 {
    let request = pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::InstanceId(id.into())),
        recursive,
        is_orchestration: true,
    };
    worker.sidecar.purge_instances(request).await.expect("an answer").into_inner().deleted_instance_count
}

/// Retry handlers match on the error's type: it must come through unchanged. Retries use the child's id again, and some
/// SDKs the task's number too.
#[tokio::test]
async fn a_failed_child_is_told_as_it_failed_and_its_id_can_be_used_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &FIRST, vec![child(1, "c")]).await;
    worker.play("c", &FIRST, vec![failed(1, broken("Broken"))]).await;
    let told = worker.turn().await;
    assert_eq!(failure(&told), broken("Broken"));
    worker.complete(&told, vec![child(1, "c")]).await;
    worker.play("c", &FIRST, vec![completed(1, Some("2"))]).await;
    let told =
        worker.play("i", &["OrchestratorStarted", "SubOrchestrationInstanceCompleted"], vec![completed(2, None)]).await;
    let Some(EventType::SubOrchestrationInstanceCompleted(done)) = &told.request.new_events[1].event_type else {
        panic!("{told:?}")
    };
    assert_eq!((done.task_scheduled_id, done.result.as_deref()), (1, Some("2")));
    worker.until_ended("i").await;
}

#[tokio::test]
async fn a_child_that_was_terminated_has_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &FIRST, vec![child(1, "c")]).await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.instance_id, "c");
    end(&mut worker, "c", false).await;
    let told = worker.turn().await;
    let details = failure(&told);
    assert_eq!(details.error_type, "SubOrchestrationTerminated");
    assert!(details.error_message.contains("'c'"), "{details:?}");
}

#[tokio::test]
async fn an_id_that_is_taken_fails_the_child_and_not_whoever_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "taken").await;
    let other = worker.play("taken", &FIRST, vec![schedule(1, "act")]).await;
    worker.activity().await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &FIRST, vec![child(1, "taken"), child(2, "i")]).await;
    let mut failures = Vec::new();
    while failures.len() < 2 {
        let told = worker.turn().await;
        assert_eq!(told.request.instance_id, "i");
        for event in &told.request.new_events {
            if let Some(EventType::SubOrchestrationInstanceFailed(failed)) = &event.event_type {
                failures.push(failed.failure_details.clone().expect("details").error_type);
            }
        }
        worker.complete(&told, Vec::new()).await;
    }
    assert_eq!(failures, ["OrchestrationAlreadyExists", "OrchestrationAlreadyExists"]);
    let unharmed = state(&mut worker.sidecar, "taken").await;
    assert_eq!(unharmed.execution_id.as_deref(), Some(other.execution_id()));
    assert_eq!(unharmed.orchestration_status(), OrchestrationStatus::Running);
}

/// A root, its child that has ended, and that one's child that has not.
async fn family(worker: &mut Worker) {
    create(&mut worker.sidecar, "root").await;
    worker.play("root", &FIRST, vec![child(1, "middle")]).await;
    worker.play("middle", &FIRST, vec![child(1, "leaf"), completed(2, None)]).await;
    let mut leaf = None;
    while leaf.is_none() {
        let turn = worker.turn().await;
        match turn.request.instance_id.as_str() {
            "leaf" => leaf = Some(turn),
            _ => worker.complete(&turn, vec![schedule(9, "act")]).await,
        }
    }
}

#[tokio::test]
async fn the_end_of_a_root_ends_the_family_also_through_members_that_have_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    family(&mut worker).await;
    end(&mut worker, "root", true).await;
    let leaf = worker.until_ended("leaf").await;
    assert_eq!(
        (leaf.orchestration_status(), leaf.output.as_deref()),
        (OrchestrationStatus::Terminated, Some("\"end\""))
    );
    assert_eq!(state(&mut worker.sidecar, "middle").await.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(purge(&mut worker, "root", true).await, 3);
    for id in ["root", "middle", "leaf"] {
        assert!(found(&mut worker.sidecar, id).await.is_none(), "{id}");
    }
}

#[tokio::test]
async fn a_root_alone_leaves_its_children_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    family(&mut worker).await;
    end(&mut worker, "root", false).await;
    assert_eq!(state(&mut worker.sidecar, "leaf").await.orchestration_status(), OrchestrationStatus::Pending);
    assert_eq!(purge(&mut worker, "root", false).await, 1);
    assert!(found(&mut worker.sidecar, "middle").await.is_some());
    assert_eq!(purge(&mut worker, "leaf", true).await, 0, "it is live");
}

/// An event reaches whoever it was sent to, also the sender; one that nobody can get is dropped.
#[tokio::test]
async fn events_that_orchestrators_send_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "to").await;
    worker.play("to", &FIRST, Vec::new()).await;
    create(&mut worker.sidecar, "from").await;
    let sent = vec![
        super::hand::send(1, "to", "Hello", Some("1")),
        super::hand::send(2, "to", "Hello", None),
        super::hand::send(3, "nobody", "Hello", None),
        super::hand::send(4, "from", "Self", None),
    ];
    worker.play("from", &FIRST, sent).await;
    let (mut to, mut own) = (Vec::new(), Vec::new());
    while to.len() < 2 || own.is_empty() {
        let turn = worker.turn().await;
        let heard = super::hand::raised(&turn.request.new_events);
        if turn.request.instance_id == "to" {
            to.extend(heard)
        } else {
            own.extend(heard)
        }
        worker.complete(&turn, Vec::new()).await;
    }
    assert_eq!(to, [("Hello".to_owned(), Some("1".to_owned())), ("Hello".to_owned(), None)]);
    assert_eq!(own, [("Self".to_owned(), None)]);
    let history = worker.history("from").await;
    assert_eq!(history.iter().filter(|event| super::hand::kind(event) == "EventSent").count(), 4);
}
