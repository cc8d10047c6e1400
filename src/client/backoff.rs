//! Waits that grow, up to a bound, with jitter, so that those who lost a server together don't come back together.

use std::time::Duration;

use super::Error;

/// The waits between tries.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, next: first }
    }

    /// The wait after a failure: the next one, or where the server asks for a wait at least that and up to as much again,
    /// within the longest. A server that drains asks all its callers for the same.
    pub(crate) fn wait_after(&mut self, error: Option<&Error>) -> Duration {
        self.wait_within(self.longest, error)
    }

    /// The same, where the longest is another one now.
    pub(crate) fn wait_within(&mut self, longest: Duration, error: Option<&Error>) -> Duration {
        // Without randomness the waits are merely not spread.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let wait = self.wait_with(random);
        match error.and_then(Error::retry_delay) {
            Some(asked) => {
                let least = asked.max(wait).min(longest / 2);
                least + least.mul_f64(random as f64 / u64::MAX as f64)
            }
            None => wait.min(longest),
        }
    }

    /// A try succeeded: the waits begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait: between half and all of a length that doubles each time.
    fn wait_with(&mut self, random: u64) -> Duration {
        let whole = self.next.min(self.longest);
        self.next = whole.saturating_mul(2).min(self.longest);
        let half = whole / 2;
        half + (whole - half).mul_f64(random as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let mut longest = || backoff.wait_with(u64::MAX).as_millis();
        assert_eq!([longest(), longest(), longest(), longest()], [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.wait_with(u64::MAX).as_millis(), 100);
    }

    #[test]
    fn the_server_is_heard_up_to_the_longest() {
        let asks = |seconds| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            Error::from(Status::with_error_details(Code::Unavailable, "draining", details))
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        assert!((2.0..=4.0).contains(&backoff.wait_after(Some(&asks(2))).as_secs_f64()));
        assert!((2.5..=5.0).contains(&backoff.wait_after(Some(&asks(60))).as_secs_f64()));
        let short = Duration::from_millis(300);
        assert!((0.15..=0.3).contains(&backoff.wait_within(short, Some(&asks(2))).as_secs_f64()));
        assert!(backoff.wait_within(short, None) <= short);
    }

    /// A server drained, and everybody whom it had asked to wait for a second came back in the same moment.
    #[test]
    fn those_who_were_asked_for_the_same_wait_come_back_one_by_one() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
        let drained = Error::from(Status::with_error_details(Code::Unavailable, "draining", details));
        let wait =
            |_| Backoff::new(Duration::from_millis(100), Duration::from_secs(5)).wait_after(Some(&drained)).as_micros();
        let waits: std::collections::BTreeSet<u128> = (0..100).map(wait).collect();
        assert!(waits.len() > 90, "{waits:?}");
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        assert_eq!(backoff.wait_with(0).as_millis(), 50);
        let random = backoff.wait_after(None);
        assert!((50..=100).contains(&random.as_millis()), "{random:?}");
    }
}
