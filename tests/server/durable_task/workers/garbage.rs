//! Whatever a worker says: never a panic, never an instance that can't be ended.

use std::time::Duration;

use soloist::proto::durable_task::{self as pb, orchestrator_action::OrchestratorActionType as Action};

use super::hand::{Worker, after, child, completed, continued, response, schedule, send, timer};
use crate::{
    durable_task::{create, found, terminate},
    support::{Server, seed::Seed},
};

const ROUNDS: usize = 150;

fn text(random: &mut Seed) -> String {
    let texts = ["", "a", "i", "a/b", "@e@k", "\0", "ü", "no such instance", "i1", "i2", "i1:0001"];
    match random.below(12) {
        11 => "x".repeat(random.below(5_000) as usize),
        n => texts[n as usize].to_owned(),
    }
}

fn number(random: &mut Seed) -> i32 {
    [-1, 0, 1, 2, 3, i32::MAX, i32::MIN][random.below(7) as usize]
}

fn time(random: &mut Seed) -> prost_types::Timestamp {
    match random.below(4) {
        0 => prost_types::Timestamp { seconds: i64::MAX, nanos: i32::MAX },
        1 => prost_types::Timestamp { seconds: i64::MIN, nanos: i32::MIN },
        2 => prost_types::Timestamp::default(),
        _ => after(Duration::from_millis(random.below(50))),
    }
}

fn action(random: &mut Seed) -> pb::OrchestratorAction {
    let id = number(random);
    let mut action = match random.below(10) {
        0 => schedule(id, &text(random)),
        1 => timer(id, time(random)),
        2 => child(id, &text(random)),
        3 => send(id, &text(random), &text(random), Some(&text(random))),
        4 => completed(id, Some(&text(random))),
        5 => continued(id, &text(random), &[(&text(random), "1"), ("b", "2")]),
        6 => pb::OrchestratorAction { id, orchestrator_action_type: None },
        7 => {
            let terminate = pb::TerminateOrchestrationAction {
                instance_id: text(random),
                reason: Some(text(random)),
                recurse: random.below(2) == 0,
            };
            pb::OrchestratorAction { id, orchestrator_action_type: Some(Action::TerminateOrchestration(terminate)) }
        }
        8 => {
            let complete = pb::CompleteOrchestrationAction {
                orchestration_status: number(random),
                result: Some(text(random)),
                failure_details: (random.below(2) == 0).then(pb::TaskFailureDetails::default),
                ..Default::default()
            };
            pb::OrchestratorAction { id, orchestrator_action_type: Some(Action::CompleteOrchestration(complete)) }
        }
        _ => {
            let entity = pb::SendEntityMessageAction { entity_message_type: None };
            pb::OrchestratorAction { id, orchestrator_action_type: Some(Action::SendEntityMessage(entity)) }
        }
    };
    if let (Some(Action::CreateTimer(timer)), 0) = (&mut action.orchestrator_action_type, random.below(3)) {
        timer.fire_at = None;
    }
    action
}

/// Some SDKs still send what is not to be sent any more.
#[expect(deprecated, reason = "that is what it is about")]
fn in_parts(random: &mut Seed, answer: &mut pb::OrchestratorResponse) {
    answer.is_partial = random.below(10) == 0;
    answer.chunk_index = (random.below(5) == 0).then(|| number(random));
    answer.num_events_processed = (random.below(5) == 0).then(|| number(random));
}

#[tokio::test]
async fn a_worker_that_says_anything_breaks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Seed::print("a_worker_that_says_anything_breaks_nothing");
    let mut server = Server::start(folder.path());
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            // Whatever was written can be read again.
            assert!(server.stop().await.0.success());
            server = Server::start(folder.path());
        }
        let mut worker = Worker::join(&server).await;
        let mut sidecar = worker.sidecar.clone();
        let id = format!("i{}", round % 5);
        let _ = sidecar.start_instance(crate::durable_task::creation("f", &id)).await;
        for _ in 0..random.below(4) {
            let item = tokio::time::timeout(Duration::from_millis(20), worker.item()).await;
            match item {
                Ok((pb::work_item::Request::OrchestratorRequest(request), token)) => {
                    let turn = super::hand::Turn { request, token };
                    let actions = (0..random.below(5)).map(|_| action(&mut random)).collect();
                    let mut answer = response(&turn, actions);
                    answer.custom_status = (random.below(2) == 0).then(|| text(&mut random));
                    answer.requires_history = random.below(20) == 0;
                    in_parts(&mut random, &mut answer);
                    if random.below(5) == 0 {
                        answer.completion_token = text(&mut random);
                    }
                    worker.respond(answer).await;
                }
                Ok((pb::work_item::Request::ActivityRequest(request), token)) => {
                    let activity = super::hand::Activity { request, token };
                    let details = (random.below(2) == 0).then(pb::TaskFailureDetails::default);
                    worker.ended(&activity, Some(&text(&mut random)), details).await;
                }
                Ok((other, _)) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
        worker.history(&id).await;
        if random.below(3) == 0 {
            terminate(&mut sidecar, &id, None).await;
        }
    }
    let mut sidecar = crate::durable_task::sidecar(&server).await;
    for id in (0..5).map(|n| format!("i{n}")) {
        terminate(&mut sidecar, &id, None).await;
        let state = found(&mut sidecar, &id).await.expect("it was started");
        assert!(state.completed_timestamp.is_some(), "{state:?}");
    }
    create(&mut sidecar, "fresh").await;
    assert!(server.stop().await.0.success());
}
