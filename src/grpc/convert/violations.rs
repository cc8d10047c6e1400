//! Collects everything that is wrong with a request, so that the caller hears of all of it at once.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation};

use crate::{
    core::ids::{Malformed, Name},
    grpc::status::error,
};

/// Violations that are named one by one.
const NAMED_MAX: usize = 16;
/// Bytes of a value that are echoed, escapes included.
const ECHOED_BYTES_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Violations {
    named: Vec<FieldViolation>,
    unnamed: usize,
}

impl Violations {
    /// Something is wrong with a field: what is allowed, and what was given.
    pub fn add(&mut self, field: &str, allowed: impl std::fmt::Display, given: &str) {
        self.named_or_counted(field, format!("{allowed}; got {}", echo(given)));
    }

    /// A text is too long.
    pub fn check_bytes(&mut self, field: &str, text: &str, max: usize) {
        if text.len() > max {
            self.named_or_counted(field, format!("must have at most {max} bytes; got {}", text.len()));
        }
    }

    /// What the text means, if it is well formed.
    pub fn parse<T>(&mut self, field: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, Malformed>) -> Option<T> {
        parse(text).map_err(|malformed| self.add(field, malformed, text)).ok()
    }

    pub fn name(&mut self, field: &str, text: &str) -> Option<Name> {
        self.parse(field, text, Name::parse)
    }

    /// One sentence that says all.
    pub fn summary(&self) -> Option<String> {
        let first = self.named.first()?;
        let more = self.named.len() - 1 + self.unnamed;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        Some(format!("{}: {}{more}", first.field, first.description))
    }

    /// What was parsed, or everything that is wrong as one error. What could not be parsed has been named.
    pub fn finish<T>(mut self, parsed: Option<T>) -> Result<T, Status> {
        let Some(message) = self.summary() else {
            return parsed.ok_or_else(|| Status::internal("what could not be parsed was not named"));
        };
        if self.unnamed > 0 {
            self.named.push(FieldViolation::new("…", format!("and {} more", self.unnamed)));
        }
        let field = self.named[0].field.clone();
        let details = ErrorDetails::with_bad_request(self.named);
        Err(error(Code::InvalidArgument, "INVALID_FIELD", &message, [("field", field)], details))
    }

    fn named_or_counted(&mut self, field: &str, description: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(FieldViolation::new(field, description));
        } else {
            self.unnamed += 1;
        }
    }
}

/// The value as it may stand in an error: escaped, cut so that what stands there is short, and quoted.
fn echo(value: &str) -> String {
    let mut shown = String::new();
    for c in value.chars() {
        let escaped = c.escape_debug();
        if shown.len() + escaped.clone().map(char::len_utf8).sum::<usize>() > ECHOED_BYTES_MAX {
            return format!("'{shown}'… ({} bytes)", value.len());
        }
        shown.extend(escaped);
    }
    format!("'{shown}'")
}
