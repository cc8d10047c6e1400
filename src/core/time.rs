//! Two kinds of time: what people are shown, and what durations are measured on.

use std::{
    fmt,
    num::NonZeroU64,
    ops::{Add, Sub},
};

/// A point in time as people see it: microseconds since the Unix epoch, from the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Micros);

/// A point on the engine's steady clock: it begins at the wall time of the server's start and then only elapses, so
/// that a jump of the wall clock makes nothing fire early. Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(Micros);

/// A length of time in microseconds; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Micros);

/// Microseconds, of which an `Option` takes no more room: instances are many, and most of their times are not set. The
/// least number there is is none of them. As its bits stand they have its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Micros(NonZeroU64);

impl Micros {
    const SIGN: u64 = 1 << 63;

    const fn new(micros: i64) -> Micros {
        match NonZeroU64::new(micros.cast_unsigned() ^ Self::SIGN) {
            Some(bits) => Micros(bits),
            None => Micros(NonZeroU64::MIN),
        }
    }

    const fn get(self) -> i64 {
        (self.0.get() ^ Self::SIGN).cast_signed()
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The moment at which a command is decided, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub steady: Steady,
}

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(Micros::new(micros))
    }

    pub const fn as_micros(self) -> i64 {
        self.0.get()
    }

    /// The next timestamp of something that was last changed at `self`: never goes back, never stands still.
    pub fn advance_to(self, wall: Timestamp) -> Timestamp {
        wall.max(Timestamp::from_micros(self.as_micros().saturating_add(1)))
    }
}

impl Steady {
    pub const fn from_micros(micros: i64) -> Steady {
        Steady(Micros::new(micros))
    }

    pub const fn as_micros(self) -> i64 {
        self.0.get()
    }
}

impl Span {
    pub const ZERO: Span = Span::from_micros(0);

    pub const fn from_micros(micros: i64) -> Span {
        Span(Micros::new(if micros < 0 { 0 } else { micros }))
    }

    pub const fn from_secs(secs: i64) -> Span {
        Span::from_micros(secs.saturating_mul(1_000_000))
    }

    pub const fn as_micros(self) -> i64 {
        self.0.get()
    }

    /// `self * factor`, saturating; a factor that is no number gives zero.
    pub fn scale(self, factor: f64) -> Span {
        Span::from_micros((self.as_micros() as f64 * factor) as i64)
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Span {
        Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_micros(span.as_micros().unsigned_abs())
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Span) -> Timestamp {
        Timestamp::from_micros(self.as_micros().saturating_add(span.as_micros()))
    }
}

impl Add<Span> for Steady {
    type Output = Steady;

    fn add(self, span: Span) -> Steady {
        Steady::from_micros(self.as_micros().saturating_add(span.as_micros()))
    }
}

impl Sub for Steady {
    type Output = Span;

    /// How long after `earlier` this is; zero if it is before.
    fn sub(self, earlier: Steady) -> Span {
        Span::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }
}

impl Now {
    /// The moment on the steady clock of a time that people gave: now if that has passed.
    pub fn moment_of(self, time: Timestamp) -> Steady {
        self.steady + Span::from_micros(time.as_micros().saturating_sub(self.wall.as_micros()))
    }

    /// What people are shown for a moment on the steady clock.
    pub fn shown(self, moment: Steady) -> Timestamp {
        let ahead = moment.as_micros().saturating_sub(self.steady.as_micros());
        Timestamp::from_micros(self.wall.as_micros().saturating_add(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_order_and_an_absent_one_takes_no_room() {
        let times = [i64::MIN + 1, -1, 0, 1, i64::MAX].map(Timestamp::from_micros);
        assert!(times.is_sorted());
        assert_eq!(times.map(Timestamp::as_micros), [i64::MIN + 1, -1, 0, 1, i64::MAX]);
        assert_eq!(Timestamp::from_micros(i64::MIN), times[0], "the least one stands for its neighbour");
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<Timestamp>());
    }
}
