//! Two kinds of time: what people are shown, and what durations are measured on.

use std::ops::{Add, Sub};

/// A point in time as people see it: microseconds since the Unix epoch, from the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A point on the engine's steady clock: it begins at the wall time of the server's start and then only elapses, so
/// that a jump of the wall clock makes nothing fire early. Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub i64);

/// A length of time in microseconds; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// The moment at which a command is decided, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub steady: Steady,
}

impl Timestamp {
    /// The next timestamp of something that was last changed at `self`: never goes back, never stands still.
    pub fn advance_to(self, wall: Timestamp) -> Timestamp {
        wall.max(Timestamp(self.0.saturating_add(1)))
    }
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_micros(micros: i64) -> Span {
        Span(if micros < 0 { 0 } else { micros })
    }

    pub const fn from_secs(secs: i64) -> Span {
        Span::from_micros(secs.saturating_mul(1_000_000))
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// `self * factor`, saturating; a factor that is no number gives zero.
    pub fn scale(self, factor: f64) -> Span {
        Span::from_micros((self.0 as f64 * factor) as i64)
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Span {
        Span(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_micros(span.0.unsigned_abs())
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Add<Span> for Steady {
    type Output = Steady;

    fn add(self, span: Span) -> Steady {
        Steady(self.0.saturating_add(span.0))
    }
}

impl Sub for Steady {
    type Output = Span;

    /// How long after `earlier` this is; zero if it is before.
    fn sub(self, earlier: Steady) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Now {
    /// The moment on the steady clock of a time that people gave: now if that has passed.
    pub fn moment_of(self, time: Timestamp) -> Steady {
        self.steady + Span::from_micros(time.0.saturating_sub(self.wall.0))
    }

    /// What people are shown for a moment on the steady clock.
    pub fn shown(self, moment: Steady) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(moment.0.saturating_sub(self.steady.0)))
    }
}
