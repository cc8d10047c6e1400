//! The way to the server: its address, the task hub, and how long to wait.

use std::time::Duration;

use super::{Error, output};
use crate::client::{Client, Watch, WatchEvent, WatchItem};

/// The time limit of a call that has none of its own.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The flags of every client command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientArgs {
    /// Address of the server
    #[arg(long, global = true, env = "SOLOIST_SERVER", value_name = "URL", default_value = "http://localhost:4001")]
    pub server: String,
    /// Task hub: the namespace of instance ids
    #[arg(long, global = true, env = "SOLOIST_HUB", value_name = "NAME", default_value = "default")]
    pub hub: String,
    /// Print JSON objects, one a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Time limit of a call [default: 30s], and of a whole watch or wait [default: none]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

impl ClientArgs {
    pub async fn connect(&self) -> Result<Client, Error> {
        Ok(Client::builder(&self.server).hub(&self.hub).timeout(self.timeout_of_call()).connect().await?)
    }

    pub fn timeout_of_call(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }
}

/// What `work` answers, if that is within the limit.
pub async fn within<T>(limit: Option<Duration>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::TimedOut(limit))),
    }
}

/// The next item of a watch; none after the last one. People are told of lost connections.
pub async fn next(watch: &mut Watch) -> Result<Option<WatchItem>, Error> {
    loop {
        match watch.next_event().await.transpose()? {
            None => return Ok(None),
            Some(WatchEvent::Item(item)) => return Ok(Some(item)),
            Some(WatchEvent::Interrupted(interruption)) => output::interrupted(&interruption),
        }
    }
}
