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
    /// The execution that an open start began, if it began one: absent if that is not known.
    pub begins: Option<Name>,
    /// The latest execution, as the answer shows it.
    pub seen: Option<Seen>,
    /// An execution that may be another one, as the answer shows it.
    pub aside: Option<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    Start(Start),
    Restart { expected: Option<Name>, request: Option<(Name, u64)> },
    Read,
    ReadOf(Name),
    Terminate { expected: Option<Name> },
    TerminateOf(Name),
    RaiseEvent { expected: Option<Name> },
    Suspend { expected: Option<Name> },
    Resume { expected: Option<Name> },
    Purge { expected: Option<Name> },
    Report { token: u64, body: Body },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    pub policy: Policy,
    pub function: Name,
    pub replaceable: Vec<Status>,
    pub max_queue: u32,
    pub signal: bool,
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
    /// With its place in the queue.
    Queued(Name, u32),
    Coalesced(Name, u32),
    Deduplicated(Outcome, Name),
    QueueFull(u32),
    AlreadyExists,
    NotReplaceable,
    FunctionMismatch,
    RequestIdReused,
    Status,
    /// At its place in the queue, if that is known.
    Waiting(Option<u32>),
    Ended,
    Suspended,
    Resumed,
    Purged,
    StillLive,
    EventRaised(Name, u64),
    NotFound,
    ExecutionNotFound,
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

impl Ask {
    /// The request id, and the number that stands for what else is asked for.
    pub fn request(&self) -> Option<(Name, u64)> {
        match self {
            Ask::Start(Start { request, .. }) | Ask::Restart { request, .. } => *request,
            Ask::Read
            | Ask::ReadOf(_)
            | Ask::Terminate { .. }
            | Ask::TerminateOf(_)
            | Ask::RaiseEvent { .. }
            | Ask::Suspend { .. }
            | Ask::Resume { .. }
            | Ask::Purge { .. }
            | Ask::Report { .. } => None,
        }
    }

    pub fn forget_request(&mut self) {
        if let Ask::Start(Start { request, .. }) | Ask::Restart { request, .. } = self {
            *request = None;
        }
    }
}
