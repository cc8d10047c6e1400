//! Why a command failed, and how it is told.

use std::{collections::BTreeMap, error::Error as StdError, io, time::Duration};

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt};

use super::Exit;
use crate::{
    client::{self, ErrorKind},
    config::ConfigError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that is not possible. Nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The server said no, or could not be asked.
    #[error("{}", told(.0))]
    Call(#[from] client::Error),
    /// The command's own time limit is over.
    #[error("the time limit of {} is over", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// stdout or stderr is closed.
    #[error("the output can't be written: {0}")]
    Output(#[source] io::Error),
    /// The server's settings are wrong. Nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// An error as a JSON object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
}

/// A field of the request that broke a rule.
#[derive(Debug, Serialize)]
struct Violation {
    field: String,
    description: String,
}

// === impl Error ===

impl Error {
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_) | Error::Config(_) => Exit::Usage,
            Error::Call(error) => match error.kind() {
                ErrorKind::Setting => Exit::Usage,
                ErrorKind::Refused if matches!(error.code(), Code::AlreadyExists | Code::ResourceExhausted) => {
                    Exit::TryLater
                }
                _ => Exit::Failed,
            },
            // Who reads no further does not want to hear of it: `soloist watch ID | head -1`.
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Error::TimedOut(_) | Error::Output(_) | Error::Other(_) => Exit::Failed,
        }
    }

    /// The error for people.
    pub fn block(&self) -> String {
        let report = self.report();
        let mut lines = vec![format!("error: {}", report.message)];
        if !report.reason.is_empty() {
            lines.push(format!("  reason: {} ({})", report.reason, report.code));
        } else if matches!(self, Error::Call(error) if error.kind() == ErrorKind::Refused) {
            lines.push(format!("  code: {}", report.code));
        }
        if report.violations.is_empty() {
            lines.extend(report.metadata.iter().map(|(key, value)| format!("  {key}: {value}")));
        }
        // These say all that the metadata have, and more.
        lines.extend(report.violations.iter().map(|v| format!("  {}: {}", v.field, v.description)));
        lines.extend(report.retry_delay.iter().map(|delay| format!("  try again in {delay}")));
        if matches!(self, Error::Call(error) if error.kind() == ErrorKind::Unreachable) {
            lines.push("Start a server with `soloist dev`, or name one with --server or SOLOIST_SERVER.".into());
        }
        lines.join("\n")
    }

    /// The error for programs.
    pub fn report(&self) -> Report {
        match self {
            Error::Call(error) => match (error.kind(), error.status()) {
                (_, Some(status)) => Report::of_answer(error, status),
                (ErrorKind::Setting, _) => Report::plain("USAGE", self),
                (ErrorKind::Unreachable, _) => Report::plain("UNREACHABLE", self),
                (ErrorKind::TimedOut, _) => Report::plain("TIMED_OUT", self),
                (ErrorKind::Missed, _) => Report::plain("MISSED", self),
                (_, None) => Report::plain("INTERRUPTED", self),
            },
            Error::Usage(_) => Report::plain("USAGE", self),
            Error::TimedOut(_) => Report::plain("TIMED_OUT", self),
            Error::Output(_) => Report::plain("OUTPUT", self),
            Error::Config(_) => Report::plain("CONFIGURATION", self),
            Error::Other(error) => Report { message: with_causes(error), ..Report::plain("FAILED", self) },
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Other(error.into())
    }
}

// === impl Report ===

impl Report {
    fn plain(code: &'static str, error: &Error) -> Report {
        Report {
            code,
            message: error.to_string(),
            reason: String::new(),
            domain: String::new(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_delay: None,
        }
    }

    fn of_answer(error: &client::Error, status: &Status) -> Report {
        let info = status.get_details_error_info().unwrap_or_else(|| ErrorInfo::new("", "", []));
        let violation = |v: client::Violation| Violation { field: v.field, description: v.description };
        Report {
            code: code_name(error.code()),
            message: status.message().into(),
            reason: info.reason,
            domain: info.domain,
            metadata: info.metadata.into_iter().collect(),
            violations: error.violations().into_iter().map(violation).collect(),
            retry_delay: error.retry_delay().map(|delay| humantime::format_duration(delay).to_string()),
        }
    }
}

/// What a call's error says in one line: the server's words, or what went wrong, with its last cause.
pub fn told(error: &client::Error) -> String {
    if let Some(status) = error.status() {
        return status.message().into();
    }
    match std::iter::successors(error.source(), |cause| (*cause).source()).last() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The error and its causes, each once: some say in their own text what caused them.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
