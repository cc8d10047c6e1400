//! Calls as the model takes them, and what was seen.

use crate::checker::history::{Outcome, Policy, Status, Tick};

/// The number of a name: of an execution, a function or a request id.
pub type Name = u32;

/// A call as the model takes it.
#[derive(Clone, Debug)]
pub struct Op {
    pub called: Tick,
    /// `Tick::MAX` for an open one.
    pub returned: Tick,
    pub ask: Ask,
    /// Absent: it may have happened or not.
    pub told: Option<Told>,
    pub seen: Option<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    Start(Start),
    Read,
    Terminate { expected: Option<Name> },
    RaiseEvent { expected: Option<Name> },
    Report { token: u64, body: Body },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    pub policy: Policy,
    pub function: Name,
    pub replaceable: Vec<Status>,
    pub request: Option<(Name, u64)>,
}

/// A report, as far as it matters to what callers see; renewals don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Accept, Progress, EventsAcked.
    Goes,
    Completed(u64),
    Failed(u64),
    Continued(u64),
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Started(Name),
    Joined(Name),
    Replaced(Name),
    Deduplicated(Outcome, Name),
    AlreadyExists,
    NotReplaceable,
    FunctionMismatch,
    RequestIdReused,
    Status,
    Ended,
    EventRaised(Name, u64),
    NotFound,
    NotLive,
    ExecutionMismatch,
    Accepted,
}

/// What an answer said of the instance.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub execution: Name,
    pub status: Status,
    pub revision: u64,
    pub token: Option<u64>,
}

/// A transition that somebody saw: the instance passed through it before that.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub seen: Seen,
    /// When it was first seen.
    pub by: Tick,
    /// Whether it is known that there was no other transition between the one before it, or the beginning, and it.
    pub is_next: bool,
    /// Whether it is the grant of the token that has its revision's number.
    pub is_grant: bool,
}

impl Start {
    pub fn digest(&self) -> Option<u64> {
        self.request.map(|(_, digest)| digest)
    }
}
