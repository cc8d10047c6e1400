//! An instance in the model.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use super::op::{Body, Name, Op, Start};
use crate::checker::history::{Outcome, Status, Tick};

/// An instance in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    /// The revision is this or higher.
    pub(super) floor: u64,
    /// Transitions with lower revisions have been seen or never will be.
    pub(super) settled: u64,
    /// The execution that the latest step terminated to make room.
    pub(super) replaced: Option<Who>,
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
        let State { phase, floor, settled, replaced, token, lease, last_report, memory } = self;
        digest(&(phase, floor, settled, replaced, token, lease, last_report)) ^ memory.fingerprint
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

    pub(super) fn ended_as(&self, status: Status) -> State {
        let mut next = self.clone();
        next.cancel();
        next.set_status(status);
        next.advance();
        next
    }

    /// Where anything was possible: an execution that nobody has seen yet.
    pub(super) fn pinned(&self, number: u32, status: Status) -> State {
        let phase = Phase::Present { execution: Who::Unnamed(number), function: None, status };
        State { phase, ..self.clone() }
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

    pub(super) fn remember(&mut self, start: &Start, outcome: Outcome, execution: Who, op: &Op) {
        if let Some((request, digest)) = start.request {
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
        self.replaced.iter_mut().for_each(rename);
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
