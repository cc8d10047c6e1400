//! What was recorded from outside: calls with their answers, runs, leases, watches, and when the server fell.
//!
//! A recorder notes a call when it is made and its answer when it comes, on one clock of its own: ticks of any length
//! that never go back. What has the same tick is taken as simultaneous. A call that was never answered, or whose answer
//! was OUTCOME_UNKNOWN, stays open: it may have happened at any time after it was made, or never.

use std::collections::HashMap;

/// A moment on the recorder's clock.
pub type Tick = u64;

/// Everything that was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    records: Vec<Record>,
    places: HashMap<InstanceId, usize>,
    marks: Vec<Mark>,
}

/// Task hub and instance id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    pub hub: String,
    pub id: String,
}

/// Everything that was recorded of one instance id.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub instance: InstanceId,
    pub operations: Vec<Operation>,
    /// Grants, when they became durable, by the server's own account; empty if that was not recorded.
    pub granted: Vec<Grant>,
    /// Ends of leases, when they became durable, by the server's own account.
    pub ended: Vec<LeaseEnd>,
    /// Runs as workers received them.
    pub received: Vec<Grant>,
    pub watches: Vec<Watch>,
}

/// One call and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Who called, for people.
    pub caller: String,
    pub called: Tick,
    pub call: Call,
    /// Absent: no answer, or OUTCOME_UNKNOWN.
    pub returned: Option<Returned>,
}

/// An answer and when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    pub at: Tick,
    pub answer: Answer,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Call {
    Start(Start),
    Restart {
        expected: Option<String>,
        request: Option<Request>,
    },
    GetStatus,
    /// The status of this execution, the latest or another one.
    GetExecution {
        execution: String,
    },
    Terminate {
        expected: Option<String>,
    },
    /// Ends this execution, the latest or one that waits in the queue.
    TerminateExecution {
        execution: String,
    },
    RaiseEvent {
        expected: Option<String>,
    },
    Suspend {
        expected: Option<String>,
    },
    Resume {
        expected: Option<String>,
    },
    Purge {
        expected: Option<String>,
    },
    Report {
        token: u64,
        report: Report,
    },
}

/// What a start asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub policy: Policy,
    pub function: String,
    /// The terminal statuses that it may follow.
    pub replaceable: Vec<Status>,
    /// How many starts may wait, this one included.
    pub max_queue: u32,
    /// Whether a live execution that it joins is told something.
    pub signal: bool,
    pub request: Option<Request>,
}

/// A request id, and a number that stands for everything else that the start asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: String,
    pub digest: u64,
}

/// What a start does when the id has a live execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    Fail,
    UseExisting,
    Replace,
    Queue,
    Coalesce,
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    Pending,
    Running,
    Suspended,
    Completed,
    Failed,
    Terminated,
}

/// What a worker says of the run with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Report {
    /// Takes the run on; `lease` is the length of a lease that the worker was told.
    Accept {
        lease: Tick,
    },
    /// Renews the lease.
    Heartbeat {
        lease: Tick,
    },
    /// Comes back with the run on another stream, which renews the lease as well.
    Return {
        lease: Tick,
    },
    Progress,
    EventsAcked,
    /// The final reports: `content` tells the same report from another one.
    Completed {
        content: u64,
    },
    Failed {
        content: u64,
    },
    ContinueAsNew {
        content: u64,
    },
    Stopped,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    Started {
        execution: String,
        seen: Option<Sighting>,
    },
    Joined {
        execution: String,
        seen: Option<Sighting>,
    },
    Replaced {
        execution: String,
        seen: Option<Sighting>,
    },
    /// It waits at this place, from 1.
    Queued {
        execution: String,
        position: u32,
        seen: Option<Sighting>,
    },
    /// The start that waits at this place runs instead of both.
    Coalesced {
        execution: String,
        position: u32,
        seen: Option<Sighting>,
    },
    Deduplicated {
        first: Outcome,
        execution: String,
        seen: Option<Sighting>,
    },
    /// QUEUE_FULL: so many wait.
    QueueFull {
        waiting: u32,
    },
    /// INSTANCE_ALREADY_RUNNING.
    AlreadyExists {
        seen: Option<Sighting>,
    },
    /// STATUS_NOT_REPLACEABLE.
    NotReplaceable {
        seen: Option<Sighting>,
    },
    FunctionMismatch {
        seen: Option<Sighting>,
    },
    RequestIdReused,
    /// Of the latest execution, or of the one that was asked for.
    Status(Sighting),
    /// The execution that was asked for waits at this place, from 1; the revision is the instance's.
    Waiting {
        position: u32,
        seen: Sighting,
    },
    /// The execution is ended by this call; what is seen is its status after it.
    Ended {
        seen: Option<Sighting>,
    },
    Suspended {
        seen: Option<Sighting>,
    },
    Resumed {
        seen: Option<Sighting>,
    },
    Purged,
    EventRaised {
        execution: String,
        sequence: u64,
    },
    NotFound,
    /// EXECUTION_NOT_FOUND: the instance is there, the execution is neither its latest nor queued nor remembered.
    ExecutionNotFound,
    /// INSTANCE_NOT_LIVE.
    NotLive {
        seen: Option<Sighting>,
    },
    ExecutionMismatch {
        seen: Option<Sighting>,
    },
    /// What is live is not purged.
    StillLive {
        seen: Option<Sighting>,
    },
    /// A report was accepted, a lease renewed, a run continued.
    Accepted,
    /// The worker was told to stop, or that it no longer holds the run.
    Cancelled,
    /// Nothing was done, for a reason that says nothing of the instance: UNAVAILABLE, RESOURCE_EXHAUSTED, a rule broken.
    Refused,
}

/// What became of the first start with a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    Started,
    Joined,
    Replaced,
    Queued,
    Coalesced,
}

/// What was said of an instance: its latest execution at a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    pub execution: String,
    pub status: Status,
    pub revision: u64,
    /// The newest token; absent if it was not recorded.
    pub token: Option<u64>,
    /// The number of the attempt; absent if it was not recorded.
    pub attempt: Option<u32>,
}

/// A run that was granted, or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub at: Tick,
    pub worker: String,
    pub execution: String,
    pub token: u64,
    pub attempt: u32,
}

/// The end of a lease, by the server's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseEnd {
    pub at: Tick,
    pub token: u64,
}

/// One stream of one watcher.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    pub watcher: String,
    pub opened: Tick,
    /// The only execution that is watched, if not all of them.
    pub execution: Option<String>,
    /// The revision after which it asked to resume; absent: the current status first.
    pub from: Option<u64>,
    pub items: Vec<Item>,
    pub closed: Option<Closed>,
}

/// One item of a watch, when it came. Heartbeats are none.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub at: Tick,
    pub sequence: u64,
    pub kind: ItemKind,
    pub seen: Sighting,
}

/// What kind of item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemKind {
    /// The state as it was, which the watcher asked for.
    Current,
    /// The state as it was: transitions before it could not be delivered.
    Resync,
    Transition,
    /// The execution that is watched waits in the queue; the revision is the instance's.
    Waiting,
    /// The execution that is watched was withdrawn from the queue; the revision is the instance's.
    Withdrawn,
    /// The instance is gone; its last state. Whether the watcher was told that it missed transitions before.
    Purged {
        gap: bool,
    },
}

/// How a watch was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub at: Tick,
    pub how: Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Closing {
    /// The connection or one of its ends is gone.
    Lost,
    /// The watcher asked to see the end, and the server said that this was it.
    Finished,
    /// Nothing was under way any more when the recorder closed it: there was nothing left to see.
    Quiet,
}

/// Something that happened to the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: Tick,
    pub what: Incident,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Incident {
    Crashed,
    Restarted,
}

/// A call that was noted, to note its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallNumber {
    record: usize,
    operation: usize,
}

/// A watch that was noted, to note its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchNumber {
    record: usize,
    watch: usize,
}

impl History {
    pub fn new() -> History {
        History::default()
    }

    /// The record of each instance id.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What happened to the server, in the order in which it was noted.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The calls of all instance ids.
    pub fn calls(&self) -> usize {
        self.records.iter().map(|record| record.operations.len()).sum()
    }

    /// Notes a call that is made now. It stays open until `answered`.
    pub fn called(&mut self, instance: &InstanceId, caller: &str, at: Tick, call: Call) -> CallNumber {
        let record = self.place(instance);
        let operations = &mut self.records[record].operations;
        operations.push(Operation { caller: caller.into(), called: at, call, returned: None });
        CallNumber { record, operation: operations.len() - 1 }
    }

    /// Notes the answer to a call. OUTCOME_UNKNOWN is none.
    pub fn answered(&mut self, call: CallNumber, at: Tick, answer: Answer) {
        self.records[call.record].operations[call.operation].returned = Some(Returned { at, answer });
    }

    /// Notes a run that a worker receives.
    pub fn received(&mut self, instance: &InstanceId, grant: Grant) {
        self.record_mut(instance).received.push(grant);
    }

    /// Notes a grant that becomes durable, by the server's own account.
    pub fn granted(&mut self, instance: &InstanceId, grant: Grant) {
        self.record_mut(instance).granted.push(grant);
    }

    /// Notes the end of a lease that becomes durable, by the server's own account.
    pub fn lease_ended(&mut self, instance: &InstanceId, at: Tick, token: u64) {
        self.record_mut(instance).ended.push(LeaseEnd { at, token });
    }

    /// Notes that somebody begins to watch.
    pub fn watched(&mut self, instance: &InstanceId, watcher: &str, at: Tick, from: Option<u64>) -> WatchNumber {
        let (watcher, items) = (watcher.into(), Vec::new());
        self.watch(instance, Watch { watcher, opened: at, execution: None, from, items, closed: None })
    }

    /// Notes that somebody begins to watch one execution.
    pub fn watched_execution(
        &mut self,
        instance: &InstanceId,
        watcher: &str,
        at: Tick,
        execution: &str,
        from: Option<u64>,
    ) -> WatchNumber {
        let (watcher, execution, items) = (watcher.into(), Some(execution.into()), Vec::new());
        self.watch(instance, Watch { watcher, opened: at, execution, from, items, closed: None })
    }

    fn watch(&mut self, instance: &InstanceId, watch: Watch) -> WatchNumber {
        let record = self.place(instance);
        let watches = &mut self.records[record].watches;
        watches.push(watch);
        WatchNumber { record, watch: watches.len() - 1 }
    }

    /// Notes an item of a watch.
    pub fn saw(&mut self, watch: WatchNumber, item: Item) {
        self.records[watch.record].watches[watch.watch].items.push(item);
    }

    /// Notes the end of a watch.
    pub fn unwatched(&mut self, watch: WatchNumber, at: Tick, how: Closing) {
        self.records[watch.record].watches[watch.watch].closed = Some(Closed { at, how });
    }

    /// Notes what happens to the server.
    pub fn marked(&mut self, at: Tick, what: Incident) {
        self.marks.push(Mark { at, what });
    }

    fn record_mut(&mut self, instance: &InstanceId) -> &mut Record {
        let place = self.place(instance);
        &mut self.records[place]
    }

    fn place(&mut self, instance: &InstanceId) -> usize {
        if let Some(place) = self.places.get(instance) {
            return *place;
        }
        let place = self.records.len();
        self.records.push(Record::new(instance.clone()));
        self.places.insert(instance.clone(), place);
        place
    }
}

impl InstanceId {
    pub fn new(hub: &str, id: &str) -> InstanceId {
        InstanceId { hub: hub.into(), id: id.into() }
    }
}

impl Record {
    pub fn new(instance: InstanceId) -> Record {
        Record {
            instance,
            operations: Vec::new(),
            granted: Vec::new(),
            ended: Vec::new(),
            received: Vec::new(),
            watches: Vec::new(),
        }
    }
}

impl Start {
    /// A start of `function` that fails on a conflict, replaces every ended execution and carries no request id.
    pub fn of(function: &str) -> Start {
        let replaceable = vec![Status::Completed, Status::Failed, Status::Terminated];
        let (policy, function) = (Policy::Fail, function.into());
        Start { policy, function, replaceable, max_queue: 16, signal: false, request: None }
    }

    pub fn with_policy(self, policy: Policy) -> Start {
        Start { policy, ..self }
    }

    pub fn with_request(self, id: &str, digest: u64) -> Start {
        Start { request: Some(Request { id: id.into(), digest }), ..self }
    }

    pub fn with_max_queue(self, max_queue: u32) -> Start {
        Start { max_queue, ..self }
    }

    pub fn with_signal(self) -> Start {
        Start { signal: true, ..self }
    }

    pub fn replacing(self, replaceable: &[Status]) -> Start {
        Start { replaceable: replaceable.to_vec(), ..self }
    }
}

impl Status {
    pub fn is_live(self) -> bool {
        match self {
            Status::Pending | Status::Running | Status::Suspended => true,
            Status::Completed | Status::Failed | Status::Terminated => false,
        }
    }
}

impl Report {
    /// The length of the lease that the worker counts on once this is accepted.
    pub fn renews(self) -> Option<Tick> {
        match self {
            Report::Accept { lease } | Report::Heartbeat { lease } | Report::Return { lease } => Some(lease),
            Report::Progress
            | Report::EventsAcked
            | Report::Completed { .. }
            | Report::Failed { .. }
            | Report::ContinueAsNew { .. }
            | Report::Stopped => None,
        }
    }

    /// Whether the worker has stopped its work when it says this.
    pub fn is_final(self) -> bool {
        match self {
            Report::Completed { .. } | Report::Failed { .. } | Report::ContinueAsNew { .. } | Report::Stopped => true,
            Report::Accept { .. }
            | Report::Heartbeat { .. }
            | Report::Return { .. }
            | Report::Progress
            | Report::EventsAcked => false,
        }
    }
}

impl Call {
    /// The one execution that is asked for, whichever is the latest.
    pub fn execution(&self) -> Option<&str> {
        match self {
            Call::GetExecution { execution } | Call::TerminateExecution { execution } => Some(execution),
            Call::Start(_)
            | Call::Restart { .. }
            | Call::GetStatus
            | Call::Terminate { .. }
            | Call::RaiseEvent { .. }
            | Call::Suspend { .. }
            | Call::Resume { .. }
            | Call::Purge { .. }
            | Call::Report { .. } => None,
        }
    }

    /// The request id under which it is remembered.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Call::Start(start) => start.request.as_ref(),
            Call::Restart { request, .. } => request.as_ref(),
            Call::GetStatus
            | Call::GetExecution { .. }
            | Call::Terminate { .. }
            | Call::TerminateExecution { .. }
            | Call::RaiseEvent { .. }
            | Call::Suspend { .. }
            | Call::Resume { .. }
            | Call::Purge { .. }
            | Call::Report { .. } => None,
        }
    }
}

impl Answer {
    /// What the answer says of an execution.
    pub fn seen(&self) -> Option<&Sighting> {
        match self {
            Answer::Started { seen, .. }
            | Answer::Joined { seen, .. }
            | Answer::Replaced { seen, .. }
            | Answer::Queued { seen, .. }
            | Answer::Coalesced { seen, .. }
            | Answer::Deduplicated { seen, .. }
            | Answer::AlreadyExists { seen }
            | Answer::NotReplaceable { seen }
            | Answer::FunctionMismatch { seen }
            | Answer::Ended { seen }
            | Answer::Suspended { seen }
            | Answer::Resumed { seen }
            | Answer::NotLive { seen }
            | Answer::StillLive { seen }
            | Answer::ExecutionMismatch { seen } => seen.as_ref(),
            Answer::Status(seen) | Answer::Waiting { seen, .. } => Some(seen),
            Answer::RequestIdReused
            | Answer::QueueFull { .. }
            | Answer::EventRaised { .. }
            | Answer::Purged
            | Answer::NotFound
            | Answer::ExecutionNotFound
            | Answer::Accepted
            | Answer::Cancelled
            | Answer::Refused => None,
        }
    }
}

impl Sighting {
    /// What is seen, without token and attempt.
    pub fn new(execution: &str, status: Status, revision: u64) -> Sighting {
        Sighting { execution: execution.into(), status, revision, token: None, attempt: None }
    }

    pub fn with_token(self, token: u64) -> Sighting {
        Sighting { token: Some(token), ..self }
    }

    pub fn with_attempt(self, attempt: u32) -> Sighting {
        Sighting { attempt: Some(attempt), ..self }
    }
}

impl Operation {
    /// What was answered.
    pub fn answer(&self) -> Option<&Answer> {
        self.returned.as_ref().map(|returned| &returned.answer)
    }

    /// What the answer says of the instance's latest execution; not where it may speak of another one.
    pub fn seen(&self) -> Option<&Sighting> {
        self.answer().filter(|answer| !self.is_aside(answer))?.seen()
    }

    /// What the answer says of an execution that may be another one than the latest.
    pub fn seen_aside(&self) -> Option<&Sighting> {
        self.answer().filter(|answer| self.is_aside(answer))?.seen()
    }

    fn is_aside(&self, answer: &Answer) -> bool {
        match (&self.call, answer) {
            (_, Answer::Waiting { .. }) => true,
            (call, Answer::Status(_) | Answer::Ended { .. }) => call.execution().is_some(),
            // What stands in the way is the start that waits.
            (Call::Start(start), Answer::FunctionMismatch { .. }) => start.policy == Policy::Coalesce,
            (_, _) => false,
        }
    }

    /// When the answer came; the end of all time if it never did.
    pub fn returned_at(&self) -> Tick {
        self.returned.as_ref().map_or(Tick::MAX, |returned| returned.at)
    }

    /// Whether this was answered before the other one was called.
    pub fn precedes(&self, other: &Operation) -> bool {
        self.returned_at() < other.called
    }
}
