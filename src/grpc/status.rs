//! Errors: refusals as gRPC codes with google.rpc details.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use super::convert::shown;
use crate::{
    core::{lease::Cancellation, rejection::Rejection, status::View},
    engine::{NoBackup, Refusal},
    store::BackupError,
};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "soloist";

/// When a caller who met a bound or a draining server may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let message = || refusal.to_string();
        match &refusal {
            Refusal::Rejected(rejection) => rejected(rejection),
            Refusal::OutcomeUnknown(_) => error(Code::Unknown, "OUTCOME_UNKNOWN", &message(), [], ErrorDetails::new()),
            Refusal::Unavailable(_) => unavailable("UNAVAILABLE", &message()),
            Refusal::TooMany(what) => exhausted("TOO_MANY", &message(), [("limit", what.to_string())]),
            Refusal::Damaged(_) => damaged(&message()),
        }
    }
}

impl From<NoBackup> for Status {
    fn from(why: NoBackup) -> Status {
        let message = why.to_string();
        let plain = |code, reason| error(code, reason, &message, [], ErrorDetails::new());
        match why {
            NoBackup::Refused(refusal) => refusal.into(),
            NoBackup::Failed(BackupError::Running) => exhausted("BACKUP_RUNNING", &message, []),
            // Another second makes no difference to how much is written.
            NoBackup::Failed(BackupError::Overtaken) => plain(Code::ResourceExhausted, "BACKUP_OVERTAKEN"),
            NoBackup::Failed(BackupError::Stopped) => unavailable("BACKUP_STOPPED", &message),
            NoBackup::Failed(BackupError::Unsupported) => plain(Code::Unimplemented, "BACKUP_UNSUPPORTED"),
            NoBackup::Failed(BackupError::Damaged(_)) => damaged(&message),
            NoBackup::Failed(BackupError::Failed(_)) => plain(Code::Internal, "BACKUP_FAILED"),
        }
    }
}

/// Nothing was applied; try again.
pub fn unavailable(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
    error(Code::Unavailable, reason, message, [], details)
}

fn damaged(message: &str) -> Status {
    error(Code::DataLoss, "STORE_DAMAGED", message, [], ErrorDetails::new())
}

fn exhausted(reason: &str, message: &str, metadata: impl IntoIterator<Item = (&'static str, String)>) -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
    error(Code::ResourceExhausted, reason, message, metadata, details)
}

/// The reason of a rejection: what ErrorInfo and the worker's stream call it.
pub fn reason(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::AlreadyRunning(_) => "INSTANCE_ALREADY_RUNNING",
        Rejection::StatusNotReplaceable(_) => "STATUS_NOT_REPLACEABLE",
        Rejection::FunctionMismatch { .. } => "FUNCTION_MISMATCH",
        Rejection::RequestIdReused { .. } => "REQUEST_ID_REUSED",
        Rejection::NotFound { .. } => "INSTANCE_NOT_FOUND",
        Rejection::NotLive(_) => "INSTANCE_NOT_LIVE",
        Rejection::StillLive(_) => "INSTANCE_STILL_LIVE",
        Rejection::ExecutionNotFound { .. } => "EXECUTION_NOT_FOUND",
        Rejection::QueueFull { .. } => "QUEUE_FULL",
        Rejection::ExecutionMismatch { .. } => "EXECUTION_MISMATCH",
        Rejection::InboxFull { .. } => "TOO_MANY_EVENTS",
        Rejection::Cancelled(_) => "RUN_CANCELLED",
        Rejection::StaleFencingToken { .. } => "STALE_FENCING_TOKEN",
        Rejection::StaleCompletionToken => "STALE_COMPLETION_TOKEN",
        Rejection::NotGrantable => "NOT_GRANTABLE",
    }
}

fn rejected(rejection: &Rejection) -> Status {
    let message = rejection.to_string();
    let reason = reason(rejection);
    match rejection {
        Rejection::AlreadyRunning(view) | Rejection::StatusNotReplaceable(view) => {
            error(Code::AlreadyExists, reason, &message, of_view(view), about(view, &message))
        }
        Rejection::FunctionMismatch { existing, requested } => {
            let values = of_view(existing).into_iter().chain([("requested_function_name", requested.clone())]);
            error(Code::AlreadyExists, reason, &message, values, about(existing, &message))
        }
        Rejection::RequestIdReused { request_id } => {
            let details = ErrorDetails::with_bad_request_violation("request_id", message.as_str());
            error(Code::InvalidArgument, reason, &message, [("request_id", request_id.clone())], details)
        }
        Rejection::NotFound { id } => {
            let details = ErrorDetails::with_resource_info("instance", id.as_str(), "", message.as_str());
            error(Code::NotFound, reason, &message, [("instance_id", id.clone())], details)
        }
        Rejection::ExecutionNotFound { id, execution } => {
            let details = ErrorDetails::with_resource_info("execution", execution.to_string(), "", message.as_str());
            let values = [("instance_id", id.clone()), ("execution_id", execution.to_string())];
            error(Code::NotFound, reason, &message, values, details)
        }
        Rejection::QueueFull { id, waiting, max } => {
            let values =
                [("instance_id", id.clone()), ("queued_starts", waiting.to_string()), ("max_queue", max.to_string())];
            exhausted(reason, &message, values)
        }
        Rejection::NotLive(view) | Rejection::StillLive(view) => {
            error(Code::FailedPrecondition, reason, &message, of_view(view), about(view, &message))
        }
        Rejection::ExecutionMismatch { current, expected } => {
            let values = of_view(current).into_iter().chain([("expected_execution_id", expected.to_string())]);
            error(Code::FailedPrecondition, reason, &message, values, about(current, &message))
        }
        Rejection::InboxFull { id } => exhausted(reason, &message, [("instance_id", id.clone())]),
        Rejection::Cancelled(why) => {
            let why = match why {
                Cancellation::Terminated => "TERMINATED",
                Cancellation::Replaced => "REPLACED",
                Cancellation::TimedOut => "TIMED_OUT",
            };
            error(Code::FailedPrecondition, reason, &message, [("cancel_reason", why.into())], ErrorDetails::new())
        }
        Rejection::StaleFencingToken { presented } => {
            let values = [("fencing_token", presented.to_string())];
            error(Code::FailedPrecondition, reason, &message, values, ErrorDetails::new())
        }
        Rejection::StaleCompletionToken | Rejection::NotGrantable => {
            error(Code::FailedPrecondition, reason, &message, [], ErrorDetails::new())
        }
    }
}

/// A status with exactly one ErrorInfo.
pub fn error(
    code: Code,
    reason: &str,
    message: &str,
    values: impl IntoIterator<Item = (&'static str, String)>,
    details: ErrorDetails,
) -> Status {
    let values = values.into_iter().filter(|(_, value)| !value.is_empty());
    let metadata = values.map(|(key, value)| (key.into(), value)).collect();
    let info = ErrorInfo { reason: reason.into(), domain: DOMAIN.into(), metadata };
    let info = Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(), value: info.encode_to_vec() };
    let others = Status::with_error_details(code, message, details);
    // Two messages one after the other are one with what both have.
    let mut details = others.details().to_vec();
    details.extend(pb::Status { code: 0, message: String::new(), details: vec![info] }.encode_to_vec());
    Status::with_details(code, message, details.into())
}

/// `google.rpc.ErrorInfo` in an order that is always the same: so a refusal that a connection has seen before is but a
/// byte on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

pub fn about(view: &View, message: &str) -> ErrorDetails {
    ErrorDetails::with_resource_info("instance", view.key.id(), "", message)
}

pub fn of_view(view: &View) -> [(&'static str, String); 7] {
    let execution = &view.execution;
    [
        ("instance_id", view.key.id().into()),
        ("function_name", execution.spec.function.to_string()),
        ("status", execution.status.name().into()),
        ("execution_id", execution.id.to_string()),
        ("revision", view.revision.to_string()),
        ("worker", view.worker.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("started_at", execution.started_at.map(|at| shown(at).to_string()).unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of random order made each refusal other bytes, which HPACK compresses once for each instead of for all.
    #[test]
    fn the_same_refusal_is_the_same_bytes() {
        let refusal = || {
            let values = ["a", "b", "c", "d", "e", "f", "g"].map(|key| (key, format!("of {key}")));
            let details = ErrorDetails::with_resource_info("instance", "i", "", "what");
            error(Code::AlreadyExists, "INSTANCE_ALREADY_RUNNING", "what", values, details)
        };
        let first = refusal();
        for _ in 0..16 {
            assert_eq!(refusal().details(), first.details());
        }
        let details = first.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INSTANCE_ALREADY_RUNNING", DOMAIN));
        assert_eq!((info.metadata.len(), info.metadata["g"].as_str()), (7, "of g"));
        assert_eq!(details.resource_info().map(|of| of.resource_name.as_str()), Some("i"));
    }
}
