//! Custom statuses, absent and empty texts, and failures.

use soloist::proto::durable_task::{
    self as pb, OrchestrationStatus, history_event::EventType, orchestrator_action::OrchestratorActionType as Action,
};

use super::hand::{Turn, Worker, broken, completed, ended, failed, response, schedule};
use crate::{
    durable_task::{create, creation, state},
    support::Server,
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

/// Absent is unchanged, present and empty is cleared.
#[tokio::test]
async fn a_custom_status_is_set_kept_and_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    create(&mut sidecar, "i").await;
    let steps = [(Some("\"half\""), Some("\"half\"")), (None, Some("\"half\"")), (Some(""), None), (Some(""), None)];
    for (n, (said, shown)) in (0..).zip(steps) {
        let turn = worker.turn().await;
        let custom_status = said.map(String::from);
        worker.respond(pb::OrchestratorResponse { custom_status, ..response(&turn, vec![schedule(n, "act")]) }).await;
        assert_eq!(state(&mut sidecar, "i").await.custom_status.as_deref(), shown, "step {n}");
        let activity = worker.activity().await;
        worker.done(&activity, None).await;
    }
    let turn = worker.turn().await;
    let custom_status = Some("\"last\"".to_owned());
    worker.respond(pb::OrchestratorResponse { custom_status, ..response(&turn, vec![completed(9, None)]) }).await;
    assert_eq!(worker.until_ended("i").await.custom_status.as_deref(), Some("\"last\""));
}

#[tokio::test]
async fn absent_and_empty_texts_are_kept_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    for (id, text) in [("absent", None), ("empty", Some(""))] {
        let request = pb::CreateInstanceRequest { input: text.map(String::from), ..creation("f", id) };
        worker.sidecar.clone().start_instance(request).await.expect("it is free");
        worker.play(id, &FIRST, vec![completed(1, text)]).await;
        let ended = worker.until_ended(id).await;
        assert_eq!((ended.input.as_deref(), ended.output.as_deref()), (text, text));
    }
}

/// The same of versions, which filters don't tell apart; and over a restart.
#[tokio::test]
async fn no_version_is_not_one_that_is_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let bare = pb::OrchestrationFilter { name: "f".into(), versions: vec![String::new()] };
    let children = pb::OrchestrationFilter { name: "child".into(), versions: vec![String::new()] };
    let filters = pb::WorkItemFilters { orchestrations: vec![bare, children], ..Default::default() };
    let request = pb::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() };
    let mut worker = Worker::ask(&server, request).await;
    let cases = [("absent", None), ("empty", Some(""))].map(|(id, version)| (id, version.map(String::from)));
    for (id, version) in &cases {
        let request = pb::CreateInstanceRequest { version: version.clone(), ..creation("f", id) };
        worker.sidecar.clone().start_instance(request).await.expect("it is free");
        let turn = worker.turn().await;
        assert_eq!(&started(&turn).version, version, "{id}");
        let mut child = super::hand::child(1, &format!("child of {id}"));
        let Some(Action::CreateSubOrchestration(create)) = &mut child.orchestrator_action_type else {
            panic!("it creates a child")
        };
        create.version = version.clone();
        worker.complete(&turn, vec![child]).await;
        let turn = worker.turn().await;
        let told = started(&turn);
        let parent = told.parent_instance.expect("it has a parent");
        assert_eq!((&told.version, &parent.version), (version, version), "{id}");
        worker.complete(&turn, vec![completed(1, None)]).await;
        worker.play(id, &["OrchestratorStarted", "SubOrchestrationInstanceCompleted"], vec![completed(2, None)]).await;
        worker.until_ended(id).await;
    }
    drop((worker, server));
    let server = Server::start(folder.path());
    let mut sidecar = crate::durable_task::sidecar(&server).await;
    for (id, version) in cases {
        assert_eq!(state(&mut sidecar, id).await.version, version, "{id}");
        assert_eq!(state(&mut sidecar, &format!("child of {id}")).await.version, version, "{id}");
    }
}

fn started(turn: &Turn) -> pb::ExecutionStartedEvent {
    match &turn.request.new_events[1].event_type {
        Some(EventType::ExecutionStarted(started)) => started.clone(),
        other => panic!("no beginning, but {other:?}"),
    }
}

/// All that a worker says of a failure is kept, for the orchestrator and for clients.
#[tokio::test]
async fn a_failure_is_told_as_it_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &FIRST, vec![schedule(1, "act")]).await;
    let activity = worker.activity().await;
    worker.ended(&activity, None, Some(broken("Activity"))).await;
    let turn = worker.turn().await;
    let Some(EventType::TaskFailed(told)) = &turn.request.new_events[1].event_type else { panic!("{turn:?}") };
    assert_eq!(told.failure_details, Some(broken("Activity")));
    worker.complete(&turn, vec![failed(2, broken("Orchestrator"))]).await;
    let seen = worker.until_ended("i").await;
    assert_eq!(seen.orchestration_status(), OrchestrationStatus::Failed);
    assert_eq!(seen.failure_details, Some(broken("Orchestrator")));
    assert_eq!(seen.output, None);
    // Details that are there but say nothing are a failure all the same.
    create(&mut worker.sidecar, "j").await;
    worker.play("j", &FIRST, vec![schedule(1, "act")]).await;
    let activity = worker.activity().await;
    worker.ended(&activity, Some("result"), Some(pb::TaskFailureDetails::default())).await;
    worker.play("j", &["OrchestratorStarted", "TaskFailed"], vec![completed(2, None)]).await;
}

/// Workers of the Go package and of .NET say the message once more, as the result. It was lost.
#[tokio::test]
async fn what_is_said_beside_a_failure_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    for (id, result) in [("told", Some("it broke")), ("empty", Some("")), ("absent", None)] {
        create(&mut worker.sidecar, id).await;
        let mut end = failed(2, broken("Orchestrator"));
        let Some(Action::CompleteOrchestration(complete)) = &mut end.orchestrator_action_type else {
            panic!("it completes")
        };
        complete.result = result.map(String::from);
        worker.play(id, &FIRST, vec![super::hand::child(1, &format!("{id}:child"))]).await;
        worker.play(&format!("{id}:child"), &FIRST, vec![end.clone()]).await;
        let turn = worker.turn().await;
        let Some(EventType::SubOrchestrationInstanceFailed(told)) = &turn.request.new_events[1].event_type else {
            panic!("{turn:?}")
        };
        assert_eq!(told.failure_details, Some(broken("Orchestrator")), "the parent hears of the failure alone");
        worker.complete(&turn, vec![end]).await;
        let seen = worker.until_ended(id).await;
        assert_eq!((seen.orchestration_status(), seen.output.as_deref()), (OrchestrationStatus::Failed, result));
        assert_eq!(seen.failure_details, Some(broken("Orchestrator")));
        let history = worker.history(id).await;
        let Some(EventType::ExecutionCompleted(last)) = &history.last().expect("an end").event_type else {
            panic!("{history:?}")
        };
        assert_eq!((last.result.as_deref(), &last.failure_details), (result, &seen.failure_details));
    }
}

/// Actions come in any order, the first completion counts, and what can't be done is said.
#[tokio::test]
async fn a_turn_may_end_in_any_of_these_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let nothing = pb::OrchestratorAction { id: 7, orchestrator_action_type: None };
    let cases = [
        ("first", vec![completed(1, Some("1")), ended(1, OrchestrationStatus::Terminated, Some("2"))], "Completed 1"),
        ("terminated", vec![ended(1, OrchestrationStatus::Terminated, Some("2"))], "Terminated 2"),
        ("canceled", vec![nothing, ended(1, OrchestrationStatus::Canceled, None)], "Terminated -"),
        ("running", vec![ended(1, OrchestrationStatus::Running, None)], "Failed -"),
        ("bad child", vec![super::hand::child(1, "a/b")], "Failed -"),
        ("bad name", vec![schedule(1, "")], "Failed -"),
    ];
    for (id, actions, expected) in cases {
        create(&mut worker.sidecar, id).await;
        worker.play(id, &FIRST, actions).await;
        let seen = worker.until_ended(id).await;
        let told = format!("{:?} {}", seen.orchestration_status(), seen.output.as_deref().unwrap_or("-"));
        assert_eq!(told, expected, "{id}");
        if expected.starts_with("Failed") {
            let details = seen.failure_details.expect("why");
            assert_eq!(details.error_type, "InvalidOrchestratorAction");
            assert!(!details.error_message.is_empty() && details.is_non_retriable);
        }
    }
    assert!(worker.hears_nothing(&server).await);
}

/// The first part was taken for all of it, and the rest, with the end, for a late answer: the orchestration hung.
#[tokio::test]
#[expect(deprecated, reason = "workers send it all the same")]
async fn a_completion_in_parts_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let turn = worker.turn().await;
    let part = |is_partial, chunk_index, actions| pb::OrchestratorResponse {
        is_partial,
        chunk_index: Some(chunk_index),
        ..response(&turn, actions)
    };
    worker.respond(part(true, 0, vec![schedule(1, "act")])).await;
    worker.respond(part(false, 1, vec![completed(2, None)])).await;
    let failure = worker.until_ended("i").await.failure_details.expect("it has failed");
    assert_eq!(failure.error_type, "InvalidOrchestratorAction");
    assert!(failure.error_message.contains("several parts"), "{failure:?}");
    assert!(worker.hears_nothing(&server).await, "nothing of it is begun");
}

/// Each worker that was given it lost its stream over it, and the next one was given it at once.
#[tokio::test]
async fn an_activity_that_no_worker_can_take_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    create(&mut sidecar, "i").await;
    let mut large = schedule(1, "act");
    let Some(Action::ScheduleTask(task)) = &mut large.orchestrator_action_type else { panic!("it schedules a task") };
    task.tags.insert("large".into(), "x".repeat(4 << 20));
    worker.play("i", &FIRST, vec![large]).await;
    // It fails, and the turn that is to be told so has it in its history.
    let failure = worker.until_ended("i").await.failure_details.expect("it has failed");
    assert_eq!(failure.error_type, "HistoryTooLarge");
    create(&mut sidecar, "j").await;
    worker.play("j", &FIRST, vec![completed(1, None)]).await;
    worker.until_ended("j").await;
}
