//! What runs: instances in memory, one road for every change, and everybody told once it is durable.

mod backup;
pub mod committer;
pub mod dispatch;
mod effects;
pub mod history;
mod journal;
mod list;
mod measure;
pub mod partition;
mod query;
mod recovery;
mod sessions;
mod specs;
mod stepper;
mod sweep;
mod threads;
pub mod timers;
pub mod watch;
pub mod work_items;
pub mod workers;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use tokio::sync::{Semaphore, watch as tokio_watch};

pub use self::{
    backup::{Backup, NoBackup},
    list::Page,
    query::Payloads,
    recovery::RecoveryError,
    sessions::{Connected, Connection},
    stepper::Stepper,
    sweep::Swept,
    threads::{EndError, Threads},
};
use self::{
    committer::CommitQueue,
    dispatch::Dispatch,
    partition::{Partition, Place, Verdict},
    specs::Specs,
    timers::Timers,
    watch::{Milestone, Panorama, Wanted, Watch, Watchers, Wish},
    work_items::WorkItems,
};
use crate::{
    clock::Clock,
    core::{
        command::{Command, Payload, Purge, RaiseEvent, Restart, Resume, Start, Suspend, Terminate},
        decide::Answer,
        ids::{ExecutionId, InstanceKey, Revision},
        partitioning::PartitionId,
        queue::QueuedStart,
        rejection::Rejection,
        request::Outcome,
        status::View,
        time::{Span, Timestamp},
    },
    entropy::Entropy,
    metrics::Metrics,
    mutant::Mutant,
    store::{ReadError, Store},
};

/// The bytes of clients' commands that may wait for the committer, in KiB. Beyond them clients wait at the door.
const QUEUE_KIB: usize = 64 << 10;

/// What the engine can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a lease lasts after the last heartbeat.
    pub lease_ttl: Span,
    /// How long a Durable Task worker may have a turn before it is offered again.
    pub turn_ttl: Span,
    /// How long an accepted start with a request id is remembered.
    pub request_memory: Span,
    /// How long an instance is kept after it has ended; for ever if absent.
    pub retention: Option<Span>,
    /// Watchers at a time.
    pub watchers_max: usize,
    /// Connected workers at a time.
    pub workers_max: usize,
}

/// The engine's face: asynchronous, in terms of commands.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all parts of the engine share.
pub struct Shared {
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    store: Arc<dyn Store>,
    partitions: Vec<Arc<Partition>>,
    arrivals: Arc<AtomicU64>,
    specs: Specs,
    queue: Arc<CommitQueue>,
    places: Arc<Semaphore>,
    dispatch: Dispatch,
    work_items: WorkItems,
    timers: Timers,
    watchers: Watchers,
    /// Turns to read a page: others, who want but a few rows, read too.
    list_turns: Arc<Semaphore>,
    watch_turns: Arc<Semaphore>,
    sessions: AtomicU64,
    metrics: Metrics,
    fallen: tokio_watch::Sender<Option<Arc<str>>>,
    /// The engine is being ended in good order.
    ending: AtomicBool,
}

/// Why a call was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Rejected(Box<Rejection>),
    /// The commit failed: whether the change is durable is not known. Retry with the same request id.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(Arc<str>),
    /// Nothing was applied. Another try, later or elsewhere, may succeed.
    #[error("{0}")]
    Unavailable(&'static str),
    /// A bound of the server is reached. Nothing was applied.
    #[error("the server has as many {0} as it takes; try again later")]
    TooMany(&'static str),
    /// What the store has is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// What an accepted start is told.
#[derive(Clone, Debug)]
pub struct Started {
    pub outcome: Outcome,
    pub deduplicated: bool,
    pub execution: ExecutionId,
    /// The place in the queue, from 1, if it waits there.
    pub queue_position: u32,
    pub status: Description,
}

/// A view, with the reason why nobody runs it, if so.
#[derive(Clone, Debug)]
pub struct Description {
    pub view: View,
    pub pending_reason: String,
}

/// What a reader is told.
#[derive(Clone, Debug)]
pub struct Seen {
    pub status: Description,
    pub payloads: Payloads,
    /// The starts that wait behind the live execution.
    pub queue: Vec<QueuedStart>,
}

/// The commit that was waited for did not come.
struct Fallen;

impl Engine {
    /// Takes the store over: claims every partition, loads every instance and takes up what is outstanding. Blocks.
    /// The engine runs once its threads do.
    pub fn recover(
        config: Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Engine, RecoveryError> {
        let queue = Arc::new(CommitQueue::default());
        let arrivals = Arc::new(AtomicU64::new(1));
        let all: Vec<PartitionId> = PartitionId::all().collect();
        let mut claims = store.claim(&all)?;
        claims.sort_by_key(|claim| claim.partition);
        let partitions = claims.into_iter().map(|c| Arc::new(Partition::new(c, arrivals.clone(), queue.clone())));
        let shared = Arc::new(Shared {
            partitions: partitions.collect(),
            arrivals,
            specs: Specs::default(),
            queue,
            places: Arc::new(Semaphore::new(QUEUE_KIB)),
            dispatch: Dispatch::default(),
            work_items: WorkItems::default(),
            timers: Timers::default(),
            watchers: Watchers::new(config.watchers_max),
            list_turns: Arc::new(Semaphore::new(list::LISTS_AT_ONCE)),
            watch_turns: Arc::new(Semaphore::new(list::WATCHES_AT_ONCE)),
            sessions: AtomicU64::new(1),
            metrics: Metrics::default(),
            fallen: tokio_watch::Sender::new(None),
            ending: AtomicBool::new(false),
            config,
            clock,
            entropy,
            store,
        });
        let keys = shared.load()?;
        tracing::info!(instances = keys.len(), "recovered");
        let letters = shared.letters()?;
        shared.take_up(&keys);
        shared.send_again(letters);
        Ok(Engine { shared })
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// A fresh execution id.
    pub fn draw_execution_id(&self) -> ExecutionId {
        ExecutionId(self.shared.entropy.sixteen_bytes())
    }

    /// StartSingleton: checks and starts in one step.
    pub fn start(&self, key: &InstanceKey, mut start: Start) -> impl Future<Output = Result<Started, Refusal>> {
        start.spec = self.shared.specs.share(start.spec);
        let signal = start.signal.as_ref().and_then(|signal| signal.input.as_ref());
        let weight = payload_kib(start.input.as_ref()) + payload_kib(signal);
        let command = Command::Start(start);
        async move { self.start_counted(key, &command, weight).await }
    }

    /// Starts an instance that has ended anew.
    pub async fn restart(&self, key: &InstanceKey, restart: Restart) -> Result<Started, Refusal> {
        self.start_counted(key, &Command::Restart(restart), 1).await
    }

    async fn start_counted(&self, key: &InstanceKey, command: &Command, weight: u32) -> Result<Started, Refusal> {
        let decided = self.shared.execute(key, command, weight).await;
        let started = decided.map(|(answer, view)| match answer {
            Answer::Start { outcome, deduplicated, execution, queue_position } => {
                Started { outcome, deduplicated, execution, queue_position, status: self.shared.describe(view) }
            }
            Answer::EventRaised { .. } | Answer::Ended { .. } | Answer::Done => {
                unreachable!("a start is answered as a start")
            }
        });
        self.shared.metrics.started(measure::ending(&started));
        started
    }

    /// Delivers an external event. Answers the execution that gets it and the event's number.
    pub async fn raise_event(&self, key: &InstanceKey, raise: RaiseEvent) -> Result<(ExecutionId, u64), Refusal> {
        let weight = payload_kib(raise.signal.input.as_ref());
        match self.shared.execute(key, &Command::RaiseEvent(raise), weight).await?.0 {
            Answer::EventRaised { execution, sequence } => Ok((execution, sequence)),
            Answer::Start { .. } | Answer::Ended { .. } | Answer::Done => {
                unreachable!("an event is answered as an event")
            }
        }
    }

    /// Holds events and attempts of the live execution back.
    pub async fn suspend(&self, key: &InstanceKey, suspend: Suspend) -> Result<Description, Refusal> {
        let (_, view) = self.shared.execute(key, &Command::Suspend(suspend), 1).await?;
        Ok(self.shared.describe(view))
    }

    /// Goes on with a suspended execution.
    pub async fn resume(&self, key: &InstanceKey, resume: Resume) -> Result<Description, Refusal> {
        let (_, view) = self.shared.execute(key, &Command::Resume(resume), 1).await?;
        Ok(self.shared.describe(view))
    }

    /// Deletes an instance that has ended.
    pub async fn purge(&self, key: &InstanceKey, expected_execution: Option<ExecutionId>) -> Result<(), Refusal> {
        let remember = self.shared.config.request_memory;
        let purge = Purge { expected_execution, ended_before: None, remember };
        self.shared.execute(key, &Command::Purge(purge), 1).await.map(drop)
    }

    /// Ends the live execution, or withdraws one from the queue. Answers how that one stands now.
    pub async fn terminate(&self, key: &InstanceKey, terminate: Terminate) -> Result<Description, Refusal> {
        let weight = payload_kib(terminate.output.as_ref());
        let (_, view) = self.shared.execute(key, &Command::Terminate(terminate), weight).await?;
        Ok(self.shared.describe(view))
    }

    /// The status of the latest execution, or of the one that is asked for.
    pub async fn status(
        &self,
        key: &InstanceKey,
        execution: Option<ExecutionId>,
        with_payloads: bool,
    ) -> Result<Seen, Refusal> {
        let (sighting, payloads) = if with_payloads {
            // Boxed: a status without payloads need not have room for it.
            Box::pin(self.shared.look_with_payloads(key, execution)).await?
        } else {
            (self.shared.look_at(key, execution).await?, Payloads::default())
        };
        Ok(Seen { status: self.shared.describe(sighting.transition.view), payloads, queue: sighting.queue })
    }

    /// The time, as people see it.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now().wall
    }

    /// Watches an instance.
    pub async fn watch(&self, key: InstanceKey, wish: Wish) -> Result<Watch, Refusal> {
        Watch::begin(self.shared.clone(), key, wish).await
    }

    /// Waits until the instance has come so far, for as long as that takes. Answers how it stood then; nothing if it was
    /// purged meanwhile.
    pub async fn until(&self, key: &InstanceKey, milestone: Milestone) -> Result<Option<View>, Refusal> {
        self.shared.until(key, milestone).await
    }

    /// Watches many instances.
    pub fn watch_many(&self, wanted: Wanted) -> Result<Panorama, Refusal> {
        Panorama::begin(self.shared.clone(), wanted)
    }

    /// A view of the present with the reason why nobody runs it.
    pub fn describe(&self, view: View) -> Description {
        self.shared.describe(view)
    }

    /// Returns once the store has failed, with the reason: the server has to end.
    pub async fn fallen(&self) -> Arc<str> {
        let mut fallen = self.shared.fallen.subscribe();
        match fallen.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the engine is gone".into(),
        }
    }
}

impl Shared {
    fn partition(&self, key: &InstanceKey) -> &Arc<Partition> {
        &self.partitions[usize::from(PartitionId::of(key).0)]
    }

    fn describe(&self, view: View) -> Description {
        Description { pending_reason: self.pending_reason(&view), view }
    }

    /// Reserves a place, lets the partition decide, and waits until the answer is durable.
    async fn execute(&self, key: &InstanceKey, command: &Command, kib: u32) -> Result<(Answer, View), Refusal> {
        let place = self.reserve(kib).await?;
        let partition = self.partition(key);
        let verdict = partition.submit(key, command, self.clock.now(), Some(place));
        self.answer(partition, verdict).await
    }

    async fn reserve(&self, kib: u32) -> Result<Place, Refusal> {
        let place = self.places.clone().acquire_many_owned(kib).await;
        let place = place.map_err(|_| Refusal::Unavailable("the server is shutting down"))?;
        self.check_store()?;
        Ok(place)
    }

    /// Once the store has failed nothing is begun any more.
    fn check_store(&self) -> Result<(), Refusal> {
        match *self.fallen.borrow() {
            Some(_) => Err(Refusal::Unavailable("the server's store has failed")),
            None => Ok(()),
        }
    }

    /// Nobody hears of anything before it is durable, be it a success or a rejection.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice, and many wait here")]
    fn answer(&self, partition: &Partition, verdict: Verdict) -> impl Future<Output = Result<(Answer, View), Refusal>> {
        async move {
            let hurries = match &verdict.result {
                Ok(_) => Mutant::AnswerBeforeFlush.is_on(),
                Err(_) => Mutant::RejectBeforeFlush.is_on(),
            };
            let durable = if hurries { Ok(()) } else { self.until_durable(partition, verdict.speaks_of).await };
            match (durable, verdict.result) {
                (Ok(()), Ok(answer)) => Ok(answer),
                (Ok(()), Err(rejection)) => Err(rejection.into()),
                (Err(Fallen), Ok(_)) => Err(Refusal::OutcomeUnknown(self.why_fallen())),
                (Err(fallen), Err(_)) => Err(Refusal::from_read(fallen)),
            }
        }
    }

    /// Everything that has been decided so far is durable, and whoever cares has been told of it.
    async fn until_carried_out(&self) -> Result<(), Refusal> {
        for partition in &self.partitions {
            self.until_durable(partition, partition.queued()).await.map_err(Refusal::from_read)?;
        }
        Ok(())
    }

    async fn until_durable(&self, partition: &Partition, revision: Revision) -> Result<(), Fallen> {
        if partition.is_durable(revision) {
            return Ok(());
        }
        let mut durable = partition.durable();
        match durable.wait_for(|durable| durable.revision >= revision || durable.fallen).await {
            Ok(durable) if durable.revision >= revision => Ok(()),
            _ => Err(Fallen),
        }
    }

    fn why_fallen(&self) -> Arc<str> {
        self.fallen.borrow().clone().unwrap_or_default()
    }

    /// Nothing more will become durable: whoever waits is told so.
    fn fall(&self, reason: &str) {
        let first = self.fallen.send_if_modified(|fallen| {
            let first = fallen.is_none();
            fallen.get_or_insert_with(|| reason.into());
            first
        });
        if first {
            tracing::error!(reason, "the store has failed; the server ends");
            self.partitions.iter().for_each(|partition| partition.has_fallen());
        }
    }
}

impl Refusal {
    /// A read, or a rejection, that could not become durable: nothing was applied.
    fn from_read(_: Fallen) -> Refusal {
        Refusal::Unavailable("the server's store has failed")
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Refusal {
        Refusal::Rejected(Box::new(rejection))
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        match error {
            ReadError::Damaged { .. } => Refusal::Damaged(error.to_string()),
            ReadError::Unreadable(error) => {
                tracing::error!(%error, "the store can't be read");
                Refusal::Unavailable("the store can't be read")
            }
        }
    }
}

fn payload_kib(payload: Option<&Payload>) -> u32 {
    1 + payload.map_or(0, |payload| u32::try_from(payload.len() >> 10).unwrap_or(u32::MAX))
}
