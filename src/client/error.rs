//! Why a call failed: the server's status, opened up.

use std::{error::Error as _, time::Duration};

use tonic::{Code, ConnectError, Status, transport};
use tonic_types::{ErrorInfo, StatusExt};

/// Why a call failed: [`Error::kind`] says what is known now, [`Error::code`] and [`Error::reason`] what the server
/// said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Cause>);

/// What is known after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered: [`Error::status`] says what.
    Refused,
    /// There is no connection to be had: nothing was sent.
    Unreachable,
    /// The connection broke during the call, or something between here and the server ended it: whether it was applied
    /// is not known.
    Interrupted,
    /// There was no answer in time: whether the call was applied is not known.
    TimedOut,
    /// How an execution ended is not known: others have taken its place, or it was purged, and its transitions are no
    /// longer kept.
    Missed,
    /// A setting of the client or the worker can't be used: nothing was tried.
    Setting,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{} ({:?})", .status.message(), .status.code())]
    Refused { status: Status, info: Option<ErrorInfo> },
    /// Found out by a call on a connection that is opened as needed.
    #[error("cannot connect to the server")]
    Reconnect(#[source] Status),
    #[error("cannot connect to {address}")]
    Connect { address: String, source: transport::Error },
    #[error("the call was interrupted")]
    Interrupted(#[source] Status),
    #[error("the server has fallen silent")]
    Silent,
    #[error("there was no answer within {0:?}")]
    TimedOut(Duration),
    #[error("how execution {execution_id} ended is not known: {}", .current.as_ref().map_or_else(
        || "the instance was purged".into(), |current| format!("the instance is at execution {current} now")))]
    Missed { execution_id: String, current: Option<String> },
    #[error("{what} can't be {value:?}: it must be {allowed}")]
    Setting { what: &'static str, value: String, allowed: &'static str },
}

/// A field of a request that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as the protocol names it.
    pub field: String,
    /// What is allowed.
    pub description: String,
}

// === impl Error ===

impl Error {
    pub(crate) fn setting(what: &'static str, value: impl Into<String>, allowed: &'static str) -> Error {
        Error(Box::new(Cause::Setting { what, value: value.into(), allowed }))
    }

    pub(crate) fn connect(address: String, source: transport::Error) -> Error {
        Error(Box::new(Cause::Connect { address, source }))
    }

    pub(crate) fn timed_out(after: Duration) -> Error {
        Error(Box::new(Cause::TimedOut(after)))
    }

    /// `current` is what has followed it; none if its instance was purged.
    pub(crate) fn missed(execution_id: &str, current: Option<&str>) -> Error {
        Error(Box::new(Cause::Missed { execution_id: execution_id.into(), current: current.map(Into::into) }))
    }

    /// Not even heartbeats come.
    pub(crate) fn silent() -> Error {
        Error(Box::new(Cause::Silent))
    }

    /// A server that left out what the protocol promises.
    pub(crate) fn incomplete(what: &str) -> Error {
        Error::own(format!("the server's answer lacks {what}"))
    }

    /// A failure that lies on this side, and that trying again does not mend.
    pub(crate) fn own(message: String) -> Error {
        Error(Box::new(Cause::Refused { status: Status::internal(message), info: None }))
    }

    /// What is known now.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Cause::Refused { .. } => ErrorKind::Refused,
            Cause::Reconnect(_) | Cause::Connect { .. } => ErrorKind::Unreachable,
            Cause::Interrupted(_) | Cause::Silent => ErrorKind::Interrupted,
            Cause::TimedOut(_) => ErrorKind::TimedOut,
            Cause::Missed { .. } => ErrorKind::Missed,
            Cause::Setting { .. } => ErrorKind::Setting,
        }
    }

    /// The gRPC code: the server's, or `UNAVAILABLE` where there was no connection, `DEADLINE_EXCEEDED` where there was
    /// no answer, `NOT_FOUND` for an end that was missed, `INVALID_ARGUMENT` for a setting that can't be used.
    pub fn code(&self) -> Code {
        match &*self.0 {
            Cause::Refused { status, .. } | Cause::Reconnect(status) | Cause::Interrupted(status) => status.code(),
            Cause::Connect { .. } | Cause::Silent => Code::Unavailable,
            Cause::TimedOut(_) => Code::DeadlineExceeded,
            Cause::Missed { .. } => Code::NotFound,
            Cause::Setting { .. } => Code::InvalidArgument,
        }
    }

    /// The server's UPPER_SNAKE reason, such as `INSTANCE_ALREADY_RUNNING`.
    pub fn reason(&self) -> Option<&str> {
        self.info().map(|info| info.reason.as_str())
    }

    /// A value of the server's message, such as `execution_id`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.info()?.metadata.get(key).map(String::as_str)
    }

    /// The fields of the request that broke a rule.
    pub fn violations(&self) -> Vec<Violation> {
        self.status()
            .and_then(Status::get_details_bad_request)
            .map(|bad| bad.field_violations)
            .unwrap_or_default()
            .into_iter()
            .map(|violation| Violation { field: violation.field, description: violation.description })
            .collect()
    }

    /// How long the server asks to wait before the call is tried again. With `UNAVAILABLE` it promises that nothing
    /// was applied.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.status()?.get_details_retry_info()?.retry_delay
    }

    /// What the server said; none if it said nothing.
    pub fn status(&self) -> Option<&Status> {
        match &*self.0 {
            Cause::Refused { status, .. } => Some(status),
            Cause::Reconnect(_)
            | Cause::Connect { .. }
            | Cause::Interrupted(_)
            | Cause::Silent
            | Cause::TimedOut(_)
            | Cause::Missed { .. }
            | Cause::Setting { .. } => None,
        }
    }

    /// Whether the same call can succeed later, for reasons that lie in the connection or the server.
    pub(crate) fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::Refused => self.code() == Code::Unavailable,
            ErrorKind::Unreachable | ErrorKind::Interrupted | ErrorKind::TimedOut => true,
            ErrorKind::Missed | ErrorKind::Setting => false,
        }
    }

    /// Whether a stream that ended so was cut off on its way. A proxy can end one without a word, which the transport
    /// calls UNKNOWN; the server's own errors have a reason.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_transient() || self.code() == Code::Unknown && self.info().is_none()
    }

    /// Whether the server can't know what became of the call.
    pub(crate) fn outcome_is_unknown(&self) -> bool {
        self.code() == Code::Unknown && self.reason() == Some("OUTCOME_UNKNOWN")
    }

    fn info(&self) -> Option<&ErrorInfo> {
        match &*self.0 {
            Cause::Refused { info, .. } => info.as_ref(),
            Cause::Reconnect(_)
            | Cause::Connect { .. }
            | Cause::Interrupted(_)
            | Cause::Silent
            | Cause::TimedOut(_)
            | Cause::Missed { .. }
            | Cause::Setting { .. } => None,
        }
    }
}

impl From<Status> for Error {
    /// A status that came from the server has no source; the one of a broken connection has its cause there, under
    /// whatever code the transport chose. Proxies leave no source: a stream that they end without a status is UNKNOWN,
    /// and their own pages of errors (502, 503) are INTERNAL, since they are no messages. The server says why whenever
    /// it uses these codes.
    fn from(status: Status) -> Error {
        let mut causes = std::iter::successors(status.source(), |cause| (*cause).source()).peekable();
        let is_local = causes.peek().is_some();
        let never_connected = causes.any(|cause| cause.is::<ConnectError>());
        let info = status.get_details_error_info();
        let is_between = info.is_none() && matches!(status.code(), Code::Unknown | Code::Internal);
        Error(Box::new(match (is_local || is_between, never_connected) {
            (false, _) => Cause::Refused { info, status },
            (true, false) => Cause::Interrupted(status),
            (true, true) => Cause::Reconnect(status),
        }))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn outcome_unknown() -> Status {
        let details = ErrorDetails::with_error_info("OUTCOME_UNKNOWN", "soloist", []);
        Status::with_error_details(Code::Unknown, "the commit failed", details)
    }

    #[test]
    fn what_the_server_said_can_be_read() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("INSTANCE_ALREADY_RUNNING", "soloist", [("worker".to_owned(), "w1".to_owned())])
            .set_retry_info(Some(Duration::from_secs(2)))
            .add_bad_request_violation("instance_id", "must not be empty");
        let error = Error::from(Status::with_error_details(Code::AlreadyExists, "taken", details));

        assert_eq!(error.code(), Code::AlreadyExists);
        assert_eq!(error.reason(), Some("INSTANCE_ALREADY_RUNNING"));
        assert_eq!(error.metadata("worker"), Some("w1"));
        assert_eq!(error.metadata("absent"), None);
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(2)));
        let violation = Violation { field: "instance_id".into(), description: "must not be empty".into() };
        assert_eq!(error.violations(), [violation]);
        assert!(error.to_string().contains("taken"));
    }

    #[test]
    fn what_is_known_depends_on_how_far_the_call_came() {
        let broken = || Box::new(std::io::Error::other("broken pipe"));
        let cases = [
            (Error::from(Status::unavailable("draining")), ErrorKind::Refused),
            (Error::from(Status::from_error(broken())), ErrorKind::Interrupted),
            (Error::from(Status::unknown("a proxy ended the stream")), ErrorKind::Interrupted),
            (Error::from(Status::internal("a proxy's page, status: 502")), ErrorKind::Interrupted),
            (Error::from(outcome_unknown()), ErrorKind::Refused),
            (Error::incomplete("a status"), ErrorKind::Refused),
            (Error::from(Status::from_error(Box::new(ConnectError(broken())))), ErrorKind::Unreachable),
            (Error::timed_out(Duration::from_secs(1)), ErrorKind::TimedOut),
        ];
        for (error, expected) in cases {
            assert_eq!(error.kind(), expected, "{error}");
            assert_eq!(error.status().is_some(), expected == ErrorKind::Refused, "{error}");
        }
    }

    #[test]
    fn only_the_connection_and_an_absent_server_are_transient() {
        let broken = std::io::Error::other("broken pipe");
        let cases = [
            (Error::from(Status::unavailable("draining")), true),
            (Error::from(Status::from_error(Box::new(broken))), true),
            (Error::from(Status::unknown("from a proxy")), true),
            (Error::from(outcome_unknown()), false),
            (Error::from(Status::not_found("no such id")), false),
            (Error::setting("the address", "::", "another"), false),
        ];
        for (error, transient) in cases {
            assert_eq!(error.is_transient(), transient, "{error}");
        }
    }

    #[test]
    fn a_stream_without_a_last_word_was_cut_off() {
        let damaged = ErrorDetails::with_error_info("OUTCOME_UNKNOWN", "soloist", []);
        assert!(Error::from(Status::unknown("missing grpc-status trailer")).is_cut_off());
        assert!(!Error::from(Status::with_error_details(Code::Unknown, "", damaged)).is_cut_off());
        assert!(!Error::from(Status::not_found("purged")).is_cut_off());
    }
}
