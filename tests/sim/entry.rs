//! One instance id as it became durable, through all its lives.

use std::collections::{BTreeMap, BTreeSet};

use soloist::core::{
    ids::{Arrival, ExecutionId, InstanceKey, Revision},
    instance::Instance,
    lease::Proof,
    status::{Status, Transition},
    time::{Now, Steady, Timestamp},
};

use crate::{disk::News, rows::Taken};

pub struct Entry {
    pub key: InstanceKey,
    pub latest: Instance,
    /// Of all lives.
    transitions: Vec<Transition>,
    /// Where the present life begins.
    life: usize,
    is_recorded: bool,
    /// The start that has left the queue in this step.
    pub taken: Option<Taken>,
    withdrawn: BTreeSet<ExecutionId>,
    /// The executions that each event was raised for, in each life one.
    raised: BTreeMap<u64, Vec<ExecutionId>>,
}

impl Entry {
    /// Before its first record.
    pub fn new(arrival: Arrival, first: &Transition) -> Entry {
        let execution = &first.view.execution;
        let now = Now { wall: Timestamp::from_micros(0), steady: Steady::from_micros(0) };
        Entry {
            key: first.view.key.clone(),
            latest: Instance::create(arrival, execution.id, &execution.spec, None, Revision(0), now),
            transitions: Vec::new(),
            life: 0,
            is_recorded: false,
            taken: None,
            withdrawn: BTreeSet::new(),
            raised: BTreeMap::new(),
        }
    }

    /// Whether callers find it.
    pub fn is_there(&self) -> bool {
        self.is_recorded && self.latest.is_there()
    }

    /// Whether anything of it is left.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    pub fn was_purged(&self) -> bool {
        !self.latest.is_there()
    }

    /// Whether it was taken from the queue, and never begins.
    pub fn is_withdrawn(&self, execution: ExecutionId) -> bool {
        self.withdrawn.contains(&execution)
    }

    /// The executions that the events with this number were raised for.
    pub fn raised(&self, event: u64) -> &[ExecutionId] {
        self.raised.get(&event).map_or(&[], Vec::as_slice)
    }

    /// Those of the present life.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions[self.life..]
    }

    /// The transition with this number, of the life that had come to this revision.
    pub fn transition(&self, sequence: u64, revision: u64) -> Option<&Transition> {
        let mut by_then = self.transitions.iter().rev().skip_while(|transition| transition.view.revision.0 > revision);
        by_then.find(|transition| transition.sequence <= sequence).filter(|t| t.sequence == sequence)
    }

    /// The place of its first transition.
    pub fn begun(&self, execution: ExecutionId) -> Option<usize> {
        self.transitions.iter().position(|transition| transition.view.execution.id == execution)
    }

    /// The first transition of the latest life.
    pub fn first_of_life(&self) -> Option<&Transition> {
        self.transitions().first()
    }

    /// A transition became durable.
    pub fn moved(&mut self, next: Transition) -> Result<(), String> {
        if self.transitions.len() > self.life && !self.is_there() {
            self.life = self.transitions.len();
        }
        let newest = self.transitions.last().map_or(Revision(0), |transition| transition.view.revision);
        let execution = next.view.execution.id;
        let fault = match self.transitions().last() {
            _ if next.view.revision <= newest => {
                Some(format!("transition {} has revision {}", next.sequence, next.view.revision))
            }
            _ if self.withdrawn.contains(&execution) => Some(format!("{execution} was withdrawn, and has begun")),
            _ if self.taken.as_ref().is_some_and(|taken| taken.execution == execution && !taken.was_first) => {
                Some(format!("{execution} has begun before others that had waited longer"))
            }
            None => (next.sequence != 1).then(|| format!("a life begins with transition {}", next.sequence)),
            Some(before) => follows(before, &next),
        };
        if self.taken.as_ref().is_some_and(|taken| taken.execution == execution) {
            self.taken = None;
        }
        self.transitions.push(next);
        fault.map_or(Ok(()), Err)
    }

    /// A record became durable. Answers what is new, and what is wrong.
    pub fn recorded(&mut self, next: Instance) -> (Vec<News>, Vec<String>) {
        let before = std::mem::replace(&mut self.latest, next);
        let next = &self.latest;
        let is_continued = self.is_recorded;
        self.is_recorded = true;
        if let Some(taken) = self.taken.take() {
            self.withdrawn.insert(taken.execution);
        }
        let mut news = Vec::new();
        let inbox_last = if is_continued { before.inbox_last } else { 0 };
        for event in inbox_last + 1..=next.inbox_last {
            news.push(News::EventRaised);
            self.raised.entry(event).or_default().push(next.execution.id);
        }
        if before.is_there() && !next.is_there() {
            news.push(News::Purged { ended_at: before.execution.completed_at });
        }
        let mut faults = Vec::new();
        let last = self.transitions().last().map_or(0, |transition| transition.sequence);
        if next.revision <= before.revision {
            faults.push(format!("revision {} after {}", next.revision, before.revision));
        }
        if next.sequence != last {
            faults.push(format!("its record is at transition {}, its transitions at {last}", next.sequence));
        }
        if is_continued {
            faults.extend(self.goes_on(&before));
        }
        let (was, is) = (lease_of(&before).filter(|_| is_continued), lease_of(next));
        if let (Some(proof), Some(lease)) = (is.filter(|is| was != Some(*is)), &next.lease) {
            faults.extend(may_be_granted(&before, proof));
            let (worker, execution) = (lease.worker.to_string(), lease.execution);
            news.push(News::Granted { worker, execution, token: proof.token.0, attempt: next.execution.attempt });
        }
        if let Some(former) = was.filter(|was| is != Some(*was)) {
            news.push(News::LeaseEnded { token: former.token.0 });
        }
        (news, faults)
    }

    /// What is wrong with the record after the one before it.
    fn goes_on(&self, before: &Instance) -> Vec<String> {
        let next = &self.latest;
        let mut faults = Vec::new();
        if before.arrival != next.arrival {
            faults.push("it arrived a second time".into());
        }
        if next.fencing_token < before.fencing_token {
            faults.push(format!("token {} after {}", next.fencing_token, before.fencing_token));
        }
        let is_purge = before.is_there() && !next.is_there();
        if is_purge && before.execution.status.is_live() {
            faults.push(format!("it was purged while it was {:?}", before.execution.status));
        }
        if is_purge && lease_of(before) != lease_of(next) {
            faults.push("a purge has ended its lease".into());
        }
        if next.is_there() && !before.is_there() && next.sequence != 1 {
            faults.push(format!("after a purge it is at transition {}", next.sequence));
        }
        faults
    }

    /// Nothing is left of it. Answers the end of its lease, if it had one.
    pub fn forget(&mut self) -> Option<News> {
        self.is_recorded = false;
        let lease = lease_of(&self.latest);
        lease.map(|proof| News::LeaseEnded { token: proof.token.0 })
    }
}

fn lease_of(instance: &Instance) -> Option<Proof> {
    instance.lease.as_ref().map(|lease| lease.proof())
}

/// What stood in the way of a grant.
fn may_be_granted(before: &Instance, proof: Proof) -> Option<String> {
    let execution = &before.execution;
    if let Some(former) = lease_of(before) {
        return Some(format!("granted with token {} while the lease {} stood", proof.token, former.token));
    }
    if proof.token <= before.fencing_token {
        return Some(format!("granted with token {} after {}", proof.token, before.fencing_token));
    }
    let waits = execution.due.value().scheduled.is_some() || execution.due.value().retry_at.is_some();
    let is_ready = matches!(execution.status, Status::Pending | Status::Running) && before.is_there();
    (waits || !is_ready).then(|| format!("granted with token {} when it was {before:?}", proof.token))
}

/// What is wrong with a transition after the one before it in the same life.
fn follows(before: &Transition, next: &Transition) -> Option<String> {
    let expected = before.sequence + 1;
    if next.sequence != expected {
        return Some(format!("transition {} came where {expected} was due", next.sequence));
    }
    let (was, is) = (&before.view.execution, &next.view.execution);
    if is.last_updated_at <= was.last_updated_at {
        return Some(format!("transition {} goes back in time", next.sequence));
    }
    let continued = matches!(is.status, Status::Running | Status::Suspended);
    if was.id != is.id && was.status.is_live() && !continued {
        return Some(format!("execution {} was started while {} was live", is.id, was.id));
    }
    if was.id == is.id && !was.status.is_live() {
        return Some(format!("execution {} went on after its end", is.id));
    }
    None
}
