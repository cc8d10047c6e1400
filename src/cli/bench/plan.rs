//! What is to be measured: the command's arguments, and what they mean.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::load::{Load, Road};
use crate::cli::{ClientArgs, Error};

/// Rounds of a comparison, unless told otherwise: one alone says little on a machine that others use too.
const ROUNDS_OF_COMPARISON: u32 = 5;
/// Shorter than this, nothing can be said.
const DURATION_MIN: Duration = Duration::from_millis(50);
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// Streams that a server takes on one connection, unless told otherwise, less the one that makes the transitions.
const STREAMS_MAX: u32 = 16_383;
/// The largest payload that any server takes.
const PAYLOAD_BYTES_MAX: i64 = 3 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
--server is not looked at: no server is put under load but the one that --against names.")]
pub struct Args {
    /// What to do
    #[arg(value_enum)]
    load: Load,
    /// Bench this server, such as http://localhost:4001, instead of one that is started for it
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Do this too, in turn with the load, and print the ratio of the two
    #[arg(long, value_enum, value_name = "LOAD")]
    compare: Option<Load>,
    /// Connections; never more than are in flight
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Calls in flight, over all connections; the next begins when one has ended
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Bytes of the payload of an echo and of the input of a start
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=PAYLOAD_BYTES_MAX))]
    payload: u32,
    /// How long a round is measured
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = round_duration)]
    duration: Duration,
    /// How long a round runs before it is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Rounds [default: 1, with --compare 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// Instances that are there before status and list begin
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    instances: u32,
    /// Instances of a page of list
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
    page_size: u32,
    /// Activities of an orchestration of turns and fanout [default: 3 and 100]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    activities: Option<u32>,
    /// Where the folder for the data of the started server is made; it is removed at the end
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub load: Load,
    pub compare: Option<Load>,
    connections: u32,
    in_flight: u32,
    /// JSON, since HTTP takes nothing else; absent if it has no bytes.
    pub payload: Option<String>,
    pub payload_bytes: u32,
    pub duration: Duration,
    pub warmup: Duration,
    pub rounds: u32,
    pub instances: u32,
    pub page_size: u32,
    pub activities: Option<u32>,
    pub hub: String,
    /// How long an answer may take.
    pub patience: Duration,
}

// === impl Args ===

impl Args {
    pub fn against(&self) -> Option<&str> {
        self.against.as_deref()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

// === impl Plan ===

impl Plan {
    pub fn new(args: &Args, client: &ClientArgs) -> Result<Plan, Error> {
        let rounds = args.rounds.unwrap_or(if args.compare.is_some() { ROUNDS_OF_COMPARISON } else { 1 });
        let plan = Plan {
            load: args.load,
            compare: args.compare,
            connections: args.connections,
            in_flight: args.in_flight,
            payload: payload(args.payload as usize),
            payload_bytes: args.payload,
            duration: args.duration,
            warmup: args.warmup,
            rounds,
            instances: args.instances,
            page_size: args.page_size,
            activities: args.activities,
            hub: client.hub.clone(),
            patience: client.timeout_of_call(),
        };
        if args.against.is_some() && !plan.needs_server() {
            return Err(Error::Usage("disk asks no server: leave --against out".into()));
        }
        let streams = plan.in_flight.div_ceil(plan.connections);
        if plan.loads().any(|load| load == Load::Watch) && streams > STREAMS_MAX {
            return Err(Error::Usage(format!(
                "{streams} watches on a connection: a server takes {STREAMS_MAX}; raise --connections"
            )));
        }
        Ok(plan)
    }

    pub fn loads(&self) -> impl Iterator<Item = Load> {
        std::iter::once(self.load).chain(self.compare)
    }

    pub fn needs_server(&self) -> bool {
        self.loads().any(|load| load.road() != Road::Disk)
    }

    /// Calls of this load under way at a time.
    pub fn in_flight(&self, load: Load) -> usize {
        match load.road() {
            Road::Grpc | Road::Http => self.in_flight as usize,
            Road::Disk => 1,
        }
    }

    pub fn connections(&self, load: Load) -> usize {
        match load.road() {
            Road::Grpc => self.connections.min(self.in_flight) as usize,
            Road::Http => self.in_flight as usize,
            Road::Disk => 0,
        }
    }
}

/// JSON of so many bytes: a string, or a digit where a string has no room.
fn payload(bytes: usize) -> Option<String> {
    match bytes {
        0 => None,
        1 => Some("1".into()),
        _ => Some(format!("\"{}\"", "x".repeat(bytes - 2))),
    }
}

fn round_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (DURATION_MIN..=DURATION_MAX).contains(&duration) { Ok(duration) } else { Err("it must be 50ms to 1day".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_as_many_bytes_as_were_asked_for() {
        assert_eq!(payload(0), None);
        for bytes in [1, 2, 3, 1000] {
            let text = payload(bytes).expect("a payload");
            assert_eq!(text.len(), bytes);
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        }
    }
}
