//! Why a command failed, and how it is told.

use std::{collections::BTreeMap, error::Error as StdError, io, time::Duration};

use serde::Serialize;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use super::exit::Exit;
use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that is not possible. Nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// No server answered at this address.
    #[error(
        "no Soloist server can be reached at {address} ({why})\n\
         Start one with `soloist dev`, or name another one with --server or SOLOIST_SERVER."
    )]
    Unreachable { address: String, why: String },
    /// The server did not answer in time. What was asked for may have happened.
    #[error("the server at {address} did not answer within {}", humantime::format_duration(*.after))]
    TimedOut { address: String, after: Duration },
    /// The server said no.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
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
    /// What an answer means that is no answer: the server said no, or could not be asked.
    pub fn of_call(status: Status, address: &str, timeout: Duration) -> Error {
        let expired = causes(&status).any(|cause| cause.is::<TimeoutExpired>());
        if expired || status.code() == Code::DeadlineExceeded {
            return Error::TimedOut { address: address.into(), after: timeout };
        }
        if status.code() == Code::Unavailable && is_local(&status) {
            return Error::Unreachable { address: address.into(), why: deepest(&status) };
        }
        Error::Refused(Box::new(status))
    }

    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_) | Error::Config(_) => Exit::Usage,
            Error::Refused(status) if status.code() == Code::AlreadyExists => Exit::Taken,
            // Who reads no further does not want to hear of it: `soloist watch ID | head -1`.
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Error::Unreachable { .. }
            | Error::TimedOut { .. }
            | Error::Refused(_)
            | Error::Output(_)
            | Error::Other(_) => Exit::Failed,
        }
    }

    /// The error for people.
    pub fn block(&self) -> String {
        let report = self.report();
        let mut lines = vec![format!("error: {}", report.message)];
        if !report.reason.is_empty() {
            lines.push(format!("  reason: {} ({})", report.reason, report.code));
        } else if matches!(self, Error::Refused(_)) {
            lines.push(format!("  code: {}", report.code));
        }
        lines.extend(report.violations.iter().map(|v| format!("  {}: {}", v.field, v.description)));
        lines.extend(report.metadata.iter().map(|(key, value)| format!("  {key}: {value}")));
        lines.extend(report.retry_delay.iter().map(|delay| format!("  try again in {delay}")));
        lines.join("\n")
    }

    /// The error for programs.
    pub fn report(&self) -> Report {
        match self {
            Error::Refused(status) => Report::of_status(status),
            Error::Usage(_) => Report::plain("USAGE", self),
            Error::Unreachable { .. } => Report::plain("UNREACHABLE", self),
            Error::TimedOut { .. } => Report::plain("TIMED_OUT", self),
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

    fn of_status(status: &Status) -> Report {
        let details = status.get_error_details();
        let info = details.error_info();
        Report {
            code: code_name(status.code()),
            message: status.message().into(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            domain: info.map(|info| info.domain.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            violations: details
                .bad_request()
                .map(|bad| bad.field_violations.iter())
                .into_iter()
                .flatten()
                .map(|v| Violation { field: v.field.clone(), description: v.description.clone() })
                .collect(),
            retry_delay: details
                .retry_info()
                .and_then(|info| info.retry_delay)
                .map(|delay| humantime::format_duration(delay).to_string()),
        }
    }
}

/// Whether a status was made here, because the connection failed, and not by the server.
pub fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// What went wrong at the bottom, for people.
pub fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The error and its causes, each once: some say in their own text what caused them.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |cause| (*cause).source())
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
