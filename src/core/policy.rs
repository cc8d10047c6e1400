//! What a start asks for.

use super::{
    limits,
    status::Status,
    time::{Span, Steady},
};

/// What a start does when the id has a live execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ConflictPolicy {
    #[default]
    Fail,
    UseExisting,
    Replace,
    /// Wait for its end.
    Queue,
    /// Run once more after its end, however many ask.
    Coalesce,
}

/// Which kind of worker may run an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum WorkerKind {
    #[default]
    Any,
    Native,
    /// One that speaks the protocol of the Durable Task SDKs.
    DurableTask,
}

/// The statuses of an execution that a new one may follow: of one that has ended by every start, of a live one by a
/// start that replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replaceable {
    pub pending: bool,
    pub running: bool,
    pub suspended: bool,
    pub completed: bool,
    pub failed: bool,
    pub terminated: bool,
}

/// How failed and lost runs are tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The first attempt included; at least 1.
    pub max_attempts: u32,
    pub initial_backoff: Span,
    pub max_backoff: Span,
    /// At least 1.
    pub multiplier: f64,
}

impl Replaceable {
    pub const NONE: Replaceable = Replaceable {
        pending: false,
        running: false,
        suspended: false,
        completed: false,
        failed: false,
        terminated: false,
    };
    pub const LIVE: Replaceable = Replaceable { pending: true, running: true, suspended: true, ..Replaceable::NONE };
    pub const ALL: Replaceable = Replaceable { completed: true, failed: true, terminated: true, ..Replaceable::LIVE };

    pub fn contains(self, status: Status) -> bool {
        match status {
            Status::Pending => self.pending,
            Status::Running => self.running,
            Status::Suspended => self.suspended,
            Status::Completed => self.completed,
            Status::Failed => self.failed,
            Status::Terminated => self.terminated,
        }
    }
}

impl RetryPolicy {
    pub const ONCE: RetryPolicy =
        RetryPolicy { max_attempts: 1, initial_backoff: Span::ZERO, max_backoff: Span::ZERO, multiplier: 1.0 };

    /// When the next attempt is due after `accepted` attempts; none if they are used up.
    pub fn next_attempt(&self, accepted: u32, now: Steady) -> Option<Steady> {
        (accepted < self.max_attempts).then(|| now + self.backoff(accepted))
    }

    fn backoff(&self, accepted: u32) -> Span {
        let exponent = accepted.saturating_sub(1).min(limits::ATTEMPTS_MAX) as i32;
        self.initial_backoff.scale(self.multiplier.powi(exponent)).min(self.max_backoff)
    }
}
