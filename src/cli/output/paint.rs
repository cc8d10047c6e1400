//! Colours of statuses, only on a terminal.

use std::{
    env,
    io::{self, IsTerminal},
};

use crate::proto::v1::RuntimeStatus;

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    Colours,
    Plain,
}

impl Paint {
    pub fn for_stdout() -> Paint {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !unwanted { Paint::Colours } else { Paint::Plain }
    }

    /// The text in the colour of the status. Pad it before: escapes have a length too.
    pub fn status(self, status: RuntimeStatus, text: &str) -> String {
        let colour = match status {
            RuntimeStatus::Unspecified => return text.into(),
            RuntimeStatus::Pending => 33,
            RuntimeStatus::Running => 36,
            RuntimeStatus::Suspended => 34,
            RuntimeStatus::Completed => 32,
            RuntimeStatus::Failed => 31,
            RuntimeStatus::Terminated => 35,
        };
        match self {
            Paint::Colours => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            Paint::Plain => text.into(),
        }
    }
}
