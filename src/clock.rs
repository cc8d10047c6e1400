//! The only place that reads time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::time::{Now, Steady, Timestamp};

/// Tells the time on both clocks.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Now;
}

/// The machine's clocks. The steady one begins at the wall time of its making and never jumps; the wall time that
/// people are shown never falls behind it.
#[derive(Debug)]
pub struct SystemClock {
    begun: Instant,
    begun_at: Duration,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    pub fn new() -> SystemClock {
        SystemClock { begun: Instant::now(), begun_at: since_epoch(SystemTime::now()) }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    fn now(&self) -> Now {
        let steady = micros(self.begun_at + self.begun.elapsed());
        let wall = micros(since_epoch(SystemTime::now()));
        Now { wall: Timestamp::from_micros(wall.max(steady)), steady: Steady::from_micros(steady) }
    }
}

/// The wall time, for what people say relative to now: "in 5 minutes". Nothing in the server runs on it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
pub fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// A time as people see it, for those who write it out.
impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> SystemTime {
        let from_epoch = Duration::from_micros(at.as_micros().unsigned_abs());
        let time =
            if at.as_micros() < 0 { UNIX_EPOCH.checked_sub(from_epoch) } else { UNIX_EPOCH.checked_add(from_epoch) };
        time.unwrap_or(UNIX_EPOCH)
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
