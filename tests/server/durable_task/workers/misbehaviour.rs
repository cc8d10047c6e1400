//! Workers that don't answer, answer twice, answer late, won't do it, or go away.

use soloist::proto::durable_task::{self as pb, OrchestrationStatus};

use super::hand::{Worker, completed, kind, response, schedule};
use crate::{
    durable_task::{create, creation, state},
    support::Server,
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

#[tokio::test]
async fn what_a_worker_that_has_gone_did_not_complete_goes_to_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut gone = Worker::join(&server).await;
    create(&mut gone.sidecar, "i").await;
    let lost = gone.turn().await;
    let mut sidecar = gone.sidecar.clone();
    drop(gone);
    let mut next = Worker::join(&server).await;
    let turn = next.turn().await;
    assert_eq!(turn.news(), FIRST);
    assert_ne!(turn.token, lost.token);
    // The late answer is taken without a word and does nothing.
    sidecar.complete_orchestrator_task(response(&lost, vec![completed(1, Some("late"))])).await.expect("no error");
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
    next.complete(&turn, vec![schedule(1, "act")]).await;
    let activity = next.activity().await;
    drop(next);
    let mut last = Worker::join(&server).await;
    let again = last.activity().await;
    assert_eq!(again.request, activity.request);
    assert_ne!(again.token, activity.token);
    last.done(&activity, Some("late")).await;
    assert!(last.hears_nothing(&server).await, "nobody waits for the late one");
    last.done(&again, Some("\"a\"")).await;
    last.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(2, None)]).await;
    last.until_ended("i").await;
}

#[tokio::test]
async fn the_second_answer_to_the_same_does_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let turn = worker.turn().await;
    worker.complete(&turn, vec![schedule(1, "act")]).await;
    worker.complete(&turn, vec![completed(1, Some("twice"))]).await;
    let activity = worker.activity().await;
    worker.done(&activity, Some("1")).await;
    worker.done(&activity, Some("2")).await;
    worker.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(2, Some("once"))]).await;
    assert_eq!(worker.until_ended("i").await.output.as_deref(), Some("once"));
    let scheduled = worker.history("i").await.iter().filter(|event| kind(event) == "TaskCompleted").count();
    assert_eq!(scheduled, 1);
}

/// The Go package, and old ones of other languages, know no tokens.
#[tokio::test]
async fn answers_without_a_token_are_known_by_their_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let turn = worker.turn().await;
    let nameless = pb::OrchestratorResponse {
        completion_token: String::new(),
        ..response(&turn, vec![schedule(4, "act"), schedule(5, "act")])
    };
    worker.respond(nameless.clone()).await;
    worker.respond(nameless).await;
    for _ in 0..2 {
        let mut activity = worker.activity().await;
        activity.token = String::new();
        worker.done(&activity, Some("\"a\"")).await;
    }
    let mut told = worker.turn().await;
    if told.news().len() == 2 {
        worker.complete(&told, Vec::new()).await;
        told = worker.turn().await;
    }
    worker.complete(&told, vec![completed(6, None)]).await;
    assert_eq!(worker.until_ended("i").await.orchestration_status(), OrchestrationStatus::Completed);
}

/// It comes back after a rest, to somebody else if there is one, and is still pending.
#[tokio::test]
async fn what_is_abandoned_is_offered_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut unwilling, mut willing) = (Worker::join(&server).await, Worker::join(&server).await);
    let mut sidecar = unwilling.sidecar.clone();
    // Both are busy with one each, so that the third goes to the one that has answered.
    create(&mut sidecar, "i").await;
    let (turn, has_it) = tokio::select! {
        turn = unwilling.turn() => (turn, true),
        turn = willing.turn() => (turn, false),
    };
    let (mut other, mut it) = if has_it { (willing, unwilling) } else { (unwilling, willing) };
    let request = pb::AbandonOrchestrationTaskRequest { completion_token: turn.token.clone() };
    it.sidecar.abandon_task_orchestrator_work_item(request.clone()).await.expect("always OK");
    it.sidecar.abandon_task_orchestrator_work_item(request).await.expect("always OK");
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
    other.play("i", &FIRST, vec![schedule(1, "act")]).await;
    let mut abandoned = 0;
    let done = loop {
        let (activity, worker) = tokio::select! {
            activity = it.activity() => (activity, &mut it),
            activity = other.activity() => (activity, &mut other),
        };
        if abandoned == 3 {
            worker.done(&activity, None).await;
            break activity;
        }
        abandoned += 1;
        let request = pb::AbandonActivityTaskRequest { completion_token: activity.token };
        worker.sidecar.abandon_task_activity_work_item(request).await.expect("always OK");
    };
    assert_eq!(done.request.task_id, 1);
    let told = tokio::select! {
        turn = it.turn() => turn,
        turn = other.turn() => turn,
    };
    assert_eq!(told.news(), ["OrchestratorStarted", "TaskCompleted"]);
}

/// Its stream lives, so that nothing but time tells it from one that works.
#[tokio::test]
async fn the_turn_of_a_worker_that_never_answers_goes_to_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--turn-lease", "3s"], &[]);
    let mut mute = Worker::join(&server).await;
    create(&mut mute.sidecar, "i").await;
    let lost = mute.turn().await;
    let mut other = Worker::join(&server).await;
    let turn = other.turn().await;
    assert_eq!((turn.request.instance_id.as_str(), turn.news().as_slice()), ("i", &FIRST[..]));
    assert_ne!(turn.token, lost.token);
    // The late answer is taken without a word and does nothing.
    mute.complete(&lost, vec![completed(1, Some("late"))]).await;
    assert_eq!(state(&mut mute.sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
    other.complete(&turn, vec![schedule(1, "act")]).await;
    mute.complete(&lost, vec![completed(1, Some("later"))]).await;
    let activity = other.activity().await;
    other.done(&activity, None).await;
    other.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(2, Some("once"))]).await;
    assert_eq!(other.until_ended("i").await.output.as_deref(), Some("once"));
    let kinds: Vec<_> = other.history("i").await.iter().map(kind).collect();
    let second = ["OrchestratorStarted", "TaskCompleted", "ExecutionCompleted"];
    assert_eq!(kinds, [&FIRST[..], &["TaskScheduled"], &second].concat());
}

/// Nothing that a worker says for ends that are none is an error: some SDKs take one for the loss of their stream.
#[tokio::test]
async fn answers_to_nothing_are_no_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    for token in ["", "no token", "ffffffffffffffffffffffffffffffff", "+1"] {
        for id in ["", "nobody", "a/b", "@counter@1"] {
            let turn = pb::OrchestratorResponse {
                instance_id: id.into(),
                completion_token: token.into(),
                ..Default::default()
            };
            worker.respond(turn).await;
            let activity =
                pb::ActivityResponse { instance_id: id.into(), completion_token: token.into(), ..Default::default() };
            sidecar.complete_activity_task(activity).await.expect("no error");
        }
        let completion_token = token.to_owned();
        let turn = pb::AbandonOrchestrationTaskRequest { completion_token: completion_token.clone() };
        sidecar.abandon_task_orchestrator_work_item(turn).await.expect("no error");
        sidecar
            .abandon_task_activity_work_item(pb::AbandonActivityTaskRequest { completion_token })
            .await
            .expect("no error");
    }
}

/// The late answer of a worker of the former execution is not its successor's.
#[tokio::test]
async fn a_replaced_execution_leaves_nothing_to_its_successor() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let first = worker.play("i", &FIRST, vec![schedule(1, "act")]).await;
    let activity = worker.activity().await;
    let all = [
        OrchestrationStatus::Running,
        OrchestrationStatus::Pending,
        OrchestrationStatus::Terminated,
        OrchestrationStatus::Completed,
    ];
    let policy = pb::OrchestrationIdReusePolicy {
        replaceable_status: all.iter().map(|status| i32::from(*status)).collect(),
        legacy_action: 0,
    };
    let request = pb::CreateInstanceRequest { orchestration_id_reuse_policy: Some(policy), ..creation("f", "i") };
    worker.sidecar.clone().start_instance(request).await.expect("replaced");
    let second = worker.turn().await;
    assert_eq!(second.news(), FIRST);
    assert_ne!(second.execution_id(), first.execution_id());
    worker.done(&activity, Some("late")).await;
    worker.complete(&first, vec![completed(9, Some("late"))]).await;
    worker.complete(&second, vec![schedule(1, "act")]).await;
    let own = worker.activity().await;
    worker.done(&own, Some("own")).await;
    let told = worker.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(2, None)]).await;
    assert_eq!(told.request.past_events.len(), 3);
}
