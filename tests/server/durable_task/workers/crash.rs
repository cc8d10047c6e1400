//! The server is killed: what was acknowledged goes on where it was, each effect once.

mod rivals;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use soloist::proto::durable_task::{self as pb, OrchestrationStatus, history_event::EventType, work_item::Request};
use tokio::task::JoinSet;

use self::rivals::Rivals;
use super::hand::{
    Activity, Turn, Worker, after, child, completed, history, kind, past, schedule, send, timer, within,
};
use crate::{
    durable_task::{create, sidecar},
    support::{Server, seed::Seed},
};

const FIRST: [&str; 2] = ["OrchestratorStarted", "ExecutionStarted"];

#[tokio::test]
async fn everything_that_was_scheduled_is_there_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    create(&mut worker.sidecar, "i").await;
    let actions = vec![schedule(1, "act"), timer(2, after(Duration::from_millis(50))), child(3, "c")];
    worker.play("i", &FIRST, actions).await;
    server.kill();
    drop(worker);

    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let mut told = BTreeMap::new();
    while told.len() < 3 {
        match worker.item().await {
            (Request::ActivityRequest(request), token) => {
                worker.done(&Activity { request, token }, Some("1")).await;
            }
            (Request::OrchestratorRequest(request), token) => {
                let turn = Turn { request, token };
                let actions = if turn.request.instance_id == "c" { vec![completed(1, Some("3"))] } else { Vec::new() };
                for event in turn.request.new_events.iter().filter(|_| turn.request.instance_id == "i") {
                    *told.entry(kind(event)).or_insert(0) += 1;
                }
                told.remove("OrchestratorStarted");
                worker.complete(&turn, actions).await;
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    let expected = [("SubOrchestrationInstanceCompleted", 1), ("TaskCompleted", 1), ("TimerFired", 1)];
    assert_eq!(told, BTreeMap::from(expected));
}

/// What a mixed crowd of orchestrations comes to over the deaths of servers and workers at random moments.
const ORCHESTRATIONS: usize = 500;
const KILLS: usize = 6;
/// So many callers start each of them at once, and so many start what has run or soon will when the server is killed.
const RIVALS: usize = 3;
const LATE: usize = 30;
/// A worker dies with its hands full before it has done so many work items.
const WORKER_LIFE: u64 = 200;

/// Decides what an orchestrator does next from its whole history, as an SDK would by replaying: two activities at once,
/// a timer, a child, an event to itself, then the end with the sum of what it was told.
fn next(request: &pb::OrchestratorRequest) -> Vec<pb::OrchestratorAction> {
    let past = past(request);
    let all: Vec<&pb::HistoryEvent> = past.iter().chain(&request.new_events).collect();
    let count = |name: &str| all.iter().filter(|event| kind(event) == name).count();
    let is_child = request.instance_id.contains("-child");
    if is_child {
        return match (count("TaskScheduled"), count("TaskCompleted")) {
            (0, _) => vec![schedule(1, "act")],
            (_, 1) => vec![completed(2, Some("5"))],
            _ => Vec::new(),
        };
    }
    let id = &request.instance_id;
    if count("TaskScheduled") == 0 {
        return vec![schedule(1, "act"), schedule(2, "act")];
    }
    if count("TaskCompleted") < 2 {
        return Vec::new();
    }
    if count("TimerCreated") == 0 {
        return vec![timer(3, after(Duration::from_millis(5)))];
    }
    if count("TimerFired") == 0 {
        return Vec::new();
    }
    if count("SubOrchestrationInstanceCreated") == 0 {
        return vec![child(4, &format!("{id}-child")), send(5, id, "tick", Some("1"))];
    }
    if count("SubOrchestrationInstanceCompleted") == 0 || count("EventRaised") == 0 {
        return Vec::new();
    }
    let told = all.iter().map(|event| match &event.event_type {
        Some(EventType::TaskCompleted(done)) => number(&done.result),
        Some(EventType::SubOrchestrationInstanceCompleted(done)) => number(&done.result),
        Some(EventType::EventRaised(raised)) => number(&raised.input),
        _ => 0,
    });
    vec![completed(6, Some(&told.sum::<i64>().to_string()))]
}

fn number(text: &Option<String>) -> i64 {
    text.as_deref().and_then(|text| text.parse().ok()).expect("a number")
}

/// Workers one after the other, each until its stream ends or it dies with what it has.
async fn work(server: &Server, rivals: &Rivals, mut random: Seed) -> Option<()> {
    loop {
        let mut sidecar = sidecar(server).await;
        let mut stream = sidecar.get_work_items(pb::GetWorkItemsRequest::default()).await.ok()?.into_inner();
        for _ in 0..random.below(WORKER_LIFE) {
            let item = stream.message().await.ok()??;
            let token = item.completion_token;
            match item.request? {
                Request::OrchestratorRequest(request) => {
                    rivals.is_played(&request);
                    let turn = Turn { request, token };
                    let response = super::hand::response(&turn, next(&turn.request));
                    sidecar.complete_orchestrator_task(response).await.ok()?;
                }
                Request::ActivityRequest(request) => {
                    let response = pb::ActivityResponse {
                        instance_id: request.orchestration_instance.unwrap_or_default().instance_id,
                        task_id: request.task_id,
                        result: Some("2".into()),
                        failure_details: None,
                        completion_token: token,
                    };
                    sidecar.complete_activity_task(response).await.ok()?;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orchestrations_come_to_the_right_end_over_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Seed::print("orchestrations_come_to_the_right_end_over_kills");
    let ids: Vec<String> = (0..ORCHESTRATIONS).map(|n| format!("i{n}")).collect();
    let rivals = Arc::new(Rivals::new());
    let mut begun = 0;
    for kill in 0..=KILLS {
        let server = Server::start(folder.path());
        let mut sidecar = sidecar(&server).await;
        let until = if kill == KILLS { ORCHESTRATIONS } else { ORCHESTRATIONS * (kill + 1) / (KILLS + 1) };
        let (one, other) = (work(&server, &rivals, random.fork()), work(&server, &rivals, random.fork()));
        let mut late = JoinSet::new();
        let client = async {
            for id in &ids[begun..until] {
                let mut starting = JoinSet::new();
                for n in 0..RIVALS {
                    let (rivals, sidecar, id, random) = (rivals.clone(), sidecar.clone(), id.clone(), random.fork());
                    starting.spawn(async move { rivals.start(sidecar, &format!("rival {n}"), &id, random).await });
                }
                starting.join_all().await;
            }
            if kill < KILLS {
                // So many ends are waited for: the moment is another one each time.
                let some = random.below(10) as usize;
                for id in ids[..until].iter().rev().take(some) {
                    let request = pb::GetInstanceRequest { instance_id: id.clone(), get_inputs_and_outputs: false };
                    within("an end", sidecar.wait_for_instance_completion(request)).await.expect("an answer");
                }
                // What is under way when the server dies may have happened or not.
                let among = ORCHESTRATIONS.min(until + LATE);
                for _ in 0..LATE {
                    let (rivals, sidecar, random_id) = (rivals.clone(), sidecar.clone(), random.below(among as u64));
                    let (id, random) = (ids[random_id as usize].clone(), random.fork());
                    late.spawn(async move { rivals.start(sidecar, "late", &id, random).await });
                }
                for _ in 0..random.below(LATE as u64) {
                    late.join_next().await;
                }
                return;
            }
            for id in &ids {
                let request = pb::GetInstanceRequest { instance_id: id.clone(), get_inputs_and_outputs: true };
                let ended = within("an end", sidecar.wait_for_instance_completion(request)).await.expect("an answer");
                let state = ended.into_inner().orchestration_state.expect("it is there");
                assert_eq!(state.orchestration_status(), OrchestrationStatus::Completed, "{id}");
                assert_eq!(state.output.as_deref(), Some("10"), "{id}: no result lost");
                let history = history(&mut sidecar, id).await;
                let counted = |name: &str| history.iter().filter(|event| kind(event) == name).count();
                let each = [
                    ("ExecutionStarted", 1),
                    ("TaskScheduled", 2),
                    ("TaskCompleted", 2),
                    ("TimerCreated", 1),
                    ("TimerFired", 1),
                    ("SubOrchestrationInstanceCreated", 1),
                    ("SubOrchestrationInstanceCompleted", 1),
                    ("EventSent", 1),
                    ("EventRaised", 1),
                    ("ExecutionCompleted", 1),
                ];
                for (name, count) in each {
                    assert_eq!(counted(name), count, "{id}: {name}");
                }
            }
            let executions = rivals.judge(&server, &ids).await;
            println!("{executions} executions of {ORCHESTRATIONS} instances");
            assert!(executions > ORCHESTRATIONS, "some have run again");
        };
        tokio::select! {
            () = client => {}
            _ = async { tokio::join!(one, other) } => panic!("the workers have left"),
        }
        begun = until;
        if kill < KILLS {
            server.kill()
        } else {
            assert!(server.stop().await.0.success())
        }
        while let Some(started) = late.join_next().await {
            started.expect("a caller was told what it had to be told");
        }
    }
}
