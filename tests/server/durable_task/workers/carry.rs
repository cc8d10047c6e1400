//! Continue-as-new: what is carried over, and what is left behind.

use std::time::Duration;

use soloist::proto::durable_task::{OrchestrationStatus, history_event::EventType};

use super::hand::{Worker, after, completed, continued, raised, response, schedule, timer};
use crate::{
    durable_task::{asked, create, raise, state},
    support::Server,
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

#[tokio::test]
async fn what_an_orchestration_that_continues_as_new_takes_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    create(&mut sidecar, "i").await;
    let created = state(&mut sidecar, "i").await.created_timestamp;
    let wait = Duration::from_millis(20);
    let first = worker.play("i", &FIRST, vec![schedule(1, "act"), timer(2, after(wait))]).await;
    let activity = worker.activity().await;
    for _ in 0..2 {
        raise(&mut sidecar, "i", "go").await.expect("it is live");
    }
    let mut heard = 0;
    let turn = loop {
        let turn = worker.turn().await;
        heard += turn.news().iter().filter(|name| **name == "EventRaised").count();
        if heard == 2 {
            break turn;
        }
        worker.complete(&turn, Vec::new()).await;
    };
    // Comes while the turn is out.
    raise(&mut sidecar, "i", "meanwhile").await.expect("it is live");
    worker.done(&activity, Some("left behind")).await;
    let mut answer = response(&turn, vec![schedule(3, "never"), continued(4, "\"two\"", &[("go", "1"), ("go", "2")])]);
    answer.custom_status = Some("\"kept\"".into());
    worker.respond(answer).await;

    let second = worker.turn().await;
    assert_eq!(second.news()[..2], FIRST);
    assert!(second.request.past_events.is_empty());
    assert_ne!(second.execution_id(), first.execution_id());
    let Some(EventType::ExecutionStarted(started)) = &second.request.new_events[1].event_type else {
        panic!("{second:?}")
    };
    assert_eq!((started.name.as_str(), started.input.as_deref()), ("f", Some("\"two\"")));
    let names: Vec<String> =
        raised(&second.request.new_events).into_iter().map(|(name, input)| format!("{name} {input:?}")).collect();
    assert_eq!(names, ["go Some(\"1\")", "go Some(\"2\")", "meanwhile None"]);
    assert_eq!(second.news().len(), 5, "no end of what the former execution had scheduled: {:?}", second.news());
    let seen = state(&mut sidecar, "i").await;
    assert_eq!((seen.orchestration_status(), seen.created_timestamp), (OrchestrationStatus::Running, created));
    assert_eq!((seen.input.as_deref(), seen.custom_status.as_deref()), (Some("\"two\""), Some("\"kept\"")));
    // The same number again is another task.
    worker.complete(&second, vec![schedule(1, "act")]).await;
    let own = worker.activity().await;
    worker.done(&activity, Some("late")).await;
    worker.done(&own, Some("own")).await;
    let third = worker.play("i", &["OrchestratorStarted", "TaskCompleted"], vec![completed(2, None)]).await;
    let Some(EventType::TaskCompleted(done)) = &third.request.new_events[1].event_type else { panic!("{third:?}") };
    assert_eq!(done.result.as_deref(), Some("own"));
    worker.until_ended("i").await;
}

/// An eternal orchestration, generation after generation; whoever waits for its end goes on waiting.
#[tokio::test]
async fn many_generations_are_one_instance() {
    const GENERATIONS: i32 = 50;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let mut waiting = worker.sidecar.clone();
    let end = tokio::spawn(async move {
        let ended = waiting.wait_for_instance_completion(asked("i", true)).await.expect("an answer");
        ended.into_inner().orchestration_state.expect("it is there")
    });
    let mut executions = std::collections::BTreeSet::new();
    for n in 0..GENERATIONS {
        let turn = worker.turn().await;
        executions.insert(turn.execution_id().to_owned());
        let action = if n + 1 < GENERATIONS { continued(1, &n.to_string(), &[]) } else { completed(1, Some("over")) };
        worker.complete(&turn, vec![action]).await;
    }
    let seen = end.await.expect("no panic");
    assert_eq!((seen.output.as_deref(), executions.len()), (Some("over"), GENERATIONS as usize));
}
