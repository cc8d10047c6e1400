//! The shape of histories and requests, as the SDKs rely on it.

use std::time::Duration;

use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus, history_event::EventType},
    v1::{self, HistoryEventType},
};

use super::hand::{Worker, after, child, completed, kind, schedule, timer};
use crate::{
    durable_task::{create, creation, state},
    support::{Server, start, status},
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

/// What a client of the published JavaScript package checks, event by event.
#[tokio::test]
async fn an_activity_a_timer_and_a_child_make_this_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let request = pb::CreateInstanceRequest {
        input: Some("\"in\"".into()),
        version: Some("v1".into()),
        tags: [("team".to_owned(), "a".to_owned())].into(),
        parent_trace_context: Some(pb::TraceContext { trace_parent: "00-ab-cd-01".into(), ..Default::default() }),
        ..creation("f", "i")
    };
    worker.sidecar.clone().start_instance(request).await.expect("it is free");

    let first = worker.turn().await;
    assert_eq!(first.news(), FIRST);
    assert!(first.request.past_events.is_empty());
    let Some(EventType::ExecutionStarted(started)) = &first.request.new_events[1].event_type else {
        panic!("{first:?}")
    };
    assert_eq!((started.name.as_str(), started.input.as_deref()), ("f", Some("\"in\"")));
    assert_eq!((started.version.as_deref(), started.tags["team"].as_str()), (Some("v1"), "a"));
    assert_eq!(started.parent_trace_context.as_ref().map(|trace| trace.trace_parent.as_str()), Some("00-ab-cd-01"));
    let instance = started.orchestration_instance.as_ref().expect("it is of an instance");
    assert_eq!((instance.instance_id.as_str(), instance.execution_id.as_deref()), ("i", Some(first.execution_id())));
    let pending = state(&mut worker.sidecar, "i").await;
    assert_eq!(pending.orchestration_status(), OrchestrationStatus::Pending, "its first turn is not over");
    worker.complete(&first, vec![schedule(1, "act")]).await;
    assert_eq!(state(&mut worker.sidecar, "i").await.orchestration_status(), OrchestrationStatus::Running);

    let activity = worker.activity().await;
    assert_eq!((activity.request.name.as_str(), activity.request.task_id), ("act", 1));
    assert_eq!(activity.request.input.as_deref(), Some("\"act 1\""));
    worker.done(&activity, Some("")).await;
    let fire_at = after(Duration::from_millis(30));
    let second = worker.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![timer(2, fire_at)]).await;
    let past: Vec<&str> = second.past().iter().map(kind).collect();
    assert_eq!(past, ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"]);
    let Some(EventType::TaskCompleted(done)) = &second.request.new_events[1].event_type else { panic!("{second:?}") };
    assert_eq!((done.task_scheduled_id, done.result.as_deref()), (1, Some("")), "empty is not absent");

    let third = worker.play("i", &["OrchestratorStarted", "TimerFired"], vec![child(3, "")]).await;
    let times: Vec<_> = third.request.new_events.iter().map(|event| event.timestamp.expect("a time")).collect();
    let fired = (fire_at.seconds, fire_at.nanos);
    assert!((times[0].seconds, times[0].nanos) >= fired, "the turn's clock is not before the timer that it is told of");

    let begun = worker.play("i:0003", &FIRST, vec![completed(1, None)]).await;
    let Some(EventType::ExecutionStarted(started)) = &begun.request.new_events[1].event_type else {
        panic!("{begun:?}")
    };
    let parent = started.parent_instance.as_ref().expect("it has a parent");
    assert_eq!((parent.task_scheduled_id, parent.name.as_deref()), (3, Some("f")));
    let parent_instance = parent.orchestration_instance.as_ref().expect("it is named");
    assert_eq!(parent_instance.execution_id.as_deref(), Some(first.execution_id()));
    worker
        .play("i", &["OrchestratorStarted", "SubOrchestrationInstanceCompleted"], vec![completed(4, Some("\"out\""))])
        .await;

    let ended = worker.until_ended("i").await;
    assert_eq!(
        (ended.orchestration_status(), ended.output.as_deref()),
        (OrchestrationStatus::Completed, Some("\"out\""))
    );
    let of_child = state(&mut worker.sidecar, "i:0003").await;
    assert_eq!((of_child.parent_instance_id.as_deref(), of_child.output), (Some("i"), None));
    let history = worker.history("i").await;
    let names: Vec<&str> = history.iter().map(kind).collect();
    assert_eq!(
        names,
        [
            "OrchestratorStarted",
            "ExecutionStarted",
            "TaskScheduled",
            "OrchestratorStarted",
            "TaskCompleted",
            "TimerCreated",
            "OrchestratorStarted",
            "TimerFired",
            "SubOrchestrationInstanceCreated",
            "OrchestratorStarted",
            "SubOrchestrationInstanceCompleted",
            "ExecutionCompleted",
        ]
    );
    let own: Vec<i32> = history.iter().map(|event| event.event_id).filter(|id| *id >= 0).collect();
    assert_eq!(own, [1, 2, 3, 4]);
    assert!(history.iter().all(|event| event.timestamp.is_some()));
}

/// The same instance, as `soloist.v1` shows it.
#[tokio::test]
async fn both_apis_show_an_execution_that_is_run_in_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut client = server.client().await;
    client.start_singleton(start("f", "i")).await.expect("started");
    worker.play("i", &FIRST, vec![schedule(0, "act")]).await;
    let running = status(&mut client, "i").await;
    assert_eq!((running.runtime_status(), running.worker.as_str()), (v1::RuntimeStatus::Running, ""));
    assert_eq!(running.pending_reason, "");
    let activity = worker.activity().await;
    assert_eq!(activity.request.task_id, 0, "no number is none");
    worker.done(&activity, None).await;
    worker.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(1, Some("7"))]).await;
    worker.until_ended("i").await;

    let request = v1::GetHistoryRequest { instance_id: "i".into(), ..Default::default() };
    let mut stream = client.get_history(request).await.expect("a history").into_inner();
    let mut told = Vec::new();
    while let Some(part) = stream.message().await.expect("a history") {
        told.extend(part.events.into_iter().map(|event| (event.r#type(), event.task_id, event.output)));
    }
    use HistoryEventType as Type;
    let expected = [
        (Type::TurnStarted, None, None),
        (Type::ExecutionStarted, None, None),
        (Type::TaskScheduled, Some(0), None),
        (Type::TurnStarted, None, None),
        (Type::TaskCompleted, Some(0), None),
        (Type::ExecutionCompleted, None, Some("7".to_owned())),
    ];
    assert_eq!(told, expected);
}

/// Whoever ends it from outside notes that too, once.
#[tokio::test]
async fn the_history_of_a_terminated_one_ends_with_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &FIRST, vec![schedule(1, "act")]).await;
    crate::durable_task::terminate(&mut worker.sidecar, "i", Some("\"enough\"")).await;
    let history = worker.history("i").await;
    let names: Vec<&str> = history.iter().map(kind).collect();
    let [first, second, third, fourth, fifth] = names[..] else { panic!("{names:?}") };
    assert_eq!((first, second, third), (FIRST[0], FIRST[1], "TaskScheduled"));
    assert_eq!((fourth, fifth), ("ExecutionTerminated", "ExecutionCompleted"));
}
