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

    /// The next wait: between half and all of a length that doubles each time.
    pub(crate) fn wait(&mut self) -> Duration {
        // Without randomness the waits are merely not spread.
        self.wait_with(getrandom::u64().unwrap_or(u64::MAX))
    }

    /// The wait after a failure: as long as the server asks for, up to the longest, or else the next one.
    pub(crate) fn wait_after(&mut self, error: Option<&Error>) -> Duration {
        match error.and_then(Error::retry_delay) {
            Some(asked) => asked.min(self.longest),
            None => self.wait(),
        }
    }

    /// A try succeeded: the waits begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

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
        assert_eq!(backoff.wait_after(Some(&asks(2))), Duration::from_secs(2));
        assert_eq!(backoff.wait_after(Some(&asks(60))), Duration::from_secs(5));
        assert!(backoff.wait_after(None) <= Duration::from_millis(100));
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        assert_eq!(backoff.wait_with(0).as_millis(), 50);
        let random = backoff.wait();
        assert!((50..=100).contains(&random.as_millis()), "{random:?}");
    }
}
