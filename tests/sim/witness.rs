//! What everybody saw, held against what was durable, and kept as a history for the checker.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use soloist::{
    checker::history::{self, CallNumber, History, Sighting, Tick, WatchNumber},
    core::{
        ids::{ExecutionId, InstanceKey},
        instance::Instance,
        lease::Proof,
        status::{Status, Transition, View},
    },
    engine::watch::{Item, ItemKind},
};

use crate::{
    disk::{Ledger, News},
    house::House,
    retention::Purges,
    stage::{SECOND, Stage},
};

/// How much earlier than after its time a request may be forgotten: each server has a clock of its own.
const MEMORY_MARGIN: i64 = 3 * SECOND;

/// What is durable is with whoever listens by then.
pub const TOLD_WITHIN: i64 = 6 * SECOND;

pub struct Witness {
    stage: Stage,
    ledger: Arc<Mutex<Ledger>>,
    /// Whether only what is seen from outside is recorded, and nothing else is held against it.
    pub is_outside: bool,
    /// How long requests are certainly remembered, over restarts with clocks of their own.
    remembered: i64,
    pub history: History,
    /// The first thing that must not be.
    pub violation: Option<String>,
    /// The newest revision that an answer has spoken of.
    told: HashMap<InstanceKey, u64>,
    /// The accepted starts with a request id.
    requests: BTreeMap<(InstanceKey, String), Accepted>,
    /// When each request id was first used.
    asked_at: BTreeMap<(InstanceKey, String), Tick>,
    started: BTreeSet<ExecutionId>,
    /// Who works on what, until when at most.
    working: BTreeMap<(InstanceKey, u64), (String, i64)>,
    tokens: HashMap<(InstanceKey, u64), String>,
    /// Calls that wait for their answer.
    pub open: BTreeMap<u64, String>,
    opened: u64,
    /// The executions whose runs were given each event.
    delivered: BTreeSet<(InstanceKey, u64, ExecutionId)>,
    /// When the newest transition of an instance became durable, and the newest event.
    moved_at: HashMap<InstanceKey, i64>,
    raised_at: HashMap<InstanceKey, i64>,
    /// When it was last suspended or resumed.
    paced_at: HashMap<InstanceKey, i64>,
    /// When its present life became durable.
    born_at: HashMap<InstanceKey, i64>,
    purges: Purges,
}

#[derive(Clone, Copy)]
struct Accepted {
    digest: u64,
    execution: ExecutionId,
    /// Between these moments.
    called: Tick,
    at: Tick,
}

/// Where a watcher is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    pub revision: u64,
    pub sequence: u64,
}

/// A watcher that watches.
#[derive(Clone, Debug)]
pub struct Watching {
    pub key: InstanceKey,
    /// The revision that it has reached.
    pub reached: u64,
    /// Whether it was shown something on this stream.
    pub is_shown: bool,
    pub execution: Option<ExecutionId>,
}

/// A call that was made.
#[derive(Clone, Copy)]
pub struct Called {
    pub number: CallNumber,
    floor: u64,
    at: Tick,
    open: u64,
}

impl Witness {
    pub fn new(stage: &Stage, house: &House) -> Witness {
        Witness {
            stage: stage.clone(),
            ledger: house.disk().ledger.clone(),
            is_outside: false,
            remembered: house.memory.as_micros() - MEMORY_MARGIN,
            history: History::new(),
            violation: None,
            told: HashMap::new(),
            requests: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            started: BTreeSet::new(),
            working: BTreeMap::new(),
            tokens: HashMap::new(),
            open: BTreeMap::new(),
            opened: 0,
            delivered: BTreeSet::new(),
            moved_at: HashMap::new(),
            raised_at: HashMap::new(),
            paced_at: HashMap::new(),
            born_at: HashMap::new(),
            purges: Purges::new(house.retention, house.commit_max()),
        }
    }

    pub fn now(&self) -> Tick {
        self.stage.now().unsigned_abs()
    }

    pub fn object(&mut self, what: impl Into<String>) {
        if !self.is_outside {
            self.violation.get_or_insert(what.into());
        }
    }

    /// What the disk has to say: grants and ends of leases as they became durable.
    pub fn read_ledger(&mut self) {
        let ledger = self.ledger.clone();
        let mut ledger = ledger.lock();
        let at = self.now();
        for (key, news) in ledger.news.drain(..) {
            self.stage.tell(|| format!("durable: {key:?} {news:?}"));
            let instance = instance_id(&key);
            match news {
                // Nobody outside sees these.
                News::Granted { .. } | News::LeaseEnded { .. } if self.is_outside => {}
                News::Granted { worker, execution, token, attempt } => {
                    let grant = history::Grant { at, worker, execution: execution.to_string(), token, attempt };
                    self.history.granted(&instance, grant);
                }
                News::LeaseEnded { token } => self.history.lease_ended(&instance, at, token),
                News::Moved => drop(self.moved_at.insert(key, self.stage.now())),
                News::EventRaised => drop(self.raised_at.insert(key, self.stage.now())),
                News::Paced => drop(self.paced_at.insert(key, self.stage.now())),
                News::Born => drop(self.born_at.insert(key, self.stage.now())),
                News::Purged { ended_at } => {
                    let now = self.stage.now();
                    let moved_at = self.moved_at.insert(key.clone(), now).unwrap_or(now);
                    if let Some(wrong) = self.purges.judge(&key, ended_at, moved_at, now) {
                        self.object(format!("{key:?}: {wrong}"));
                    }
                }
            }
        }
        if let Some(wrong) = ledger.wrong.take() {
            self.object(wrong);
        }
    }

    pub fn called(&mut self, key: &InstanceKey, caller: &str, call: history::Call) -> Called {
        let at = self.now();
        self.opened += 1;
        self.open.insert(self.opened, format!("{caller}: {call:?} of {key:?}"));
        self.stage.tell(|| format!("call {}: {caller}: {call:?} of {key:?}", self.opened));
        if let Some(request) = call.request() {
            self.asked_at.entry((key.clone(), request.id.clone())).or_insert(at);
        }
        if matches!(call, history::Call::Purge { .. }) {
            self.purges.asked(self.opened, key);
        }
        let number = self.history.called(&instance_id(key), caller, at, call);
        Called { number, floor: self.told.get(key).copied().unwrap_or(0), at, open: self.opened }
    }

    /// Nobody waits for the answer any more.
    pub fn given_up(&mut self, called: Called) {
        self.open.remove(&called.open);
        self.purges.over(called.open, self.stage.now());
    }

    pub fn answered(&mut self, called: Called, answer: history::Answer) {
        self.stage.tell(|| format!("answer to call {}: {answer:?}", called.open));
        self.open.remove(&called.open);
        self.purges.over(called.open, self.stage.now());
        let at = self.now();
        self.history.answered(called.number, at, answer);
    }

    /// An answer spoke of an execution that may be over, as it was then.
    pub fn former(&mut self, view: &View) -> Sighting {
        self.is_durable(&view.key, view.revision.0, "an answer");
        sighting(view)
    }

    /// An answer to a start spoke of an instance; nothing where it has been purged since the request was accepted.
    pub fn started(&mut self, called: Called, view: &View) -> Option<Sighting> {
        let seen = self.view(called, view);
        (!view.purged).then_some(seen)
    }

    /// An answer spoke of an instance as it stood.
    pub fn view(&mut self, called: Called, view: &View) -> Sighting {
        self.is_durable(&view.key, view.revision.0, "an answer");
        let told = self.told.entry(view.key.clone()).or_default();
        *told = view.revision.0.max(*told);
        if view.revision.0 < called.floor {
            self.object(format!("{:?}: told of revision {} after {}", view.key, view.revision, called.floor));
        }
        sighting(view)
    }

    /// An answer said that there is no such instance: there was none at some time since it was called.
    pub fn absent(&mut self, called: Called, key: &InstanceKey) {
        let born_at = self.born_at.get(key).copied().unwrap_or(0).unsigned_abs();
        if self.ledger.lock().there(key).is_some() && born_at < called.at {
            self.object(format!("{key:?}: not found, and it is there since {born_at}"));
        }
    }

    fn is_durable(&mut self, key: &InstanceKey, revision: u64, what: &str) {
        let durable = self.ledger.lock().durable(key);
        if revision > durable {
            self.object(format!("{key:?}: {what} speaks of revision {revision}, durable is {durable}"));
        }
    }

    /// An accepted start, of whatever outcome.
    pub fn accepted(
        &mut self,
        called: Called,
        key: &InstanceKey,
        request: Option<(&str, u64)>,
        made: bool,
        deduplicated: bool,
        execution: ExecutionId,
    ) {
        if made && !self.started.insert(execution) {
            self.object(format!("{key:?}: execution {execution} was started twice"));
        }
        let Some((id, digest)) = request else { return };
        let place = (key.clone(), id.to_owned());
        let at = self.now();
        let is_recent = |first: &Accepted| at.saturating_sub(first.called) < self.remembered.unsigned_abs();
        match self.requests.get(&place).copied().filter(is_recent) {
            Some(first) if first.digest == digest && first.execution != execution => self
                .object(format!("{key:?}: request {id} was accepted as {} and again as {execution}", first.execution)),
            Some(first) if first.digest != digest && first.at < called.at => {
                self.object(format!("{key:?}: request {id} was accepted with another content"));
            }
            Some(_) => {}
            // It was accepted before, by a call whose answer was lost, or is remembered for longer than it must be.
            None if deduplicated => {
                let called = self.asked_at.get(&place).copied().unwrap_or(called.at);
                self.requests.entry(place).or_insert(Accepted { digest, execution, called, at });
            }
            None => drop(self.requests.insert(place, Accepted { digest, execution, called: called.at, at })),
        }
    }

    /// A worker receives a run.
    pub fn received(&mut self, key: &InstanceKey, worker: &str, execution: ExecutionId, token: u64, attempt: u32) {
        self.is_durable(key, token, "a run");
        let at = self.now();
        self.stage.tell(|| format!("{worker} is given {key:?} {execution} with token {token}"));
        if let Some(other) = self.tokens.insert((key.clone(), token), worker.into()) {
            self.object(format!("{key:?}: token {token} was given to {other} and to {worker}"));
        }
        let grant = history::Grant { at, worker: worker.into(), execution: execution.to_string(), token, attempt };
        self.history.received(&instance_id(key), grant);
    }

    /// A worker works on a run, until then at most.
    pub fn works(&mut self, key: &InstanceKey, worker: &str, token: u64, until: i64) {
        let now = self.stage.now();
        self.stage.tell(|| format!("{worker} works on {key:?} with token {token} for {} us", until - now));
        let of_key = (key.clone(), 0)..=(key.clone(), u64::MAX);
        let other = self.working.range(of_key).find(|((_, other), (_, end))| *other != token && *end > now);
        if let Some(((_, other), (who, _))) = other {
            let what = format!("{key:?}: {worker} works with token {token} while {who} works with {other}");
            self.object(what);
        }
        self.working.insert((key.clone(), token), (worker.into(), until));
    }

    pub fn stops(&mut self, key: &InstanceKey, token: u64) {
        self.stage.tell(|| format!("token {token} of {key:?} is worked on no more"));
        self.working.remove(&(key.clone(), token));
    }

    pub fn delivered(&mut self, key: &InstanceKey, sequence: u64, execution: ExecutionId) {
        self.delivered.insert((key.clone(), sequence, execution));
    }

    /// The first event that was given to a run of an execution that was over when it was raised.
    pub fn strayed(&self) -> Option<String> {
        let ledger = self.ledger.lock();
        self.delivered.iter().find_map(|(key, sequence, execution)| {
            let entry = ledger.instances.get(key)?;
            let given_to = entry.begun(*execution)?;
            // In each life of the id the numbers may begin anew.
            let raised_for = entry.raised(*sequence);
            let are_later = !raised_for.is_empty()
                && raised_for.iter().all(|raised| entry.begun(*raised).is_some_and(|at| at > given_to));
            are_later.then(|| format!("{key:?}: event {sequence} for {raised_for:?} was given to a run of {execution}"))
        })
    }

    /// A worker has listened since then to the stream of a run, has got the events up to this one, and knows whether to
    /// pause.
    pub fn listens(&mut self, key: &InstanceKey, proof: Proof, since: i64, events: u64, is_paused: bool) {
        let held = {
            let ledger = self.ledger.lock();
            let is_held = |instance: &&Instance| {
                instance.lease.as_ref().is_some_and(|lease| lease.proof() == proof && lease.cancelled.is_none())
            };
            let held = ledger.there(key).filter(is_held);
            held.map(|held| (held.is_suspended(), held.inbox_last > held.inbox_after.max(events)))
        };
        let Some((is_suspended, has_events)) = held else { return };
        let now = self.stage.now();
        let last = |of: &HashMap<InstanceKey, i64>| of.get(key).copied().unwrap_or(0).max(since);
        let (paced_at, raised_at) = (last(&self.paced_at), last(&self.raised_at));
        if is_suspended != is_paused && now - paced_at > TOLD_WITHIN {
            self.object(format!("{key:?}: the holder of token {} was not told whether to pause", proof.token));
        }
        if has_events && !is_suspended && now - paced_at.max(raised_at) > TOLD_WITHIN {
            self.object(format!("{key:?}: the holder of token {} was not given its events", proof.token));
        }
    }

    /// A watcher has waited since then.
    pub fn waits(&mut self, watching: &Watching, since: i64) {
        let moved_at = self.moved_at.get(&watching.key).copied().unwrap_or(0);
        if !self.has_seen_all(watching) && self.stage.now() - since.max(moved_at) > TOLD_WITHIN {
            self.object(format!("a watcher is not told of what is durable: {watching:?}"));
        }
    }

    /// Whether nothing has happened that the watcher was not told of.
    pub fn has_seen_all(&self, watching: &Watching) -> bool {
        let Watching { key, reached, is_shown, execution } = watching;
        let ledger = self.ledger.lock();
        let Some(entry) = ledger.instances.get(key) else { return true };
        // It was told of something that is gone.
        if !entry.is_there() {
            return !is_shown;
        }
        let mut next = entry.transitions().iter().filter(|transition| transition.view.revision.0 > *reached);
        match execution {
            None => next.next().is_none(),
            Some(execution) => {
                !entry.is_withdrawn(*execution) && !next.any(|transition| transition.view.execution.id == *execution)
            }
        }
    }

    /// The newest token that is durable, of what is not forgotten.
    pub fn newest_token(&self, key: &InstanceKey) -> u64 {
        let ledger = self.ledger.lock();
        let entry = ledger.instances.get(key).filter(|entry| entry.is_recorded());
        entry.map_or(0, |entry| entry.latest.fencing_token.0)
    }

    /// A watcher sees an item, after another one.
    pub fn saw(&mut self, watch: WatchNumber, watching: &Watching, last: Option<Position>, item: &Item) {
        let Transition { sequence, view } = &*item.transition;
        let key = &watching.key;
        self.is_durable(key, view.revision.0, "a watch item");
        self.stage.tell(|| format!("a watcher of {watching:?}, after {last:?}: {:?} {sequence}", item.kind));
        let kind = match item.kind {
            ItemKind::Current | ItemKind::Resync if view.queue_position > 0 => history::ItemKind::Waiting,
            ItemKind::Current => history::ItemKind::Current,
            ItemKind::Resync => history::ItemKind::Resync,
            ItemKind::Transition if self.withdrew(watching, view) => history::ItemKind::Withdrawn,
            ItemKind::Transition => history::ItemKind::Transition,
            ItemKind::Purged { gap } => history::ItemKind::Purged { gap },
        };
        if !matches!(kind, history::ItemKind::Waiting | history::ItemKind::Withdrawn) {
            self.was(key, *sequence, view, kind == history::ItemKind::Transition);
        }
        let is_next = kind == history::ItemKind::Transition && watching.execution.is_none();
        match last {
            Some(last) if is_next && *sequence != last.sequence + 1 => {
                self.object(format!("{key:?}: a watcher saw transition {sequence} after {last:?}"));
            }
            Some(last) if view.revision.0 < last.revision => {
                self.object(format!("{key:?}: a watcher was taken back from {last:?} to {sequence}"));
            }
            _ => {}
        }
        let at = self.now();
        self.history.saw(watch, history::Item { at, sequence: *sequence, kind, seen: sighting(view) });
    }

    /// Whether the end of an execution that is watched is that of one that never began.
    fn withdrew(&self, watching: &Watching, view: &View) -> bool {
        let ledger = self.ledger.lock();
        let begun = ledger.instances.get(&watching.key).and_then(|entry| entry.begun(view.execution.id));
        begun.is_none() && watching.execution == Some(view.execution.id) && view.execution.status == Status::Terminated
    }

    /// A watcher saw what was durable.
    fn was(&mut self, key: &InstanceKey, sequence: u64, view: &View, is_transition: bool) {
        let durable = {
            let ledger = self.ledger.lock();
            ledger.instances.get(key).and_then(|entry| entry.transition(sequence, view.revision.0)).cloned()
        };
        let Some(durable) = durable else {
            return self.object(format!("{key:?}: a watcher saw a transition {sequence} that is not durable"));
        };
        let (was, is) = (&durable.view.execution, &view.execution);
        let same = (was.id, was.status, was.attempt) == (is.id, is.status, is.attempt);
        if !same || is_transition && durable.view.revision != view.revision {
            self.object(format!("{key:?}: transition {sequence} is {:?}, a watcher saw {view:?}", durable.view));
        }
    }

    /// How long requests are certainly remembered.
    pub fn remembered(&self) -> i64 {
        self.remembered
    }

    /// The starts with request ids that were accepted and are remembered for as long as this.
    pub fn requests(&self, longer: i64) -> Vec<(InstanceKey, String, u64, ExecutionId)> {
        let now = self.now();
        let is_recent = |first: &Accepted| now - first.called + longer.unsigned_abs() < self.remembered.unsigned_abs();
        let recent = self.requests.iter().filter(|(_, first)| is_recent(first));
        recent.map(|((key, id), first)| (key.clone(), id.clone(), first.digest, first.execution)).collect()
    }

    /// What is live, and those of them that are suspended.
    pub fn unfinished(&self) -> Vec<(InstanceKey, String, bool)> {
        let ledger = self.ledger.lock();
        let live = ledger.instances.iter().filter(|(_, e)| e.is_there() && e.latest.execution.status.is_live());
        live.map(|(key, entry)| (key.clone(), format!("{key:?} stays {:?}", entry.latest), entry.latest.is_suspended()))
            .collect()
    }
}

pub fn instance_id(key: &InstanceKey) -> history::InstanceId {
    history::InstanceId::new(key.hub(), key.id())
}

pub fn status(status: Status) -> history::Status {
    match status {
        Status::Pending => history::Status::Pending,
        Status::Running => history::Status::Running,
        Status::Suspended => history::Status::Suspended,
        Status::Completed => history::Status::Completed,
        Status::Failed => history::Status::Failed,
        Status::Terminated => history::Status::Terminated,
    }
}

fn sighting(view: &View) -> Sighting {
    let execution = &view.execution;
    Sighting::new(&execution.id.to_string(), status(execution.status), view.revision.0)
        .with_token(view.fencing_token.0)
        .with_attempt(execution.attempt)
}
