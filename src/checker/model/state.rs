//! An instance in the model.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use super::op::{Body, Name, Op};
use crate::checker::history::{Outcome, Status, Tick};

/// An instance in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    /// The revision is this or higher.
    pub(super) floor: u64,
    /// Transitions with lower revisions have been seen or never will be.
    pub(super) settled: u64,
    /// The execution that ended in the step in which this one began, and how.
    pub(super) former: Option<(Who, Status)>,
    /// What it goes on as when it is resumed, if that is known; only while it is suspended.
    pub(super) resumes: Option<Status>,
    /// The starts that wait, the first one first.
    pub(super) queue: Vec<Waiting>,
    /// Whether others may wait before those, of whom nothing is known. Then what has ended may have a successor.
    pub(super) hides: bool,
    /// Whether the id may have had a life before, whose tokens need not be shown any more.
    pub(super) is_reborn: bool,
    /// The newest token that is known.
    pub(super) token: u64,
    pub(super) lease: Lease,
    pub(super) last_report: LastReport,
    pub(super) memory: Rc<Memory>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// What was before is not known.
    Anything,
    Absent,
    Present {
        execution: Who,
        /// Absent: not known.
        function: Option<Name>,
        status: Status,
    },
}

/// An execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Named(Name),
    /// That of the call with this number; nobody has seen it yet.
    Unnamed(u32),
    /// What was there when the call with this number came, and before anything is known.
    Former(u32),
    /// What had waited before anything is known, and was there when the call with this number came.
    Hidden(u32),
}

/// A start that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub(super) execution: Who,
    /// Absent: not known.
    pub(super) function: Option<Name>,
    pub(super) coalesces: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lease {
    None,
    Held,
    /// Its execution has ended without its worker.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LastReport {
    Unknown,
    None,
    Of(u64, Body),
}

/// The remembered request ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) entries: BTreeMap<Name, Remembered>,
    fingerprint: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Remembered {
    pub(super) digest: u64,
    pub(super) outcome: Outcome,
    pub(super) execution: Who,
    /// When the start was called and when it returned.
    pub(super) called: Tick,
}

impl State {
    /// A number that stands for the state.
    pub fn fingerprint(&self) -> u128 {
        let State {
            phase,
            floor,
            settled,
            former,
            resumes,
            queue,
            hides,
            is_reborn,
            token,
            lease,
            last_report,
            memory,
        } = self;
        let stands = (phase, floor, settled, former, resumes, queue, hides, is_reborn);
        digest(&(stands, token, lease, last_report)) ^ memory.fingerprint
    }

    /// Whether a final report that is accepted can be told from the repetition of one.
    pub fn knows_last_report(&self) -> bool {
        self.last_report != LastReport::Unknown
    }

    pub fn execution(&self) -> Option<Who> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { execution, .. } => Some(execution),
        }
    }

    pub(super) fn function(&self) -> Option<Name> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { function, .. } => function,
        }
    }

    pub fn status(&self) -> Option<Status> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { status, .. } => Some(status),
        }
    }

    pub(super) fn set_status(&mut self, to: Status) {
        if let Phase::Present { status, .. } = &mut self.phase {
            *status = to;
        }
    }

    pub(super) fn set_function(&mut self, to: Name) {
        if let Phase::Present { function, .. } = &mut self.phase {
            *function = Some(to);
        }
    }

    /// A visible change: it has a revision of its own.
    pub(super) fn advance(&mut self) {
        self.floor += 1;
        self.settled = self.floor;
    }

    pub(super) fn cancel(&mut self) {
        if self.lease == Lease::Held {
            self.lease = Lease::Cancelled;
        }
    }

    /// After its end: the first that waits begins in the same step.
    pub(super) fn ended_as(&self, status: Status) -> State {
        let mut next = self.clone();
        next.cancel();
        next.resumes = None;
        next.set_status(status);
        next.advance();
        if !self.hides {
            next.dequeue();
        }
        next
    }

    /// The first that waits takes the place of what has ended. Answers whether one waits.
    pub(super) fn dequeue(&mut self) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let Waiting { execution, function, .. } = self.queue.remove(0);
        self.former = self.execution().zip(self.status());
        self.phase = Phase::Present { execution, function, status: Status::Pending };
        self.floor += 1;
        true
    }

    /// After a purge.
    pub(super) fn purged(&self) -> State {
        let mut next = State { phase: Phase::Absent, former: None, is_reborn: true, ..self.clone() };
        next.advance();
        next
    }

    /// Where anything was possible: an execution that nobody has seen yet.
    pub(super) fn pinned(&self, execution: Who, status: Status) -> State {
        let phase = Phase::Present { execution, function: None, status };
        State { phase, former: self.execution().zip(self.status()), resumes: None, ..self.clone() }
    }

    /// It ended by itself, and one that had waited before those that are known took its place.
    pub(super) fn followed_by(&self, execution: Who, status: Status) -> State {
        let mut next = self.pinned(execution, status);
        next.cancel();
        next.advance();
        next
    }

    /// After it continued as another execution, which is now seen with this status.
    pub(super) fn continued_as(&self, execution: Name, status: Status) -> State {
        let mut next = self.clone();
        next.begins_anew(Who::Named(execution));
        next.lease = Lease::None;
        next.advance();
        match status {
            Status::Running | Status::Suspended | Status::Pending => next.set_status(status),
            Status::Completed | Status::Failed | Status::Terminated => next = next.ended_as(status),
        }
        next
    }

    /// The same function goes on as another execution, suspended if it was.
    pub(super) fn begins_anew(&mut self, execution: Who) {
        let is_suspended = self.status() == Some(Status::Suspended);
        let status = if is_suspended { Status::Suspended } else { Status::Running };
        self.resumes = is_suspended.then_some(Status::Running);
        self.phase = Phase::Present { execution, function: self.function(), status };
    }

    pub(super) fn granted(&self) -> State {
        let mut next = self.clone();
        next.set_status(Status::Running);
        next.advance();
        next
    }

    pub(super) fn suspended(mut self) -> State {
        if let Some(status) = self.status().filter(|status| *status != Status::Suspended) {
            self.resumes = Some(status);
            self.set_status(Status::Suspended);
            self.advance();
        }
        self
    }

    /// In each way in which it may go on.
    pub(super) fn resumed(mut self) -> Vec<State> {
        if self.status() != Some(Status::Suspended) {
            return vec![self];
        }
        let resumes = self.resumes.take().map_or(vec![Status::Pending, Status::Running], |status| vec![status]);
        let resumed = |status| {
            let mut next = self.clone();
            next.set_status(status);
            next.advance();
            next
        };
        resumes.into_iter().map(resumed).collect()
    }

    /// Nothing but what is known waits.
    pub(super) fn shown(mut self) -> State {
        self.hides = false;
        self
    }

    /// The place of a start that waits, from 0.
    pub(super) fn place(&self, execution: Who) -> Option<usize> {
        self.queue.iter().position(|waiting| waiting.execution == execution)
    }

    /// The state as the call that made it left it behind, if that is what the answer says.
    pub(super) fn left_behind(mut self, op: &Op) -> Option<State> {
        let Some(seen) = op.seen else { return Some(self) };
        let is_it = self.execution() == Some(Who::Named(seen.execution)) && self.status() == Some(seen.status);
        if !is_it || seen.revision < self.floor {
            return None;
        }
        self.floor = seen.revision;
        Some(self)
    }

    pub(super) fn remember(&mut self, outcome: Outcome, execution: Who, op: &Op) {
        if let Some((request, digest)) = op.ask.request() {
            let entry = Remembered { digest, outcome, execution, called: op.called };
            Rc::make_mut(&mut self.memory).put(request, entry);
        }
    }

    pub(super) fn rename(&mut self, from: Who, to: Name) {
        let rename = |who: &mut Who| {
            if *who == from {
                *who = Who::Named(to);
            }
        };
        if let Phase::Present { execution, .. } = &mut self.phase {
            rename(execution);
        }
        self.former.iter_mut().for_each(|(who, _)| rename(who));
        self.queue.iter_mut().for_each(|waiting| rename(&mut waiting.execution));
        let hits = self.memory.entries.iter().filter(|(_, entry)| entry.execution == from);
        let renamed: Vec<(Name, Remembered)> =
            hits.map(|(request, entry)| (*request, Remembered { execution: Who::Named(to), ..*entry })).collect();
        if !renamed.is_empty() {
            let memory = Rc::make_mut(&mut self.memory);
            renamed.into_iter().for_each(|(request, entry)| memory.put(request, entry));
        }
    }
}

impl Memory {
    fn put(&mut self, request: Name, entry: Remembered) {
        if let Some(before) = self.entries.insert(request, entry) {
            self.fingerprint ^= digest(&(request, before));
        }
        self.fingerprint ^= digest(&(request, entry));
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Memory) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Memory {}

/// 128 bits, so that two different things practically never have the same number.
pub fn digest(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
