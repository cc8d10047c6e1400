//! How long a stream may say nothing before its line is taken for dead.
//!
//! A server says on an idle stream, every so often, that it is alive; how often, it decides. Behind a proxy that is all
//! there is to tell whether it still is: the proxy answers HTTP/2 pings by itself.

use std::time::Duration;

use tokio::time::Instant;

/// So many heartbeats may stay away.
const MISSED_MAX: u32 = 3;
/// A stream that was silent for less is not given up: whoever is slow to listen hears two heartbeats at once.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// What was heard of the heartbeats of one stream.
#[derive(Debug)]
pub(super) struct Silence {
    since: Instant,
    /// The longest time after which one came; none before the first. Of the former stream, while nothing has come.
    interval: Option<Duration>,
    is_of_former: bool,
}

impl Silence {
    /// From now on.
    pub fn begins() -> Silence {
        Silence { since: Instant::now(), interval: None, is_of_former: false }
    }

    /// On a new stream: what is known of the former one is all that is known until something comes.
    pub fn begins_again(&mut self) {
        (self.since, self.is_of_former) = (Instant::now(), true);
    }

    /// It was given up. Should it be a server that says less often than the former one that it is alive, the next stream
    /// is given more time.
    pub fn was_too_long(&mut self) {
        self.interval = self.interval.map(|interval| interval.saturating_mul(2));
    }

    /// Something was heard.
    pub fn is_broken(&mut self, by_heartbeat: bool) {
        if std::mem::take(&mut self.is_of_former) {
            self.interval = None;
        }
        if by_heartbeat {
            self.interval = self.interval.max(Some(self.since.elapsed()));
        }
        self.since = Instant::now();
    }

    /// When it has lasted too long; never, while it is not known how often heartbeats come.
    pub fn ends(&self) -> Option<Instant> {
        let interval = self.interval?;
        self.since.checked_add(interval.saturating_mul(MISSED_MAX).max(SILENCE_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that came after so many seconds each, heartbeats or not.
    type Heard = &'static [(u64, bool)];

    /// How long the silence may last after them.
    async fn lasts(heard: Heard) -> Option<u64> {
        let mut silence = Silence::begins();
        for (seconds, by_heartbeat) in heard {
            tokio::time::advance(Duration::from_secs(*seconds)).await;
            silence.is_broken(*by_heartbeat);
        }
        silence.ends().map(|end| (end - Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn three_heartbeats_may_stay_away_and_a_minute_is_no_silence() {
        let cases: [(Heard, Option<u64>); 6] = [
            (&[], None),
            (&[(1, false), (500, false)], None),
            (&[(30, true)], Some(90)),
            (&[(3_600, true), (1, false)], Some(10_800)),
            (&[(5, true)], Some(60)),
            // Two were heard late.
            (&[(600, true), (0, true)], Some(1_800)),
        ];
        for (heard, expected) in cases {
            assert_eq!(lasts(heard).await, expected, "{heard:?}");
        }
    }

    /// The stream that took the place of a silent one hung where that had hung, and nobody noticed.
    #[tokio::test(start_paused = true)]
    async fn a_new_stream_that_says_nothing_is_given_up_too() {
        let mut silence = Silence::begins();
        tokio::time::advance(Duration::from_secs(30)).await;
        silence.is_broken(true);
        let lasts = |silence: &Silence| silence.ends().map(|end| (end - Instant::now()).as_secs());
        for expected in [180, 360, 720] {
            silence.was_too_long();
            silence.begins_again();
            assert_eq!(lasts(&silence), Some(expected));
        }
        silence.is_broken(false);
        assert_eq!(lasts(&silence), None, "it is another server's");
    }
}
