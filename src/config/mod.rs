//! How a server is set up: plain values, all of them valid.

#[cfg(feature = "cli")]
mod file;
#[cfg(feature = "cli")]
mod meaning;
#[cfg(feature = "cli")]
mod settings;
#[cfg(all(test, feature = "cli"))]
mod tests;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

#[cfg(feature = "cli")]
pub use meaning::{ConfigError, WrongValue};
#[cfg(feature = "cli")]
pub use settings::{Given, Origin, Settings};

use crate::core::limits;

/// The port that clients expect.
pub const DEFAULT_PORT: u16 = 4001;

/// A server's setup.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens. Port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// The folder of the embedded store; created if it is not there.
    pub data_dir: PathBuf,
    pub log: LogConfig,
    /// How long a lease lasts on the server after the last heartbeat. Workers are told two thirds of it, and to send
    /// a heartbeat every fifth of it.
    pub lease: Duration,
    /// How long a Durable Task worker may have a turn before it is offered again.
    pub turn_lease: Duration,
    /// How long a start's request id is remembered.
    pub request_memory: Duration,
    /// How long an instance is kept after it has ended; for ever if absent.
    pub retention: Option<Duration>,
    /// The most bytes of one payload: input, output, event, custom status.
    pub payload_bytes_max: usize,
    /// The most open watches.
    pub watchers_max: usize,
    /// How often an idle watch says that it is alive, so that proxies keep it open.
    pub watch_heartbeat: Duration,
    /// The most connected workers.
    pub workers_max: usize,
    /// The most open streams of one connection.
    pub streams_per_connection: u32,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// When a connection is asked to go, so that clients behind a load balancer connect elsewhere; never if absent.
    pub max_connection_age: Option<Duration>,
    /// How long a connection that was asked to go may finish its streams.
    pub max_connection_age_grace: Duration,
    /// Origins whose pages may call, such as `https://app.example`; the server's own one always may.
    pub http_allowed_origins: Vec<String>,
    /// How often an idle connection is pinged.
    pub keepalive_interval: Duration,
    /// How long a ping may go unanswered before the connection is closed.
    pub keepalive_timeout: Duration,
    /// Whether it serves the echo that `soloist bench` compares with. No setting: whoever runs a bench says so.
    pub bench_echo: bool,
}

/// What is logged, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives of `tracing_subscriber::EnvFilter`, such as `info` or `soloist=debug,h2=warn`.
    pub filter: String,
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            data_dir: PathBuf::from("./soloist-data"),
            log: LogConfig::default(),
            lease: Duration::from_secs(15),
            turn_lease: Duration::from_secs(5 * 60),
            request_memory: Duration::from_secs(24 * 3600),
            retention: Some(Duration::from_secs(30 * 24 * 3600)),
            payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT,
            watchers_max: 100_000,
            watch_heartbeat: Duration::from_secs(30),
            workers_max: 10_000,
            streams_per_connection: 16_384,
            drain_timeout: Duration::from_secs(30),
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(30),
            http_allowed_origins: Vec::new(),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            bench_echo: false,
        }
    }
}

// === impl LogConfig ===

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { filter: "info".into(), format: LogFormat::Text }
    }
}

// === impl LogFormat ===

impl LogFormat {
    /// As it is written in a setting.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}
