//! Whatever an orchestrator asks for in whatever order, as long as it makes sense: all of it is done, and it ends as it
//! says.

use std::{collections::BTreeMap, time::Duration};

use soloist::proto::durable_task::{self as pb, OrchestrationStatus, work_item::Request};

use super::hand::{
    Activity, Turn, Worker, after, broken, child, completed, continued, ended, failed, kind, past, response, schedule,
    send, timer,
};
use crate::{
    durable_task::create,
    support::{Server, seed::Seed},
};

const ORCHESTRATIONS: usize = 60;
/// A turn asks for so many things at most.
const ACTIONS: u64 = 12;

/// What is left to do for an orchestrator.
struct Plan {
    /// It asks for something in so many turns.
    turns: u64,
    /// It continues as new so often.
    generations: u64,
    /// The number of its next action.
    next: i32,
}

impl Plan {
    fn draw(random: &mut Seed, generations: u64) -> Plan {
        Plan { turns: random.below(4), generations, next: random.below(2) as i32 }
    }

    fn number(&mut self) -> i32 {
        self.next += 1;
        self.next - 1
    }

    /// A list with something in it that wakes the orchestrator, whatever else there is.
    fn ask(&mut self, id: &str, random: &mut Seed) -> Vec<pb::OrchestratorAction> {
        let mut actions = vec![timer(self.number(), after(Duration::from_millis(random.below(10))))];
        for _ in 0..random.below(ACTIONS) {
            let number = self.number();
            actions.push(match random.below(6) {
                0 | 1 => schedule(number, "act"),
                2 => timer(number, after(Duration::from_millis(random.below(10)))),
                3 => child(number, &format!("{id}:{number:04x}:{}", self.generations)),
                4 => send(number, id, "to myself", Some("1")),
                _ => send(number, &format!("i{}", random.below(2 * ORCHESTRATIONS as u64)), "to another", None),
            });
        }
        shuffle(&mut actions, random);
        actions
    }

    /// The last list: the first completion in it is what counts, wherever it stands.
    fn end(&mut self, id: &str, random: &mut Seed) -> (Vec<pb::OrchestratorAction>, Option<OrchestrationStatus>) {
        let (number, other) = (self.number(), self.number());
        let (completion, status) = match random.below(5) {
            0 if self.generations > 0 => (continued(number, "2", &[("e", "1"), ("e", "2")]), None),
            0 | 1 => (failed(0, broken("Oops")), Some(OrchestrationStatus::Failed)),
            2 => (ended(number, OrchestrationStatus::Terminated, Some("3")), Some(OrchestrationStatus::Terminated)),
            _ => (completed(number, Some(id)), Some(OrchestrationStatus::Completed)),
        };
        let mut actions = vec![completion];
        for _ in 0..random.below(4) {
            let told = send(self.number(), "i0", "good-bye", None);
            actions.insert(random.below(actions.len() as u64 + 1) as usize, told);
        }
        if random.below(3) == 0 {
            // The Go package may say it twice.
            actions.push(ended(other, OrchestrationStatus::Terminated, None));
        }
        (actions, status)
    }
}

fn shuffle<T>(all: &mut [T], random: &mut Seed) {
    for at in (1..all.len()).rev() {
        all.swap(at, random.below(at as u64 + 1) as usize);
    }
}

/// How many tasks are scheduled and have not ended, of all that a turn tells.
fn outstanding(request: &pb::OrchestratorRequest) -> usize {
    let past = past(request);
    let all = past.iter().chain(&request.new_events).map(kind);
    let (mut scheduled, mut over) = (0, 0);
    for kind in all {
        match kind {
            "TaskScheduled" | "TimerCreated" | "SubOrchestrationInstanceCreated" => scheduled += 1,
            "TaskCompleted" | "TaskFailed" | "TimerFired" => over += 1,
            "SubOrchestrationInstanceCompleted" | "SubOrchestrationInstanceFailed" => over += 1,
            _ => {}
        }
    }
    assert!(over <= scheduled, "something has ended twice: {request:?}");
    scheduled - over
}

#[tokio::test]
async fn whatever_makes_sense_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Seed::print("whatever_makes_sense_is_done");
    let server = Server::start(folder.path());
    let mut worker = Worker::join(&server).await;
    let ids: Vec<String> = (0..ORCHESTRATIONS).map(|n| format!("i{n}")).collect();
    for id in &ids {
        create(&mut worker.sidecar, id).await;
    }
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    let mut ends: BTreeMap<String, OrchestrationStatus> = BTreeMap::new();
    while ends.keys().filter(|id| ids.contains(id)).count() < ORCHESTRATIONS {
        match worker.item().await {
            (Request::ActivityRequest(request), token) => {
                let details = (random.below(4) == 0).then(|| broken("Oops"));
                worker.ended(&Activity { request, token }, Some("1"), details).await;
            }
            (Request::OrchestratorRequest(request), token) => {
                let id = request.instance_id.clone();
                let turn = Turn { request, token };
                assert!(!ends.contains_key(&id), "{id} has ended");
                let plan = plans.entry(id.clone()).or_insert_with(|| Plan::draw(&mut random, u64::from(id.len() < 4)));
                let (mut actions, mut end) = (Vec::new(), None);
                let is_child = !ids.contains(&id);
                if plan.turns > 0 && !is_child {
                    plan.turns -= 1;
                    actions = plan.ask(&id, &mut random);
                } else if outstanding(&turn.request) == 0 {
                    (actions, end) = plan.end(&id, &mut random);
                    if end.is_none() {
                        plans.insert(id.clone(), Plan::draw(&mut random, 0));
                    }
                }
                ends.extend(end.map(|status| (id, status)));
                worker.respond(response(&turn, actions)).await;
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    for (id, status) in ends {
        let state = worker.until_ended(&id).await;
        assert_eq!(state.orchestration_status(), status, "{state:?}");
        let error = state.failure_details.map(|details| details.error_type);
        assert_eq!(error.as_deref(), (status == OrchestrationStatus::Failed).then_some("Oops"), "{id}");
        let history = worker.history(&id).await;
        let last = history.last().map(kind);
        assert_eq!(last, Some("ExecutionCompleted"), "{history:?}");
    }
    assert!(server.stop().await.0.success());
}
