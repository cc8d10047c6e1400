//! The configuration file: TOML with the flags' names as keys.

use std::{fmt::Write, fs, path::Path};

use super::{Config, ConfigError, Settings};

impl Settings {
    /// Reads a configuration file.
    pub fn from_file(path: &Path) -> Result<Settings, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        Settings::from_toml(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_path_buf(), source: Box::new(source) })
    }

    pub(super) fn from_toml(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }
}

impl Config {
    /// The configuration as a file that gives the same configuration when it is read.
    pub fn to_toml(&self) -> String {
        let Config {
            listen,
            data_dir,
            log,
            lease,
            turn_lease,
            request_memory,
            retention,
            payload_bytes_max,
            watchers_max,
            watch_heartbeat,
            workers_max,
            streams_per_connection,
            drain_timeout,
            max_connection_age,
            max_connection_age_grace,
            http_allowed_origins,
            keepalive_interval,
            keepalive_timeout,
            bench_echo: _,
        } = self;
        let duration = |duration| humantime::format_duration(duration).to_string();
        let origins = if http_allowed_origins.is_empty() { "off".into() } else { http_allowed_origins.join(",") };
        let lines: [(&str, toml::Value); 19] = [
            ("listen", listen.to_string().into()),
            ("data-dir", data_dir.to_string_lossy().into_owned().into()),
            ("log-format", log.format.name().into()),
            ("log", log.filter.clone().into()),
            ("lease", duration(*lease).into()),
            ("turn-lease", duration(*turn_lease).into()),
            ("request-memory", duration(*request_memory).into()),
            ("retention", duration(retention.unwrap_or_default()).into()),
            ("payload-bytes-max", whole(*payload_bytes_max)),
            ("watchers-max", whole(*watchers_max)),
            ("watch-heartbeat", duration(*watch_heartbeat).into()),
            ("workers-max", whole(*workers_max)),
            ("streams-per-connection", (*streams_per_connection).into()),
            ("drain-timeout", duration(*drain_timeout).into()),
            ("max-connection-age", max_connection_age.map_or_else(|| "off".into(), duration).into()),
            ("max-connection-age-grace", duration(*max_connection_age_grace).into()),
            ("http-allowed-origins", origins.into()),
            ("keepalive-interval", duration(*keepalive_interval).into()),
            ("keepalive-timeout", duration(*keepalive_timeout).into()),
        ];
        lines.into_iter().fold(String::new(), |mut text, (key, value)| {
            // Writing into a String does not fail.
            let _ = writeln!(text, "{key} = {value}");
            text
        })
    }
}

/// Every count is bounded far below what TOML's integers hold.
fn whole(count: usize) -> toml::Value {
    toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}
