//! `soloist start`: starts a singleton, and waits for its end if asked to.

use std::{str::FromStr, time::Duration};

use clap::ValueEnum;

use super::{ClientArgs, Error, Exit, Output, connect, payload::Payload};
use crate::{
    client::{Client, WatchItem, is_terminal},
    proto::v1::{
        ConflictPolicy, InstanceStatus, ReplaceableStatuses, RetryPolicy, RuntimeStatus, StartSingletonRequest,
        StartSingletonResponse, WatchStatusRequest, WorkerKind,
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
    /// Terminal statuses that may be replaced by a new execution: some of completed,failed,terminated, or none
    #[arg(long, value_name = "STATUSES")]
    replaceable: Option<Replaceable>,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Any worker that serves the function
    Any,
    /// A worker of soloist.v1.WorkerService
    Native,
}

/// The terminal statuses that may be replaced; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaceable(Vec<RuntimeStatus>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    key: String,
    value: String,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let wait = args.wait;
    let request = args.request()?;
    let connection = client.connect().await?;
    let mut answer = connection.start_singleton(request).await?;
    if !wait {
        output.started(&answer)?;
        return Ok(Exit::Done);
    }
    let ended = connect::within(client.timeout, wait_for_end(&connection, &answer, output)).await?;
    let completed = ended.runtime_status() == RuntimeStatus::Completed;
    answer.status = Some(ended);
    output.started(&answer)?;
    Ok(if completed { Exit::Done } else { Exit::Failed })
}

/// Follows the execution of a start to its end, and answers its last status, with its payloads if they are still
/// there.
pub(super) async fn wait_for_end(
    client: &Client,
    answer: &StartSingletonResponse,
    output: &Output,
) -> Result<InstanceStatus, Error> {
    let mut last = answer.status.clone().unwrap_or_default();
    if last.execution_id != answer.execution_id {
        return Err(missed(&answer.execution_id, &last));
    }
    let mut watch = client.watch(WatchStatusRequest {
        instance_id: last.instance_id.clone(),
        from_revision: Some(last.revision),
        until_terminal: true,
        ..WatchStatusRequest::default()
    });
    while !is_terminal(last.runtime_status()) {
        let Some(WatchItem { status, resync, .. }) = connect::next(&mut watch).await? else { break };
        // Without a gap, another execution id is a function that continued as new; across a gap it may be anything.
        if resync && status.execution_id != last.execution_id {
            return Err(missed(&last.execution_id, &status));
        }
        output.progress(&status);
        last = status;
    }
    // The end is known; at most its payloads are out of reach.
    Ok(client.with_payloads(last.clone()).await.unwrap_or(last))
}

fn missed(execution_id: &str, now: &InstanceStatus) -> Error {
    Error::Other(anyhow::anyhow!(
        "how execution {execution_id} ended is not known: the instance is at execution {} now",
        now.execution_id
    ))
}

// === impl Args ===

impl Args {
    pub(super) fn request(self) -> Result<StartSingletonRequest, Error> {
        let retry = match self.retry_attempts {
            None => None,
            Some(max_attempts) => Some(RetryPolicy {
                max_attempts,
                initial_backoff: self.retry_initial_backoff.map(duration).transpose()?,
                max_backoff: self.retry_max_backoff.map(duration).transpose()?,
                multiplier: self.retry_multiplier.unwrap_or_default(),
            }),
        };
        Ok(StartSingletonRequest {
            instance_id: self.id,
            function_name: self.function,
            input: self.input.map(Payload::read).transpose()?,
            request_id: self.request_id.unwrap_or_default(),
            conflict_policy: self.on_conflict.policy().into(),
            worker_kind: self.worker_kind.wire().into(),
            replaceable_statuses: self.replaceable.map(Replaceable::wire),
            start_deadline: self.start_deadline.map(duration).transpose()?,
            run_timeout: self.run_timeout.map(duration).transpose()?,
            retry,
            version: self.function_version.unwrap_or_default(),
            tags: self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            ..StartSingletonRequest::default()
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
        }
    }
}

// === impl Kind ===

impl Kind {
    fn wire(self) -> WorkerKind {
        match self {
            Kind::Any => WorkerKind::Any,
            Kind::Native => WorkerKind::Native,
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

// === impl Tag ===

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Tag, &'static str> {
        let (key, value) = text.split_once('=').ok_or("a tag is written KEY=VALUE")?;
        Ok(Tag { key: key.into(), value: value.into() })
    }
}
