//! When the worker's view of a lease ends. Pure: the moments are arguments.
//!
//! A lease counts from the moment at which the message that renewed it was *sent*, which is before the server's own
//! count begins: so the worker always stops first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::proto::v1::Registered;

/// No server means a longer one; it keeps the arithmetic of moments from overflowing.
const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Heartbeats whose answer is still of interest; older ones could hardly renew anything.
const UNANSWERED_MAX: usize = 64;

/// What the server said about its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub lease: Duration,
    pub interval: Duration,
}

/// One run's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    end: Instant,
    sealed: bool,
}

/// The heartbeats of one stream.
#[derive(Debug)]
pub(super) struct Heartbeats {
    terms: Terms,
    due: Instant,
    unanswered: VecDeque<(u64, Instant)>,
}

// === impl Terms ===

impl Terms {
    /// Nothing if the server left the lease's length out.
    pub(super) fn of(registered: &Registered) -> Option<Terms> {
        let length = |given: &Option<prost_types::Duration>| {
            given.and_then(|given| Duration::try_from(given).ok()).filter(|given| !given.is_zero())
        };
        let lease = length(&registered.lease_duration)?.min(LEASE_MAX);
        let interval = length(&registered.heartbeat_interval).unwrap_or(lease / 3);
        Some(Terms { lease, interval: interval.max(HEARTBEAT_INTERVAL_MIN) })
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn from(sent: Instant, length: Duration) -> Lease {
        Lease { end: sent + length, sealed: false }
    }

    pub(super) fn end(&self) -> Instant {
        self.end
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// What was sent then was acknowledged. Answers may come late and in any order: they never shorten the lease.
    pub(super) fn renew(&mut self, sent: Instant, length: Duration) {
        if !self.sealed {
            self.end = self.end.max(sent + length);
        }
    }

    /// No answer renews it any more, and it ends then at the latest.
    pub(super) fn seal(&mut self, at_latest: Instant) {
        self.sealed = true;
        self.end = self.end.min(at_latest);
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }
}

// === impl Heartbeats ===

impl Heartbeats {
    /// The first one is due an interval after the registration, which renewed the leases itself.
    pub(super) fn new(terms: Terms, registered: Instant) -> Heartbeats {
        Heartbeats { terms, due: registered + terms.interval, unanswered: VecDeque::new() }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// One was handed to the stream.
    pub(super) fn sent(&mut self, sequence: u64, now: Instant) {
        self.due = now + self.terms.interval;
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((sequence, now));
    }

    /// When the heartbeat that is answered was sent. Those before it are forgotten: this one renews more.
    pub(super) fn answered(&mut self, sequence: u64) -> Option<Instant> {
        let place = self.unanswered.iter().position(|(sent, _)| *sent == sequence)?;
        self.unanswered.drain(..=place).next_back().map(|(_, sent)| sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TERMS: Terms = Terms { lease: Duration::from_secs(10), interval: Duration::from_secs(3) };

    #[test]
    fn a_lease_counts_from_the_sending_and_never_shrinks() {
        let start = Instant::now();
        let mut lease = Lease::from(start, 10 * SECOND);
        assert!(!lease.has_ended(start + 10 * SECOND - Duration::from_nanos(1)));
        assert!(lease.has_ended(start + 10 * SECOND));
        lease.renew(start + 3 * SECOND, 10 * SECOND);
        assert_eq!(lease.end(), start + 13 * SECOND);
        lease.renew(start + SECOND, 10 * SECOND);
        assert_eq!(lease.end(), start + 13 * SECOND);
    }

    #[test]
    fn a_sealed_lease_only_shrinks() {
        let start = Instant::now();
        let mut lease = Lease::from(start, 10 * SECOND);
        lease.seal(start + 60 * SECOND);
        assert_eq!(lease.end(), start + 10 * SECOND);
        lease.renew(start + 5 * SECOND, 10 * SECOND);
        lease.seal(start + 5 * SECOND);
        assert_eq!(lease.end(), start + 5 * SECOND);
    }

    #[test]
    fn an_answer_names_its_heartbeat() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::new(TERMS, start);
        assert_eq!(heartbeats.due(), start + 3 * SECOND);
        heartbeats.sent(7, start + 3 * SECOND);
        heartbeats.sent(9, start + 6 * SECOND);
        assert_eq!(heartbeats.due(), start + 9 * SECOND);
        assert_eq!(heartbeats.answered(8), None);
        assert_eq!(heartbeats.answered(9), Some(start + 6 * SECOND));
        assert_eq!(heartbeats.answered(7), None, "a newer answer came first");
    }

    #[test]
    fn unanswered_heartbeats_are_bounded() {
        let start = Instant::now();
        let mut heartbeats = Heartbeats::new(TERMS, start);
        for sequence in 0..=UNANSWERED_MAX as u64 {
            heartbeats.sent(sequence, start);
        }
        assert_eq!(heartbeats.unanswered.len(), UNANSWERED_MAX);
        assert_eq!(heartbeats.answered(0), None);
        assert_eq!(heartbeats.answered(1), Some(start));
    }

    #[test]
    fn terms_without_a_length_are_none() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let said = |lease_duration, heartbeat_interval| {
            Terms::of(&Registered { lease_duration, heartbeat_interval, ..Registered::default() })
        };
        assert_eq!(said(seconds(10), seconds(3)), Some(TERMS));
        assert_eq!(said(seconds(9), None), Some(Terms { lease: 9 * SECOND, interval: 3 * SECOND }));
        assert_eq!(said(seconds(i64::MAX), seconds(3)).map(|terms| terms.lease), Some(LEASE_MAX));
        for nothing in [None, seconds(0), seconds(-1)] {
            assert_eq!(said(nothing, seconds(3)), None);
        }
    }
}
