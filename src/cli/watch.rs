//! `soloist watch`: every transition of an instance, or of many, live.

use super::{ClientArgs, Error, Exit, Output, connect, live, output};
use crate::{
    client::{InstancesEvent, InstancesWatch},
    proto::v1::{WatchInstancesRequest, WatchStatusRequest},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance ids; several of them are shown as a live table
    #[arg(value_name = "ID", required_unless_present_any = ["prefix", "function"])]
    ids: Vec<String>,
    /// Watch all instances whose id begins with this; empty for all
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["ids", "function"])]
    prefix: Option<String>,
    /// Watch all instances of this function
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    function: Option<String>,
    #[command(flatten)]
    one: One,
}

/// The flags of a watch of one instance.
#[derive(Debug, PartialEq, clap::Args)]
#[command(next_help_heading = "With one id")]
struct One {
    /// Watch this execution alone: from the queue, where it may wait, to its end
    #[arg(long, value_name = "EXECUTION_ID")]
    execution_id: Option<String>,
    /// Show the transitions after this revision, not the current status first; 0 stands for the beginning
    #[arg(long, value_name = "REVISION")]
    from_revision: Option<u64>,
    /// End after the first terminal status
    #[arg(long)]
    until_terminal: bool,
    /// Wait for an instance that was never started
    #[arg(long)]
    wait_for_start: bool,
    /// Show input, output and custom status with the current status; transitions carry none
    #[arg(long)]
    payloads: bool,
}

/// What is to be watched.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    One(WatchStatusRequest),
    Many(WatchInstancesRequest),
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let wanted = args.wanted()?;
    connect::within(client.timeout, async {
        let connection = client.connect().await?;
        match wanted {
            Wanted::One(request) => {
                let mut watch = connection.watch(request);
                output.watch_begins()?;
                while let Some(item) = connect::next(&mut watch).await? {
                    output.watched(&item)?;
                }
            }
            Wanted::Many(request) if output.is_live() => {
                live::show(&connection, request, output).await?;
            }
            Wanted::Many(request) => print(connection.watch_instances(request), output).await?,
        }
        Ok(Exit::Done)
    })
    .await
}

/// One line an item, for files and programs.
async fn print(mut watch: InstancesWatch, output: &Output) -> Result<(), Error> {
    output.watch_of_many_begins()?;
    while let Some(event) = watch.next_event().await.transpose()? {
        match event {
            InstancesEvent::Item(item) => output.watched_among_many(&item)?,
            InstancesEvent::Synced => output.synced()?,
            InstancesEvent::BeginsAgain => output.begins_again()?,
            InstancesEvent::Interrupted(interruption) => output::interrupted(&interruption),
        }
    }
    Ok(())
}

impl Args {
    pub(super) fn wanted(self) -> Result<Wanted, Error> {
        let request = match (self.prefix, self.function) {
            (Some(prefix), _) => WatchInstancesRequest::of_prefix(prefix),
            (None, Some(function)) => WatchInstancesRequest::of_function(function),
            (None, None) if self.ids.len() == 1 => return Ok(Wanted::One(self.one.request(self.ids))),
            (None, None) => WatchInstancesRequest::of_ids(self.ids),
        };
        if self.one.is_given() {
            return Err(Error::Usage(
                "--execution-id, --from-revision, --until-terminal, --wait-for-start and --payloads are for one id"
                    .into(),
            ));
        }
        Ok(Wanted::Many(request))
    }
}

// === impl One ===

impl One {
    fn is_given(&self) -> bool {
        let One { execution_id, from_revision, until_terminal, wait_for_start, payloads } = self;
        execution_id.is_some() || from_revision.is_some() || *until_terminal || *wait_for_start || *payloads
    }

    fn request(self, ids: Vec<String>) -> WatchStatusRequest {
        WatchStatusRequest {
            instance_id: ids.into_iter().next().unwrap_or_default(),
            execution_id: self.execution_id.unwrap_or_default(),
            from_revision: self.from_revision,
            until_terminal: self.until_terminal,
            wait_for_start: self.wait_for_start,
            include_payloads: self.payloads,
        }
    }
}
