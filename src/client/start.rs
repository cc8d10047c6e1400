//! Starts, tried again where that is safe.

use std::time::Duration;

use tonic::Code;

use super::{Client, Error, backoff::Backoff};
use crate::proto::v1::{ConflictPolicy, StartSingletonRequest, StartSingletonResponse};

/// Tries of one start, the first one included.
const TRIES_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Also bounds what the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn start(client: &Client, request: StartSingletonRequest) -> Result<StartSingletonResponse, Error> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut tries = 1;
    loop {
        let error = match client.stub.clone().start_singleton(client.unary(request.clone())).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => Error::from(status),
        };
        if tries == TRIES_MAX || !is_safe_to_retry(&error, !request.request_id.is_empty()) {
            return Err(error);
        }
        tries += 1;
        let wait = error.retry_delay().map_or_else(|| backoff.wait(), |asked| asked.min(LONGEST_WAIT));
        tracing::debug!(%error, ?wait, "trying the start again");
        tokio::time::sleep(wait).await;
    }
}

/// A request id makes the second try the same as the first; without one, only a server that says how long to wait has
/// promised that nothing was applied.
fn is_safe_to_retry(error: &Error, has_request_id: bool) -> bool {
    if has_request_id {
        error.is_transient() || error.outcome_is_unknown()
    } else {
        error.code() == Code::Unavailable && error.retry_delay().is_some()
    }
}

impl StartSingletonRequest {
    /// A start of `function_name` under `instance_id`, everything else as by default.
    pub fn new(function_name: impl Into<String>, instance_id: impl Into<String>) -> StartSingletonRequest {
        StartSingletonRequest {
            function_name: function_name.into(),
            instance_id: instance_id.into(),
            ..StartSingletonRequest::default()
        }
    }

    /// Gives the function its input.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<String>) -> StartSingletonRequest {
        self.input = Some(input.into());
        self
    }

    /// Makes retries safe: the start is done once, however often it is sent.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> StartSingletonRequest {
        self.request_id = request_id.into();
        self
    }

    /// Says what to do if the id has a live execution.
    #[must_use]
    pub fn with_conflict_policy(mut self, policy: ConflictPolicy) -> StartSingletonRequest {
        self.set_conflict_policy(policy);
        self
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

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
            (Error::from(Status::unknown("somebody else's")), false, false),
            (detailed(Code::ResourceExhausted, retry()), false, false),
            (Error::from(Status::already_exists("taken")), false, false),
        ];
        for (error, with, without) in cases {
            assert_eq!(is_safe_to_retry(&error, true), with, "{error} with a request id");
            assert_eq!(is_safe_to_retry(&error, false), without, "{error} without a request id");
        }
    }
}
