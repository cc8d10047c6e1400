//! Several callers at one id, over the deaths of the server: what they were told, and whether one execution at a time was
//! live.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use soloist::{
    checker::{
        Rules, check,
        history::{
            Answer, Call, CallNumber, Closing, History, InstanceId, Item, ItemKind, Sighting, Start, Status, Tick,
        },
    },
    proto::{
        durable_task as pb,
        v1::{self, RuntimeStatus},
    },
};
use tonic::Code;

use crate::{
    durable_task::{Sidecar, creation},
    support::{Client, Server, error_info, seed::Seed, status, value},
};

pub struct Rivals {
    recorded: Mutex<History>,
    began: Instant,
    /// The executions whose turns workers were given, of each instance, in the order in which they came.
    played: Mutex<BTreeMap<String, Vec<String>>>,
}

/// What is never poisoned for good: one failed assertion is enough.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rivals {
    pub fn new() -> Rivals {
        Rivals { recorded: Mutex::default(), began: Instant::now(), played: Mutex::default() }
    }

    fn now(&self) -> Tick {
        self.began.elapsed().as_micros() as Tick
    }

    fn called(&self, id: &str, caller: &str, call: Call) -> CallNumber {
        let mut recorded = lock(&self.recorded);
        recorded.called(&InstanceId::new("default", id), caller, self.now(), call)
    }

    fn answered(&self, call: CallNumber, answer: Answer) {
        let mut recorded = lock(&self.recorded);
        recorded.answered(call, self.now(), answer);
    }

    /// Starts an id that others start as well, as an execution of its own. What dies with the server stays open.
    pub async fn start(&self, mut sidecar: Sidecar, caller: &str, id: &str, mut random: Seed) {
        let execution = format!("{:016x}{:016x}", random.next(), random.next());
        let request = pb::CreateInstanceRequest { execution_id: Some(execution.clone()), ..creation("f", id) };
        let call = self.called(id, caller, Call::Start(Start::of("f")));
        match sidecar.start_instance(request).await {
            Ok(_) => self.answered(call, Answer::Started { execution, seen: None }),
            Err(refused) if refused.code() == Code::AlreadyExists => {
                let info = error_info(&refused);
                let revision = value(&info, "revision").parse().expect("a revision");
                let seen = Sighting::new(value(&info, "execution_id"), named(value(&info, "status")), revision);
                self.answered(call, Answer::AlreadyExists { seen: Some(seen) });
            }
            Err(_) => {}
        }
    }

    /// A worker is given a turn. Once the turns of another execution have come, none of an earlier one may.
    pub fn is_played(&self, request: &pb::OrchestratorRequest) {
        let mut played = lock(&self.played);
        let executions = played.entry(request.instance_id.clone()).or_default();
        let execution = request.execution_id.clone().expect("it has an execution");
        if executions.last() != Some(&execution) {
            assert!(!executions.contains(&execution), "{} is back: {executions:?}", request.instance_id);
            executions.push(execution);
        }
    }

    /// All that an instance has gone through, as it is remembered in the end.
    pub async fn look(&self, client: &mut Client, id: &str) {
        let call = self.called(id, "the last one", Call::GetStatus);
        let now = status(client, id).await;
        self.answered(call, Answer::Status(sighting(&now)));
        let request = v1::WatchStatusRequest { instance_id: id.into(), from_revision: Some(0), ..Default::default() };
        let instance = InstanceId::new("default", id);
        let watch = lock(&self.recorded).watched(&instance, "the last one", self.now(), Some(0));
        let mut items = client.watch_status(request).await.expect("a watch").into_inner();
        loop {
            let item = items.message().await.expect("the watch goes on").expect("an item");
            assert!(!item.resync, "{id}: all its transitions are kept");
            let (sequence, seen) = (item.sequence, sighting(&item.status.expect("a status")));
            let is_last = seen.revision == now.revision;
            lock(&self.recorded).saw(watch, Item { at: self.now(), sequence, kind: ItemKind::Transition, seen });
            if is_last {
                break;
            }
        }
        lock(&self.recorded).unwatched(watch, self.now(), Closing::Quiet);
    }

    /// Each id has had one live execution at a time, and each caller was told the truth. Answers how many executions there
    /// were.
    pub async fn judge(&self, server: &Server, ids: &[String]) -> usize {
        let mut client = server.client().await;
        for id in ids {
            self.look(&mut client, id).await;
        }
        let verdict = check(&lock(&self.recorded), &Rules { reports_recorded: false, ..Rules::default() });
        assert!(verdict.is_clean() && verdict.undecided.is_empty(), "{verdict}");
        lock(&self.played).iter().filter(|(id, _)| ids.contains(id)).map(|(_, executions)| executions.len()).sum()
    }
}

fn sighting(status: &v1::InstanceStatus) -> Sighting {
    let shown = match status.runtime_status() {
        RuntimeStatus::Pending => Status::Pending,
        RuntimeStatus::Running => Status::Running,
        RuntimeStatus::Suspended => Status::Suspended,
        RuntimeStatus::Completed => Status::Completed,
        RuntimeStatus::Failed => Status::Failed,
        RuntimeStatus::Terminated => Status::Terminated,
        RuntimeStatus::Unspecified => panic!("{status:?}"),
    };
    Sighting::new(&status.execution_id, shown, status.revision)
}

fn named(status: &str) -> Status {
    match status {
        "Pending" => Status::Pending,
        "Running" => Status::Running,
        other => panic!("nothing that is {other} is in the way of a start"),
    }
}
