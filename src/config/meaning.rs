//! What the settings mean: texts to valid values, or everything that is wrong with them.

use std::{
    fmt::{self, Display},
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use super::{Config, Given, LogConfig, LogFormat, Origin, Settings};
use crate::core::limits;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

const LEASE: RangeInclusive<Duration> = SECOND..=HOUR;
const TURN_LEASE: RangeInclusive<Duration> = SECOND..=DAY;
const REQUEST_MEMORY: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(365 * DAY.as_secs());
const RETENTION: RangeInclusive<Duration> = SECOND..=Duration::from_secs(36_500 * DAY.as_secs());
const PAYLOAD_BYTES: RangeInclusive<usize> = 1..=limits::PAYLOAD_BYTES_CEILING;
const WATCHERS: RangeInclusive<usize> = 1..=10_000_000;
const WATCH_HEARTBEAT: RangeInclusive<Duration> = SECOND..=HOUR;
const WORKERS: RangeInclusive<usize> = 1..=1_000_000;
const STREAMS: RangeInclusive<u32> = 1..=1_000_000;
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
const CONNECTION_AGE: RangeInclusive<Duration> = SECOND..=Duration::from_secs(365 * DAY.as_secs());
const CONNECTION_AGE_GRACE: RangeInclusive<Duration> = SECOND..=DAY;
const KEEPALIVE: RangeInclusive<Duration> = SECOND..=DAY;

/// Why there is no configuration. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file can't be read.
    #[error("the configuration file {} can't be read: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The configuration file is no TOML, or holds what is no setting.
    #[error("the configuration file {} is not valid: {source}", .path.display())]
    Malformed { path: PathBuf, source: Box<toml::de::Error> },
    /// Settings have values that are not allowed: all of them.
    #[error("{}", sentences(.0))]
    Wrong(Vec<WrongValue>),
}

/// A setting whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongValue {
    pub setting: &'static str,
    pub given: Given,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    pub allowed: String,
}

/// Reads values and collects what is wrong.
struct Reader<'a> {
    file: Option<&'a Path>,
    wrong: Vec<WrongValue>,
}

// === impl Config ===

impl Config {
    /// What the settings mean, on top of the defaults. `file` is where those from a file came from.
    pub fn from_settings(settings: Settings, file: Option<&Path>) -> Result<Config, ConfigError> {
        let default = Config::default();
        let mut reader = Reader { file, wrong: Vec::new() };
        let config = Config {
            listen: reader.read("listen", settings.listen, default.listen, socket_address),
            data_dir: reader.read("data-dir", settings.data_dir, default.data_dir, folder),
            log: LogConfig {
                filter: reader.read("log", settings.log, default.log.filter, log_filter),
                format: reader.read("log-format", settings.log_format, default.log.format, log_format),
            },
            lease: reader.read("lease", settings.lease, default.lease, |t| duration(t, LEASE)),
            turn_lease: reader.read("turn-lease", settings.turn_lease, default.turn_lease, |t| duration(t, TURN_LEASE)),
            request_memory: reader.read("request-memory", settings.request_memory, default.request_memory, |t| {
                duration(t, REQUEST_MEMORY)
            }),
            retention: reader.read("retention", settings.retention, default.retention, retention),
            payload_bytes_max: reader.read(
                "payload-bytes-max",
                settings.payload_bytes_max,
                default.payload_bytes_max,
                |t| bytes(t, PAYLOAD_BYTES),
            ),
            watchers_max: reader
                .read("watchers-max", settings.watchers_max, default.watchers_max, |t| count(t, WATCHERS)),
            watch_heartbeat: reader.read("watch-heartbeat", settings.watch_heartbeat, default.watch_heartbeat, |t| {
                duration(t, WATCH_HEARTBEAT)
            }),
            workers_max: reader.read("workers-max", settings.workers_max, default.workers_max, |t| count(t, WORKERS)),
            streams_per_connection: reader.read(
                "streams-per-connection",
                settings.streams_per_connection,
                default.streams_per_connection,
                |t| count(t, STREAMS),
            ),
            drain_timeout: reader
                .read("drain-timeout", settings.drain_timeout, default.drain_timeout, |t| duration(t, DRAIN)),
            max_connection_age: reader.read(
                "max-connection-age",
                settings.max_connection_age,
                default.max_connection_age,
                connection_age,
            ),
            max_connection_age_grace: reader.read(
                "max-connection-age-grace",
                settings.max_connection_age_grace,
                default.max_connection_age_grace,
                |t| duration(t, CONNECTION_AGE_GRACE),
            ),
            http_allowed_origins: reader.read(
                "http-allowed-origins",
                settings.http_allowed_origins,
                default.http_allowed_origins,
                origins,
            ),
            keepalive_interval: reader.read(
                "keepalive-interval",
                settings.keepalive_interval,
                default.keepalive_interval,
                |t| duration(t, KEEPALIVE),
            ),
            keepalive_timeout: reader.read(
                "keepalive-timeout",
                settings.keepalive_timeout,
                default.keepalive_timeout,
                |t| duration(t, KEEPALIVE),
            ),
            bench_echo: default.bench_echo,
        };
        if reader.wrong.is_empty() { Ok(config) } else { Err(ConfigError::Wrong(reader.wrong)) }
    }
}

// === impl WrongValue ===

impl Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongValue { setting, given: Given { text, origin }, file, allowed } = self;
        write!(f, "the value '{text}' of {setting}, from {origin}")?;
        if let (Origin::File, Some(path)) = (origin, file) {
            write!(f, " {}", path.display())?;
        }
        write!(f, ", is not allowed: it must be {allowed}")
    }
}

fn sentences(wrong: &[WrongValue]) -> String {
    wrong.iter().map(WrongValue::to_string).collect::<Vec<_>>().join("\n")
}

// === impl Reader ===

impl Reader<'_> {
    /// Reads a setting; `parse` answers what is allowed if the text is not.
    fn read<T>(
        &mut self,
        setting: &'static str,
        given: Option<Given>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(given) = given else { return default };
        parse(&given.text).unwrap_or_else(|allowed| {
            self.wrong.push(WrongValue { setting, given, file: self.file.map(Path::to_path_buf), allowed });
            default
        })
    }
}

fn socket_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port, such as 127.0.0.1:4001 or [::1]:4001".into())
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path of a folder".into()) } else { Ok(PathBuf::from(text)) }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    [LogFormat::Text, LogFormat::Json]
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| "text or json".into())
}

fn log_filter(text: &str) -> Result<String, String> {
    let allowed = |why: &dyn Display| format!("a filter such as info, or soloist=debug,h2=warn ({why})");
    if text.trim().is_empty() {
        return Err(allowed(&"it is empty"));
    }
    EnvFilter::builder().parse(text).map(|_| text.into()).map_err(|why| allowed(&why))
}

fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    humantime::parse_duration(text).ok().filter(|duration| range.contains(duration)).ok_or_else(|| {
        let [least, most] = [*range.start(), *range.end()].map(humantime::format_duration);
        format!("a duration from {least} to {most}, with its unit, such as 1h 30m")
    })
}

fn connection_age(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    duration(text, CONNECTION_AGE).map(Some).map_err(|allowed| format!("off, or {allowed}"))
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    if text == "off" {
        return Ok(Vec::new());
    }
    let origins = text.split(',').map(|origin| origin.trim().to_owned());
    let origins: Option<Vec<_>> = origins.map(|origin| is_origin(&origin).then_some(origin)).collect();
    origins.ok_or_else(|| {
        "off, or origins as browsers write them, such as https://app.example or http://localhost:8080, with commas \
         between"
            .into()
    })
}

/// Scheme, host and port, in small letters, without a path. `null` is none: any page can have that one.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let of = |text: &str, signs: &[u8]| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || signs.contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    of(scheme, b"+-.") && of(host, b"-._:[]")
}

fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text == "0" || humantime::parse_duration(text).is_ok_and(|duration| duration.is_zero()) {
        return Ok(None);
    }
    duration(text, RETENTION).map(Some).map_err(|allowed| format!("0, or {allowed}"))
}

fn count<N: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<N>) -> Result<N, String> {
    text.parse()
        .ok()
        .filter(|count| range.contains(count))
        .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
}

fn bytes(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20)];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, bytes)| Some((text.strip_suffix(suffix)?.trim_end(), *bytes)))
        .unwrap_or((text, 1));
    digits
        .parse::<usize>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| {
            format!("a number of bytes from {} to {}, or one with KiB or MiB, such as 1MiB", range.start(), range.end())
        })
}
