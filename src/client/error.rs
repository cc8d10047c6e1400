//! Why a call failed: the server's status, opened up.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status, transport};
use tonic_types::{ErrorInfo, StatusExt};

/// Why a call failed. [`Error::code`] says it for programs in every case; the server's own errors also have a
/// [`Error::reason`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Cause>);

#[derive(Debug, thiserror::Error)]
enum Cause {
    /// The server refused the call, or the connection broke while it ran; then whether it was applied is not known.
    #[error("{} ({:?})", .status.message(), .status.code())]
    Status { status: Status, info: Option<ErrorInfo> },
    /// There is no connection: nothing was sent.
    #[error("cannot connect to the server")]
    Connect(#[source] transport::Error),
    /// A setting of the client or the worker can't be used; nothing was tried.
    #[error("{what} can't be {value:?}")]
    Setting { what: &'static str, value: String },
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
    pub(crate) fn setting(what: &'static str, value: impl Into<String>) -> Error {
        Error(Box::new(Cause::Setting { what, value: value.into() }))
    }

    pub(crate) fn connect(error: transport::Error) -> Error {
        Error(Box::new(Cause::Connect(error)))
    }

    /// A server that left out what the protocol promises.
    pub(crate) fn incomplete(what: &str) -> Error {
        Status::internal(format!("the server's answer lacks {what}")).into()
    }

    /// The gRPC code: `UNAVAILABLE` where there was no connection, `INVALID_ARGUMENT` for a setting that can't be used.
    pub fn code(&self) -> Code {
        match &*self.0 {
            Cause::Status { status, .. } => status.code(),
            Cause::Connect(_) => Code::Unavailable,
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

    /// The gRPC status: the server's, or one that says how the connection broke. None if there was no connection, or
    /// nothing was tried.
    pub fn status(&self) -> Option<&Status> {
        match &*self.0 {
            Cause::Status { status, .. } => Some(status),
            Cause::Connect(_) | Cause::Setting { .. } => None,
        }
    }

    /// Whether the same call can succeed later, for reasons that lie in the connection or the server.
    pub(crate) fn is_transient(&self) -> bool {
        match &*self.0 {
            // A status that came from the server has no source; the one of a broken connection has its cause there,
            // under whatever code the transport chose.
            Cause::Status { status, .. } => status.code() == Code::Unavailable || status.source().is_some(),
            Cause::Connect(_) => true,
            Cause::Setting { .. } => false,
        }
    }

    /// Whether the server can't know what became of the call.
    pub(crate) fn outcome_is_unknown(&self) -> bool {
        self.code() == Code::Unknown && self.reason() == Some("OUTCOME_UNKNOWN")
    }

    fn info(&self) -> Option<&ErrorInfo> {
        match &*self.0 {
            Cause::Status { info, .. } => info.as_ref(),
            Cause::Connect(_) | Cause::Setting { .. } => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        let info = status.get_details_error_info();
        Error(Box::new(Cause::Status { status, info }))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

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
    fn only_the_connection_and_an_absent_server_are_transient() {
        let broken = std::io::Error::other("broken pipe");
        let cases = [
            (Error::from(Status::unavailable("draining")), true),
            (Error::from(Status::from_error(Box::new(broken))), true),
            (Error::from(Status::unknown("from the server")), false),
            (Error::from(Status::not_found("no such id")), false),
            (Error::setting("the address", "::"), false),
        ];
        for (error, transient) in cases {
            assert_eq!(error.is_transient(), transient, "{error}");
        }
    }
}
