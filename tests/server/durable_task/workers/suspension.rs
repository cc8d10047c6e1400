//! Suspended orchestrations: what comes meanwhile is held, and told in order afterwards.

use std::time::Duration;

use soloist::proto::durable_task::OrchestrationStatus;

use super::hand::{Worker, after, completed, raised, schedule, timer};
use crate::{
    durable_task::{create, raise, resume, state, suspend},
    support::Server,
};

#[tokio::test]
async fn a_suspended_orchestration_is_told_everything_when_it_goes_on() {
    const WAIT: Duration = Duration::from_millis(30);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    create(&mut sidecar, "i").await;
    let first = worker.turn().await;
    suspend(&mut sidecar, "i").await.expect("it is live");
    suspend(&mut sidecar, "i").await.expect("no harm");
    worker.complete(&first, vec![schedule(1, "act"), timer(2, after(WAIT))]).await;
    let activity = worker.activity().await;
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Suspended);
    raise(&mut sidecar, "i", "a").await.expect("it is live");
    worker.done(&activity, None).await;
    raise(&mut sidecar, "i", "b").await.expect("it is live");
    // Timers fire in the order of their times: when another one's has fired that was due later, its own has.
    create(&mut sidecar, "later").await;
    worker.play("later", &["OrchestratorStarted", "ExecutionStarted"], vec![timer(1, after(WAIT))]).await;
    worker.play("later", &["OrchestratorStarted", "TimerFired"], vec![completed(2, None)]).await;
    assert!(worker.hears_nothing(&server).await);
    resume(&mut sidecar, "i").await.expect("it is live");
    resume(&mut sidecar, "i").await.expect("no harm");
    let turn = worker.turn().await;
    let mut told = turn.news();
    assert_eq!(told.iter().position(|name| *name == "TimerFired").map(|at| told.remove(at)), Some("TimerFired"));
    assert_eq!(told, ["OrchestratorStarted", "EventRaised", "TaskCompleted", "EventRaised"]);
    worker.complete(&turn, Vec::new()).await;
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Running);
}

/// What was asked before the first turn is told with it, in order; and a turn that was out when it was suspended counts.
#[tokio::test]
async fn suspended_before_its_first_turn_and_during_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut sidecar = crate::durable_task::sidecar(&server).await;
    create(&mut sidecar, "i").await;
    raise(&mut sidecar, "i", "a").await.expect("it is live");
    suspend(&mut sidecar, "i").await.expect("it is live");
    raise(&mut sidecar, "i", "b").await.expect("it is live");
    let mut worker = Worker::join(&server).await;
    assert!(worker.hears_nothing(&server).await);
    resume(&mut sidecar, "i").await.expect("it is live");
    let turn = worker.turn().await;
    let names: Vec<String> = raised(&turn.request.new_events).into_iter().map(|(name, _)| name).collect();
    assert_eq!((turn.news().len(), names.join(" ")), (4, "a b".to_owned()));
    suspend(&mut sidecar, "i").await.expect("it is live");
    raise(&mut sidecar, "i", "c").await.expect("it is live");
    worker.complete(&turn, vec![schedule(1, "act")]).await;
    assert_eq!(worker.activity().await.request.task_id, 1, "activities go on");
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Suspended);
    assert!(worker.hears_nothing(&server).await);
    resume(&mut sidecar, "i").await.expect("it is live");
    worker.play("i", &["OrchestratorStarted", "EventRaised"], vec![completed(2, None)]).await;
    worker.until_ended("i").await;
}

/// Events that come while a turn is out make another one, though nobody asked for it.
#[tokio::test]
async fn what_comes_during_a_turn_makes_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut sidecar = worker.sidecar.clone();
    create(&mut sidecar, "i").await;
    let turn = worker.turn().await;
    raise(&mut sidecar, "i", "a").await.expect("it is live");
    raise(&mut sidecar, "i", "b").await.expect("it is live");
    assert!(worker.hears_nothing(&server).await, "one turn at a time");
    worker.complete(&turn, Vec::new()).await;
    worker.play("i", &["OrchestratorStarted", "EventRaised", "EventRaised"], vec![completed(1, None)]).await;
    worker.until_ended("i").await;
    raise(&mut sidecar, "i", "late").await.expect("no harm");
}
