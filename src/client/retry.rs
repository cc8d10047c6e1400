//! Calls that are tried again where that is safe.

use std::time::Duration;

use tonic::Code;

use super::{Error, backoff::Backoff};

/// Tries of one call, the first one included.
const TRIES_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Calls until it succeeds, fails in a way in which `is_safe` says no, or was tried often enough.
pub(super) async fn retry<T, C>(is_safe: impl Fn(&Error) -> bool, call: impl Fn() -> C) -> Result<T, Error>
where
    C: Future<Output = Result<T, Error>>,
{
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut tries = 1;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if tries == TRIES_MAX || !is_safe(&error) {
            return Err(error);
        }
        tries += 1;
        let wait = backoff.wait_after(Some(&error));
        tracing::debug!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
    }
}

/// Whether a start may be sent again. A request id makes the second try the same as the first; without one, only a
/// server that says how long to wait has promised that nothing was applied.
pub(super) fn start_is_safe(error: &Error, has_request_id: bool) -> bool {
    if has_request_id {
        error.is_transient() || error.outcome_is_unknown()
    } else {
        error.code() == Code::Unavailable && error.retry_delay().is_some()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_a_bounded_number_of_times() {
        let tries = std::cell::Cell::new(0);
        let call = || {
            tries.set(tries.get() + 1);
            async { Err::<(), _>(Error::from(Status::unavailable("away"))) }
        };
        assert!(retry(Error::is_transient, call).await.is_err());
        assert_eq!(tries.take(), TRIES_MAX);
        assert!(retry(|_| false, call).await.is_err());
        assert_eq!(tries.take(), 1);
    }

    #[test]
    fn a_start_is_tried_again_only_where_that_is_safe() {
        let detailed = |code, details| Error::from(Status::with_error_details(code, "", details));
        let retry = || ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
        let unknown = || ErrorDetails::with_error_info("OUTCOME_UNKNOWN", "soloist", []);
        // error, with a request id, without
        let cases = [
            (Error::from(Status::unavailable("no connection")), true, false),
            (detailed(Code::Unavailable, retry()), true, true),
            (detailed(Code::Unknown, unknown()), true, false),
            (Error::from(Status::from_error("broken pipe".into())), true, false),
            (Error::from(Status::unknown("a proxy's")), true, false),
            (detailed(Code::ResourceExhausted, retry()), false, false),
            (Error::from(Status::already_exists("taken")), false, false),
        ];
        for (error, with, without) in cases {
            assert_eq!(start_is_safe(&error, true), with, "{error} with a request id");
            assert_eq!(start_is_safe(&error, false), without, "{error} without a request id");
        }
    }
}
