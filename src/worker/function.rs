//! What a worker serves: functions, and how they end.

use std::{collections::BTreeMap, error::Error, pin::Pin, sync::Arc};

use super::Run;
use crate::proto::v1;

/// Bytes of a failure's parts that the server takes; longer ones are cut.
const ERROR_TYPE_BYTES_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 16 << 10;
const DETAILS_BYTES_MAX: usize = 64 << 10;

/// How a function ended well.
///
/// `()`, `String`, `&str` and `Option<String>` turn into `Completed` by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The execution is complete, with this output.
    Completed(Option<String>),
    /// The execution ends and the next one of the same function begins at once with this input: new execution id and
    /// fencing token. Events that were not taken are carried over.
    ContinueAsNew(Option<String>),
}

/// Why a function failed. Every [`std::error::Error`] turns into one by `?`; the retry policy of the start says whether
/// there is another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    error_type: String,
    message: String,
    details: String,
    non_retriable: bool,
}

/// What the functions return, boxed.
pub(super) type Ending = Result<Outcome, Failure>;
pub(super) type Function = Arc<dyn Fn(Run) -> Pin<Box<dyn Future<Output = Ending> + Send>> + Send + Sync>;
/// By name.
pub(super) type Functions = BTreeMap<String, Function>;

// === impl Outcome ===

impl From<()> for Outcome {
    fn from((): ()) -> Outcome {
        Outcome::Completed(None)
    }
}

impl From<String> for Outcome {
    fn from(output: String) -> Outcome {
        Outcome::Completed(Some(output))
    }
}

impl From<&str> for Outcome {
    fn from(output: &str) -> Outcome {
        Outcome::Completed(Some(output.to_owned()))
    }
}

impl From<Option<String>> for Outcome {
    fn from(output: Option<String>) -> Outcome {
        Outcome::Completed(output)
    }
}

// === impl Failure ===

impl Failure {
    /// A failure of a kind, such as the name of an exception's class, with a message for people.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { error_type: error_type.into(), message: message.into(), details: String::new(), non_retriable: false }
    }

    /// Adds more, such as a stack trace.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Failure {
        self.details = details.into();
        self
    }

    /// Says that another attempt would not help.
    #[must_use]
    pub fn non_retriable(mut self) -> Failure {
        self.non_retriable = true;
        self
    }

    /// What a panic said.
    pub(super) fn from_panic(payload: &(dyn std::any::Any + Send)) -> Failure {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Failure::new("Panic", text.unwrap_or("the function panicked"))
    }

    pub(super) fn into_proto(self) -> v1::Failure {
        let error_type = if self.error_type.is_empty() { "Error".to_owned() } else { self.error_type };
        v1::Failure {
            error_type: cut(error_type, ERROR_TYPE_BYTES_MAX),
            message: cut(self.message, MESSAGE_BYTES_MAX),
            details: cut(self.details, DETAILS_BYTES_MAX),
            non_retriable: self.non_retriable,
        }
    }
}

impl<E: Error> From<E> for Failure {
    /// The error's type and text; its sources are the details.
    fn from(error: E) -> Failure {
        let mut details = String::new();
        let mut source = error.source();
        while let Some(cause) = source.filter(|_| details.len() < DETAILS_BYTES_MAX) {
            details.push_str("caused by: ");
            details.push_str(&cause.to_string());
            details.push('\n');
            source = cause.source();
        }
        Failure::new(std::any::type_name::<E>(), error.to_string()).with_details(details)
    }
}

/// The first `bytes_max` bytes, or fewer where a character would be cut through.
fn cut(mut text: String, bytes_max: usize) -> String {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no backup today")]
    struct NoBackup(#[source] std::io::Error);

    #[test]
    fn an_error_becomes_a_failure_with_its_causes() {
        let fails = || -> Ending { Err(NoBackup(std::io::Error::other("disk full")))? };
        let failure = fails().expect_err("it fails").into_proto();
        assert!(failure.error_type.ends_with("NoBackup"), "{}", failure.error_type);
        assert_eq!(failure.message, "no backup today");
        assert_eq!(failure.details, "caused by: disk full\n");
        assert!(!failure.non_retriable);
    }

    #[test]
    fn a_failure_is_cut_to_what_the_server_takes() {
        let failure = Failure::new("", "é".repeat(MESSAGE_BYTES_MAX)).non_retriable().into_proto();
        assert_eq!(failure.error_type, "Error");
        assert_eq!(failure.message.len(), MESSAGE_BYTES_MAX);
        assert!(failure.non_retriable);
        let odd = Failure::new("x", format!("x{}", "é".repeat(MESSAGE_BYTES_MAX))).into_proto();
        assert_eq!(odd.message.len(), MESSAGE_BYTES_MAX - 1);
    }

    #[test]
    fn panics_speak() {
        let formatted: Box<dyn std::any::Any + Send> = Box::new("seven".to_owned());
        assert_eq!(Failure::from_panic(&*formatted), Failure::new("Panic", "seven"));
        let odd: Box<dyn std::any::Any + Send> = Box::new(7);
        assert_eq!(Failure::from_panic(&*odd), Failure::new("Panic", "the function panicked"));
    }
}
