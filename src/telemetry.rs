//! The log: to stderr, for people or for programs.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read. A filter out of a `Config` that was read from settings can.
    #[error("the log filter can't be read: {0}")]
    Filter(#[from] ParseError),
    /// Another log was installed before.
    #[error("a log is installed already: {0}")]
    Installed(#[from] TryInitError),
}

/// Sends what is traced from now on to stderr.
pub fn install(config: &LogConfig) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::builder().parse(&config.filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        LogFormat::Text => log.with_ansi(colours()).finish().try_init()?,
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).finish().try_init()?,
    }
    Ok(())
}

/// Only on a terminal, and not where <https://no-color.org> is asked for.
fn colours() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
