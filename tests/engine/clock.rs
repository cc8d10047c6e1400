//! A clock that moves when it is told to.

use parking_lot::Mutex;
use soloist::{
    clock::Clock,
    core::time::{Now, Span, Steady, Timestamp},
};

/// Both clocks of a machine, each moved by hand.
pub struct HandClock(Mutex<Now>);

impl HandClock {
    /// Some day in 2024, on both clocks.
    pub fn new() -> HandClock {
        const BEGIN_MICROS: i64 = 1_720_000_000_000_000;
        HandClock(Mutex::new(Now {
            wall: Timestamp::from_micros(BEGIN_MICROS),
            steady: Steady::from_micros(BEGIN_MICROS),
        }))
    }

    /// Time passes: both clocks go on.
    pub fn pass(&self, span: Span) {
        let mut now = self.0.lock();
        *now = Now { wall: Timestamp::from_micros(now.wall.as_micros() + span.as_micros()), steady: now.steady + span };
    }

    /// Somebody sets the wall clock, ahead or back.
    pub fn set_wall_by(&self, hours: i64) {
        let mut now = self.0.lock();
        now.wall = Timestamp::from_micros(now.wall.as_micros() + hours * 3_600_000_000);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        *self.0.lock()
    }
}
