//! `soloist start`: starts a singleton, and waits for its end if asked to.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;

use super::{ClientArgs, Error, Exit, Output, connect, moment::Moment, output, payload::Payload, tag::Tag};
use crate::{
    client::{Client, WatchEvent},
    clock,
    proto::v1::{
        ConflictPolicy, InstanceStatus, ReplaceableStatuses, RetryPolicy, RuntimeStatus, SignalOnConflict,
        StartSingletonRequest, StartSingletonResponse, WorkerKind,
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Function to run
    function: String,
    /// Instance id
    id: String,
    /// Input of the function: a text (JSON by convention), - for stdin, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE", allow_hyphen_values = true)]
    input: Option<Payload>,
    /// Makes a retry safe: a start with the same request id is not done again
    #[arg(long, value_name = "TEXT")]
    request_id: Option<String>,
    /// What to do if the id has a live execution
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = OnConflict::Fail)]
    on_conflict: OnConflict,
    /// How many starts may wait in the queue, this one included [default: 16]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_queue: Option<u32>,
    /// Name of an event for the live execution if there is one; goes with --on-conflict use-existing
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// Payload of that event: a text (JSON by convention), - for stdin, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE", allow_hyphen_values = true, requires = "signal")]
    signal_input: Option<Payload>,
    /// Terminal statuses that may be replaced by a new execution: some of completed,failed,terminated, or none
    #[arg(long, value_name = "STATUSES")]
    replaceable: Option<Replaceable>,
    /// Not before this time: RFC 3339, or a duration from now such as 5m
    #[arg(long, value_name = "TIME")]
    start_at: Option<Moment>,
    /// Longest wait for a worker
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    start_deadline: Option<Duration>,
    /// Longest run, retries included
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    run_timeout: Option<Duration>,
    /// Attempts in all, when runs fail or are lost [default: 1]
    #[arg(long, value_name = "COUNT")]
    retry_attempts: Option<u32>,
    /// Wait before the second attempt [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "retry_attempts")]
    retry_initial_backoff: Option<Duration>,
    /// Longest wait between two attempts [default: 100 times the first]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "retry_attempts")]
    retry_max_backoff: Option<Duration>,
    /// What each wait is multiplied by to give the next [default: 2]
    #[arg(long, value_name = "FACTOR", requires = "retry_attempts")]
    retry_multiplier: Option<f64>,
    /// Version of the function, given to the worker
    #[arg(long, value_name = "VERSION")]
    function_version: Option<String>,
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// Which kind of worker may run it
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Any)]
    worker_kind: Kind,
    /// Wait for the end of the execution, and exit with 0 only if it completed
    #[arg(long)]
    wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// Fail with exit code 75
    Fail,
    /// Join the running execution
    UseExisting,
    /// Terminate the running execution and start a new one
    Replace,
    /// Wait in the queue and start when those before have ended; with exit code 75 if it is full
    Queue,
    /// Run once more after this one: at most one such start waits, and the newest input wins
    Coalesce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Any worker that serves the function
    Any,
    /// A worker of soloist.v1.WorkerService
    Native,
    /// A worker that is written with a Durable Task SDK
    DurableTask,
}

/// The terminal statuses that may be replaced; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaceable(Vec<RuntimeStatus>);

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let wait = args.wait;
    let request = args.request(clock::wall_time())?;
    let connection = client.connect().await?;
    let answer = connection.start_singleton(request).await?;
    finish(&connection, answer, wait, client.timeout, output).await
}

/// Prints what became of a start: at once, or with how its execution ended.
pub(super) async fn finish(
    client: &Client,
    mut answer: StartSingletonResponse,
    wait: bool,
    limit: Option<Duration>,
    output: &Output,
) -> Result<Exit, Error> {
    if !wait {
        output.started(&answer)?;
        return Ok(Exit::Done);
    }
    let ended = connect::within(limit, wait_for_end(client, &answer, output)).await?;
    let completed = ended.runtime_status() == RuntimeStatus::Completed;
    answer.status = Some(Box::new(ended));
    answer.queue_position = 0;
    match output.started(&answer) {
        // Whether anybody reads it or not.
        Err(Error::Output(_)) if !completed => Ok(Exit::Failed),
        printed => printed.map(|()| if completed { Exit::Done } else { Exit::Failed }),
    }
}

/// Follows the execution of a start to its end, from the queue if it waits there, and answers its last status, with its
/// payloads if they are still there.
pub(super) async fn wait_for_end(
    client: &Client,
    answer: &StartSingletonResponse,
    output: &Output,
) -> Result<InstanceStatus, Error> {
    let mut follow = client.follow(answer)?;
    while let Some(event) = follow.next_event().await.transpose()? {
        match event {
            WatchEvent::Item(item) => output.progress(&item.status),
            WatchEvent::Interrupted(interruption) => output::interrupted(&interruption),
        }
    }
    let last = follow.end().await?;
    // The end is known; at most its payloads are out of reach.
    Ok(client.with_payloads(last.clone()).await.unwrap_or(last))
}

// === impl Args ===

impl Args {
    pub(super) fn request(self, now: SystemTime) -> Result<StartSingletonRequest, Error> {
        if self.input == Some(Payload::Stdin) && self.signal_input == Some(Payload::Stdin) {
            return Err(Error::Usage("stdin can be read once: for --input or for --signal-input".into()));
        }
        let retry = match self.retry_attempts {
            None => None,
            Some(max_attempts) => Some(RetryPolicy {
                max_attempts,
                initial_backoff: self.retry_initial_backoff.map(duration).transpose()?,
                max_backoff: self.retry_max_backoff.map(duration).transpose()?,
                multiplier: self.retry_multiplier.unwrap_or_default(),
            }),
        };
        let signal_input = self.signal_input.map(Payload::read).transpose()?;
        Ok(StartSingletonRequest {
            instance_id: self.id,
            function_name: self.function,
            input: self.input.map(Payload::read).transpose()?,
            request_id: self.request_id.unwrap_or_default(),
            conflict_policy: self.on_conflict.policy().into(),
            worker_kind: self.worker_kind.wire().into(),
            replaceable_statuses: self.replaceable.map(Replaceable::wire),
            max_queue: self.max_queue.unwrap_or_default(),
            signal_on_conflict: self.signal.map(|name| SignalOnConflict { name, input: signal_input }),
            start_at: self.start_at.map(|moment| moment.ahead(now)).transpose()?,
            start_deadline: self.start_deadline.map(duration).transpose()?,
            run_timeout: self.run_timeout.map(duration).transpose()?,
            retry,
            version: self.function_version.unwrap_or_default(),
            tags: self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        })
    }
}

fn duration(duration: Duration) -> Result<prost_types::Duration, Error> {
    prost_types::Duration::try_from(duration)
        .map_err(|_| Error::Usage(format!("{} is too long", humantime::format_duration(duration))))
}

// === impl OnConflict ===

impl OnConflict {
    fn policy(self) -> ConflictPolicy {
        match self {
            OnConflict::Fail => ConflictPolicy::Fail,
            OnConflict::UseExisting => ConflictPolicy::UseExisting,
            OnConflict::Replace => ConflictPolicy::Replace,
            OnConflict::Queue => ConflictPolicy::Queue,
            OnConflict::Coalesce => ConflictPolicy::Coalesce,
        }
    }
}

// === impl Kind ===

impl Kind {
    fn wire(self) -> WorkerKind {
        match self {
            Kind::Any => WorkerKind::Any,
            Kind::Native => WorkerKind::Native,
            Kind::DurableTask => WorkerKind::DurableTask,
        }
    }
}

// === impl Replaceable ===

impl Replaceable {
    fn wire(self) -> ReplaceableStatuses {
        ReplaceableStatuses { statuses: self.0.into_iter().map(i32::from).collect() }
    }
}

impl FromStr for Replaceable {
    type Err = String;

    fn from_str(text: &str) -> Result<Replaceable, String> {
        if text == "none" {
            return Ok(Replaceable(Vec::new()));
        }
        let status = |name| match name {
            "completed" => Ok(RuntimeStatus::Completed),
            "failed" => Ok(RuntimeStatus::Failed),
            "terminated" => Ok(RuntimeStatus::Terminated),
            other => Err(format!("'{other}' is none of completed, failed, terminated; or give none alone")),
        };
        text.split(',').map(status).collect::<Result<_, _>>().map(Replaceable)
    }
}
