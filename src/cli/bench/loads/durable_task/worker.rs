//! The Durable Task worker inside of this program: a stream of work items on each connection, and who waits for what
//! becomes of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, anyhow};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, metadata::AsciiMetadataValue, transport::Channel};

use super::{super::refused, orchestrator::Score};
use crate::{
    cli::{
        Error,
        bench::{plan::Plan, round::WorkItems},
    },
    client::{
        Client,
        channel::{self, DECODED_BYTES_MAX, HUB_KEY},
    },
    proto::durable_task::{
        ActivityFilter, ActivityRequest, ActivityResponse, GetWorkItemsRequest, OrchestrationFilter,
        OrchestrationStatus, OrchestratorAction, OrchestratorRequest, OrchestratorResponse, WorkItem, WorkItemFilters,
        orchestrator_action::OrchestratorActionType, task_hub_sidecar_service_client::TaskHubSidecarServiceClient,
        work_item::Request as Asked,
    },
};

/// Work items of each kind that a stream takes at a time: the most that a server gives.
const AT_ONCE: i32 = 10_000;

/// It works in a thread of its own, until this is dropped.
pub struct Worker {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    /// Both of the orchestration and of its activities.
    function: String,
    score: Score,
    hub: AsciiMetadataValue,
    waiting: Mutex<Waiting>,
    turns: AtomicU64,
    activities: AtomicU64,
}

/// Who listens to which orchestration; once the worker has ended, why.
type Waiting = Result<HashMap<String, Listener>, String>;

struct Listener {
    tell: mpsc::UnboundedSender<Told>,
    goes_on: bool,
}

/// What has become of an orchestration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    WentOn,
    Ended,
}

/// One connection.
#[derive(Clone)]
struct Desk {
    stub: TaskHubSidecarServiceClient<Channel>,
    shared: Arc<Shared>,
}

// === impl Worker ===

impl Worker {
    pub async fn start(
        (function, score): (&str, Score),
        connections: usize,
        plan: &Plan,
        address: &str,
    ) -> Result<Worker, Error> {
        let shared = Arc::new(Shared {
            function: function.into(),
            score,
            hub: channel::hub_value(&plan.hub)?,
            waiting: Mutex::new(Ok(HashMap::new())),
            turns: AtomicU64::new(0),
            activities: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let worker = Worker { shared: shared.clone(), stop: stop.clone() };
        let client = Client::builder(address).timeout(plan.patience);
        let (ready, is_ready) = oneshot::channel();
        let of_work = shared.clone();
        let work = async move {
            let mut desks = JoinSet::new();
            for _ in 0..connections {
                let channel = client.clone().connect().await?.channel();
                let stub = TaskHubSidecarServiceClient::new(channel).max_decoding_message_size(DECODED_BYTES_MAX);
                let mut desk = Desk { stub, shared: of_work.clone() };
                let items = desk.open().await?;
                desks.spawn_local(desk.serve(items));
            }
            // Nobody waits for it where the bench was given up.
            let _ = ready.send(());
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                Some(ended) = desks.join_next() => ended.context("the worker has panicked")?,
            }
        };
        let run = move || {
            let ended = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => LocalSet::new().block_on(&runtime, work),
                Err(error) => Err(error.into()),
            };
            shared.end(ended.map_or_else(|error| error.to_string(), |()| "it was stopped".into()));
        };
        thread::Builder::new().name("bench-worker".into()).spawn(run).context("a thread can't be started")?;
        is_ready.await.map_err(|_| worker.why_it_ended())?;
        Ok(worker)
    }

    /// Told what becomes of the orchestration, each time once it is durable. To be called before it is started.
    pub fn listen(&self, id: &str) -> Result<mpsc::UnboundedReceiver<Told>, Error> {
        let (tell, told) = mpsc::unbounded_channel();
        match &mut *self.shared.waiting() {
            Ok(waiting) => drop(waiting.insert(id.to_owned(), Listener { tell, goes_on: true })),
            Err(why) => return Err(ended(why)),
        }
        Ok(told)
    }

    /// The orchestration is to go on as new no more.
    pub fn let_end(&self, id: &str) {
        if let Some(listener) = self.shared.waiting().as_mut().ok().and_then(|waiting| waiting.get_mut(id)) {
            listener.goes_on = false;
        }
    }

    pub fn done(&self) -> WorkItems {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkItems { turns: of(&self.shared.turns), activities: of(&self.shared.activities) }
    }

    pub fn why_it_ended(&self) -> Error {
        match &*self.shared.waiting() {
            Ok(_) => ended("nobody knows why"),
            Err(why) => ended(why),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn ended(why: &str) -> Error {
    Error::Other(anyhow!("the Durable Task worker of the bench has ended: {why}"))
}

// === impl Shared ===

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self, id: &str) -> bool {
        self.waiting().as_ref().ok().and_then(|waiting| waiting.get(id)).is_some_and(|listener| listener.goes_on)
    }

    fn tell(&self, id: &str, told: Told) {
        let mut waiting = self.waiting();
        let Ok(waiting) = waiting.as_mut() else { return };
        // The round may be over.
        match told {
            Told::WentOn => drop(waiting.get(id).map(|listener| listener.tell.send(told))),
            Told::Ended => drop(waiting.remove(id).map(|listener| listener.tell.send(told))),
        }
    }

    /// Drops all who would tell, which is how those who wait learn of it.
    fn end(&self, why: String) {
        *self.waiting() = Err(why);
    }
}

// === impl Desk ===

impl Desk {
    /// The work items of this load, and of no other one that the server may have.
    async fn open(&mut self) -> Result<Streaming<WorkItem>, Error> {
        let name = self.shared.function.clone();
        let orchestrations = vec![OrchestrationFilter { name: name.clone(), versions: Vec::new() }];
        let activities = vec![ActivityFilter { name, versions: Vec::new() }];
        let filters = WorkItemFilters { orchestrations, activities, entities: Vec::new() };
        let request = GetWorkItemsRequest {
            max_concurrent_orchestration_work_items: AT_ONCE,
            max_concurrent_activity_work_items: AT_ONCE,
            work_item_filters: Some(filters),
            ..GetWorkItemsRequest::default()
        };
        let request = self.request(request);
        Ok(self.stub.get_work_items(request).await.map_err(refused)?.into_inner())
    }

    /// Does each work item beside the others.
    async fn serve(self, mut items: Streaming<WorkItem>) -> Result<(), Error> {
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                item = items.message() => {
                    let item = item.map_err(refused)?.ok_or_else(|| Error::Other(anyhow!("its stream has ended")))?;
                    under_way.spawn_local(self.clone().work(item));
                }
                Some(done) = under_way.join_next() => done.context("a work item has panicked")??,
            }
        }
    }

    async fn work(mut self, item: WorkItem) -> Result<(), Error> {
        match item.request {
            Some(Asked::OrchestratorRequest(turn)) => self.turn(turn, item.completion_token).await,
            Some(Asked::ActivityRequest(activity)) => self.activity(activity, item.completion_token).await,
            _ => Ok(()),
        }
    }

    async fn turn(&mut self, turn: OrchestratorRequest, completion_token: String) -> Result<(), Error> {
        let shared = self.shared.clone();
        let instance_id = turn.instance_id.clone();
        let actions = shared.score.play(&turn, &shared.function, shared.goes_on(&instance_id));
        let actions = actions.context("a turn's history can't be read")?;
        let told = actions.iter().find_map(told);
        let response =
            OrchestratorResponse { instance_id, actions, completion_token, ..OrchestratorResponse::default() };
        let request = self.request(response);
        self.stub.complete_orchestrator_task(request).await.map_err(refused)?;
        shared.turns.fetch_add(1, Ordering::Relaxed);
        if let Some(told) = told {
            shared.tell(&turn.instance_id, told);
        }
        Ok(())
    }

    /// It answers what it was given.
    async fn activity(&mut self, activity: ActivityRequest, completion_token: String) -> Result<(), Error> {
        let response = ActivityResponse {
            instance_id: activity.orchestration_instance.map(|instance| instance.instance_id).unwrap_or_default(),
            task_id: activity.task_id,
            result: activity.input,
            failure_details: None,
            completion_token,
        };
        let request = self.request(response);
        self.stub.complete_activity_task(request).await.map_err(refused)?;
        self.shared.activities.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(HUB_KEY, self.shared.hub.clone());
        request
    }
}

fn told(action: &OrchestratorAction) -> Option<Told> {
    let Some(OrchestratorActionType::CompleteOrchestration(end)) = &action.orchestrator_action_type else {
        return None;
    };
    Some(match end.orchestration_status() {
        OrchestrationStatus::ContinuedAsNew => Told::WentOn,
        _ => Told::Ended,
    })
}
