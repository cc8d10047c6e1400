//! The settings as they were typed: texts, each with where it came from.

use std::{ffi::OsStr, fmt};

use clap::{builder::TypedValueParser, error::ErrorKind, parser::ValueSource};
use serde::{Deserialize, Deserializer, de};

/// The server's settings as they were typed, from one source: the flags and variables, or the file. What is absent
/// was not set there.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1:4001]
    #[arg(long, env = "SOLOIST_LISTEN", value_name = "IP:PORT", value_parser = Typed)]
    pub listen: Option<Given>,
    /// Folder of the embedded store [default: ./soloist-data]
    #[arg(long, env = "SOLOIST_DATA_DIR", value_name = "DIR", value_parser = Typed)]
    pub data_dir: Option<Given>,
    /// What a line of the log looks like: text or json [default: text]
    #[arg(long, env = "SOLOIST_LOG_FORMAT", value_name = "FORMAT", value_parser = Typed)]
    pub log_format: Option<Given>,
    /// What is logged, such as info or soloist=debug,h2=warn [default: info]
    #[arg(long, env = "SOLOIST_LOG", value_name = "FILTER", value_parser = Typed)]
    pub log: Option<Given>,
    /// How long a lease lasts without a heartbeat [default: 15s]
    #[arg(long, env = "SOLOIST_LEASE", value_name = "DURATION", value_parser = Typed)]
    pub lease: Option<Given>,
    /// How long a Durable Task worker may have a turn [default: 5m]
    #[arg(long, env = "SOLOIST_TURN_LEASE", value_name = "DURATION", value_parser = Typed)]
    pub turn_lease: Option<Given>,
    /// How long the request id of a start is remembered [default: 24h]
    #[arg(long, env = "SOLOIST_REQUEST_MEMORY", value_name = "DURATION", value_parser = Typed)]
    pub request_memory: Option<Given>,
    /// How long an instance is kept after it has ended; 0 keeps all [default: 30d]
    #[arg(long, env = "SOLOIST_RETENTION", value_name = "DURATION", value_parser = Typed)]
    pub retention: Option<Given>,
    /// Largest input, output, event or custom status [default: 1MiB]
    #[arg(long, env = "SOLOIST_PAYLOAD_BYTES_MAX", value_name = "BYTES", value_parser = Typed)]
    pub payload_bytes_max: Option<Given>,
    /// Most open watches [default: 100000]
    #[arg(long, env = "SOLOIST_WATCHERS_MAX", value_name = "COUNT", value_parser = Typed)]
    pub watchers_max: Option<Given>,
    /// How often an idle watch says that it is alive [default: 30s]
    #[arg(long, env = "SOLOIST_WATCH_HEARTBEAT", value_name = "DURATION", value_parser = Typed)]
    pub watch_heartbeat: Option<Given>,
    /// Most connected workers [default: 10000]
    #[arg(long, env = "SOLOIST_WORKERS_MAX", value_name = "COUNT", value_parser = Typed)]
    pub workers_max: Option<Given>,
    /// Most open streams of one connection [default: 16384]
    #[arg(long, env = "SOLOIST_STREAMS_PER_CONNECTION", value_name = "COUNT", value_parser = Typed)]
    pub streams_per_connection: Option<Given>,
    /// How long a drain may take after SIGTERM [default: 30s]
    #[arg(long, env = "SOLOIST_DRAIN_TIMEOUT", value_name = "DURATION", value_parser = Typed)]
    pub drain_timeout: Option<Given>,
    /// When a connection is asked to reconnect, or off [default: off]
    #[arg(long, env = "SOLOIST_MAX_CONNECTION_AGE", value_name = "DURATION", value_parser = Typed)]
    pub max_connection_age: Option<Given>,
    /// How long a connection that was asked to reconnect may finish its streams [default: 30s]
    #[arg(long, env = "SOLOIST_MAX_CONNECTION_AGE_GRACE", value_name = "DURATION", value_parser = Typed)]
    pub max_connection_age_grace: Option<Given>,
    /// Origins whose pages may call, with commas between, or off [default: off]
    #[arg(long, env = "SOLOIST_HTTP_ALLOWED_ORIGINS", value_name = "ORIGINS", value_parser = Typed)]
    pub http_allowed_origins: Option<Given>,
    /// How often an idle connection is pinged [default: 30s]
    #[arg(long, env = "SOLOIST_KEEPALIVE_INTERVAL", value_name = "DURATION", value_parser = Typed)]
    pub keepalive_interval: Option<Given>,
    /// How long a ping may go unanswered [default: 20s]
    #[arg(long, env = "SOLOIST_KEEPALIVE_TIMEOUT", value_name = "DURATION", value_parser = Typed)]
    pub keepalive_timeout: Option<Given>,
}

/// One setting as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    pub origin: Origin,
}

/// Where a setting was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, with this flag.
    Flag(String),
    /// In this environment variable.
    Variable(String),
    /// In the configuration file.
    File,
}

/// Reads a flag or variable as it is, and notes which it was.
#[derive(Clone, Debug)]
struct Typed;

// === impl Settings ===

impl Settings {
    /// These settings, and where one is absent, the one from `below`.
    pub fn over(self, below: Settings) -> Settings {
        Settings {
            listen: self.listen.or(below.listen),
            data_dir: self.data_dir.or(below.data_dir),
            log_format: self.log_format.or(below.log_format),
            log: self.log.or(below.log),
            lease: self.lease.or(below.lease),
            turn_lease: self.turn_lease.or(below.turn_lease),
            request_memory: self.request_memory.or(below.request_memory),
            retention: self.retention.or(below.retention),
            payload_bytes_max: self.payload_bytes_max.or(below.payload_bytes_max),
            watchers_max: self.watchers_max.or(below.watchers_max),
            watch_heartbeat: self.watch_heartbeat.or(below.watch_heartbeat),
            workers_max: self.workers_max.or(below.workers_max),
            streams_per_connection: self.streams_per_connection.or(below.streams_per_connection),
            drain_timeout: self.drain_timeout.or(below.drain_timeout),
            max_connection_age: self.max_connection_age.or(below.max_connection_age),
            max_connection_age_grace: self.max_connection_age_grace.or(below.max_connection_age_grace),
            http_allowed_origins: self.http_allowed_origins.or(below.http_allowed_origins),
            keepalive_interval: self.keepalive_interval.or(below.keepalive_interval),
            keepalive_timeout: self.keepalive_timeout.or(below.keepalive_timeout),
        }
    }
}

// === impl Given ===

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        struct Scalar;

        impl de::Visitor<'_> for Scalar {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given { text: text.into(), origin: Origin::File })
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
                Ok(Given { text: number.to_string(), origin: Origin::File })
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "the flag --{flag}"),
            Origin::Variable(variable) => write!(f, "the variable {variable}"),
            Origin::File => f.write_str("the configuration file"),
        }
    }
}

// === impl Typed ===

impl TypedValueParser for Typed {
    type Value = Given;

    fn parse_ref(&self, cmd: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<Given, clap::Error> {
        self.parse_ref_(cmd, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Given, clap::Error> {
        let text = value.to_str().ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(cmd))?;
        let flag = arg.and_then(clap::Arg::get_long).unwrap_or_default();
        let origin = match (source, arg.and_then(clap::Arg::get_env)) {
            (ValueSource::EnvVariable, Some(variable)) => Origin::Variable(variable.to_string_lossy().into_owned()),
            _ => Origin::Flag(flag.into()),
        };
        Ok(Given { text: text.into(), origin })
    }
}
