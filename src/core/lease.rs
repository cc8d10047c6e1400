//! A worker's claim on a run.

use super::{
    ids::{ClaimId, ExecutionId, FencingToken, Name},
    time::{Span, Steady},
};
use crate::mutant::Mutant;

/// A worker's claim on a run of one execution. It hangs on the instance, not on the execution: it can outlast it, and
/// while it does nobody else is granted the instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub token: FencingToken,
    pub claim: ClaimId,
    pub worker: Name,
    pub execution: ExecutionId,
    pub ttl: Span,
    /// Whether the worker took the run on: then the attempt counts.
    pub accepted: bool,
    /// Why the run is to stop; then the lease can't be renewed any more.
    pub cancelled: Option<Cancellation>,
    /// Soft state: moved by heartbeats, a full `ttl` after a restart.
    pub expires_at: Steady,
}

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cancellation {
    Terminated,
    Replaced,
    TimedOut,
}

/// What a worker shows for its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof {
    pub token: FencingToken,
    pub claim: ClaimId,
}

/// Why a lease was not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// It was cancelled: stop and say so.
    Cancelled(Cancellation),
    /// Its final report was taken.
    Reported,
    /// It is over, or never was.
    Lost,
}

/// A final report that was accepted: the same one again gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FinalReport {
    pub proof: Proof,
    pub digest: u128,
}

impl Lease {
    pub fn proof(&self) -> Proof {
        Proof { token: self.token, claim: self.claim }
    }

    pub fn has_expired(&self, now: Steady) -> bool {
        now >= self.expires_at
    }

    /// Counts from now anew.
    pub fn renew(&mut self, now: Steady) {
        self.expires_at = now + self.ttl;
    }

    /// Whether `proof` is for this lease, and the lease still stands.
    pub fn check(&self, proof: Proof, now: Steady) -> Result<(), NotHeld> {
        if (self.proof() != proof && !Mutant::BelieveAnyProof.is_on()) || self.has_expired(now) {
            return Err(NotHeld::Lost);
        }
        let cancelled = self.cancelled.filter(|_| !Mutant::TakeReportAfterEnd.is_on());
        cancelled.map_or(Ok(()), |why| Err(NotHeld::Cancelled(why)))
    }
}
