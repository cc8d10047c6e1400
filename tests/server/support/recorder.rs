//! What everybody saw of a server's instances, through however many of its lives, and whether it makes sense.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use soloist::proto::v1::{InstanceStatus, RuntimeStatus};
use tokio::sync::watch;

/// Shared by all who watch, call and work.
#[derive(Clone, Default)]
pub struct Recorder {
    records: Arc<Mutex<BTreeMap<String, Record>>>,
    answers: watch::Sender<u64>,
}

/// What was seen of one instance.
#[derive(Default)]
struct Record {
    /// By their numbers, from the first one that is known without a gap.
    transitions: BTreeMap<u64, InstanceStatus>,
    /// The newest status that anybody was told.
    newest: Option<InstanceStatus>,
    facts: Vec<Fact>,
    /// In the order in which workers got them.
    grants: Vec<Grant>,
    /// Events whose callers were answered, per execution.
    events: BTreeMap<String, BTreeSet<u64>>,
    /// Up to here a worker has confirmed, or may have.
    confirmed: u64,
}

/// What somebody was told has happened.
#[derive(Clone, Debug)]
pub enum Fact {
    Started { execution: String },
    Ended { execution: String, status: RuntimeStatus },
    Continued { execution: String },
}

/// A run in the hands of one worker.
#[derive(Clone, Debug)]
struct Grant {
    token: u64,
    #[expect(dead_code, reason = "a failed check shows it")]
    worker: String,
    handed_out: Instant,
    /// How long it held the lease, as far as itself could know; nothing if it never did.
    held_until: Option<Instant>,
}

impl Recorder {
    /// Somebody was answered.
    pub fn answered(&self) {
        self.answers.send_modify(|count| *count += 1);
    }

    /// Waits for so many answers, from the first one ever.
    pub async fn until_answers(&self, count: u64) {
        self.answers.subscribe().wait_for(|answers| *answers >= count).await.expect("the recorder is there");
    }

    pub fn answers(&self) -> u64 {
        *self.answers.borrow()
    }

    /// A status in an answer.
    pub fn told(&self, status: &InstanceStatus) {
        let mut records = self.records();
        let newest = &mut records.entry(status.instance_id.clone()).or_default().newest;
        if newest.as_ref().is_none_or(|newest| newest.revision < status.revision) {
            *newest = Some(status.clone());
        }
    }

    /// A transition that a watcher saw.
    pub fn saw(&self, sequence: u64, status: &InstanceStatus) {
        self.told(status);
        let mut records = self.records();
        let record = records.entry(status.instance_id.clone()).or_default();
        let before = record.transitions.insert(sequence, status.clone());
        assert!(before.is_none_or(|before| before == *status), "transition {sequence} is another one now: {status:?}");
    }

    pub fn fact(&self, id: &str, fact: Fact) {
        self.records().entry(id.into()).or_default().facts.push(fact);
    }

    pub fn raised(&self, id: &str, execution: &str, sequence: u64) {
        let mut records = self.records();
        let of_execution = records.entry(id.into()).or_default().events.entry(execution.into()).or_default();
        assert!(of_execution.insert(sequence), "{id}: two events with number {sequence}");
    }

    /// A worker confirms events, whether or not it is answered.
    pub fn confirms(&self, id: &str, through: u64) {
        let mut records = self.records();
        let confirmed = &mut records.entry(id.into()).or_default().confirmed;
        *confirmed = through.max(*confirmed);
    }

    /// The events that a worker of this execution has to be given.
    pub fn outstanding(&self, id: &str, execution: &str) -> BTreeSet<u64> {
        let records = self.records();
        let Some(record) = records.get(id) else { return BTreeSet::new() };
        let events = record.events.get(execution).into_iter().flatten();
        events.copied().filter(|sequence| *sequence > record.confirmed).collect()
    }

    /// A worker was given a run. Tokens rise, and whoever had the run before has let go of it.
    pub fn handed_out(&self, id: &str, token: u64, worker: &str) {
        let handed_out = Instant::now();
        let mut records = self.records();
        let grants = &mut records.entry(id.into()).or_default().grants;
        for before in grants.iter() {
            assert!(before.token < token, "{id}: {worker} got token {token} after {before:?}");
            let let_go = before.held_until.is_none_or(|until| until <= handed_out);
            assert!(let_go, "{id}: {worker} got it with token {token} while it is held: {before:?}");
        }
        grants.push(Grant { token, worker: worker.into(), handed_out, held_until: None });
    }

    /// By its own clock, the worker holds the lease until then.
    pub fn holds(&self, id: &str, token: u64, until: Instant) {
        let mut records = self.records();
        let grants = &mut records.entry(id.into()).or_default().grants;
        for grant in grants.iter() {
            let later = grant.token > token && grant.handed_out < until;
            assert!(!later, "{id}: the lease with token {token} was renewed after {grant:?}");
        }
        if let Some(grant) = grants.iter_mut().find(|grant| grant.token == token) {
            grant.held_until = grant.held_until.max(Some(until));
        }
    }

    /// The worker has stopped its work.
    pub fn let_go(&self, id: &str, token: u64) {
        let now = Instant::now();
        let mut records = self.records();
        let grants = &mut records.entry(id.into()).or_default().grants;
        if let Some(grant) = grants.iter_mut().find(|grant| grant.token == token) {
            grant.held_until = grant.held_until.min(Some(now));
        }
    }

    /// The ids of all instances that anybody was told of.
    pub fn ids(&self) -> Vec<String> {
        let records = self.records();
        records.iter().filter(|(_, record)| record.newest.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// A position some way back, from which a watcher can see again what was seen: revision and sequence number.
    pub fn position(&self, id: &str) -> (u64, u64) {
        /// Of the 64 that are kept most are for what nobody saw.
        const BACK: u64 = 20;
        let records = self.records();
        let Some(record) = records.get(id) else { return (0, 0) };
        let back = record.last_without_gap().saturating_sub(BACK);
        record.transitions.get(&back).map_or((0, 0), |status| (status.revision, back))
    }

    /// Compares the current status, and the transitions after [`Recorder::position`], with all that was seen.
    pub fn check(&self, current: &InstanceStatus, kept: &[(u64, InstanceStatus)]) {
        let id = &current.instance_id;
        let (_, back) = self.position(id);
        let numbers = kept.iter().map(|(sequence, _)| *sequence);
        assert!(numbers.eq(back + 1..=back + kept.len() as u64), "{id}: a gap after {back} in {kept:?}");
        for (sequence, status) in kept {
            self.saw(*sequence, status);
        }
        let mut records = self.records();
        let record = records.entry(id.clone()).or_default();
        let newest = record.newest.as_ref().expect("the kept ones at least");
        assert!(current.revision >= newest.revision, "{current:?} is older than {newest:?}");
        if current.revision == newest.revision {
            let state = |status: &InstanceStatus| (status.execution_id.clone(), status.runtime_status, status.attempt);
            assert_eq!(state(current), state(newest), "{id}");
        }
        let known = back + kept.len() as u64;
        let seen = record.transitions.keys().next_back().copied().unwrap_or_default();
        assert!(seen <= known, "{id}: transition {seen} was seen, {known} is the last one that is kept");
        assert_eq!(record.last_without_gap(), known, "{id}: a gap");
        record.check_order();
        record.facts.iter().for_each(|fact| assert!(record.holds(fact), "{id}: forgotten: {fact:?}"));
        let granted = record.grants.iter().map(|grant| grant.token).max().unwrap_or_default();
        assert!(current.fencing_token >= granted, "{id}: {} after {granted}", current.fencing_token);
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        // One failed assertion is enough: the others go on.
        self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Record {
    fn last_without_gap(&self) -> u64 {
        let numbers = (1..).zip(self.transitions.keys());
        numbers.take_while(|(expected, found)| expected == *found).count() as u64
    }

    /// Revisions, tokens and times that rise; one live execution at a time; one execution for one version, since the
    /// callers put the request id there.
    fn check_order(&self) {
        let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
        for status in self.transitions.values() {
            if status.runtime_status() == RuntimeStatus::Pending && !status.version.is_empty() {
                let first = *begun.entry(&status.version).or_insert(&status.execution_id);
                assert_eq!(first, status.execution_id, "two executions for one request: {status:?}");
            }
        }
        let mut ended = BTreeSet::new();
        for (before, after) in self.transitions.values().zip(self.transitions.values().skip(1)) {
            let live = |status: &InstanceStatus| {
                matches!(status.runtime_status(), RuntimeStatus::Pending | RuntimeStatus::Running)
            };
            let times = |status: &InstanceStatus| status.last_updated_at.map(|at| (at.seconds, at.nanos));
            assert!(before.revision < after.revision, "{before:?}, {after:?}");
            assert!(before.fencing_token <= after.fencing_token, "{before:?}, {after:?}");
            assert!(times(before) < times(after), "{before:?}, {after:?}");
            if before.execution_id == after.execution_id {
                assert!(live(before), "a transition after the end: {before:?}, {after:?}");
            } else {
                let continued = [before, after].iter().all(|s| s.runtime_status() == RuntimeStatus::Running);
                assert!(!live(before) || continued, "two live executions: {before:?}, {after:?}");
                ended.insert(&before.execution_id);
                assert!(!ended.contains(&after.execution_id), "it is back: {after:?}");
            }
        }
    }

    fn holds(&self, fact: &Fact) -> bool {
        let mut statuses = self.transitions.values();
        match fact {
            Fact::Started { execution } => statuses.any(|status| status.execution_id == *execution),
            Fact::Ended { execution, status: ended } => {
                statuses.any(|status| status.execution_id == *execution && status.runtime_status() == *ended)
            }
            Fact::Continued { execution } => {
                let of_it = |status: &&InstanceStatus| status.execution_id == *execution;
                statuses.by_ref().skip_while(|status| !of_it(status)).any(|status| !of_it(&status))
            }
        }
    }
}
