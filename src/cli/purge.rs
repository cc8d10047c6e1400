//! `soloist purge`: deletes instances that have ended, one by its id or many by a filter.

use std::time::SystemTime;

use super::{ClientArgs, Error, Exit, Output, filter::Filter, moment::Moment, output};
use crate::{
    client::Client,
    clock,
    proto::v1::{PurgeInstanceRequest, PurgeInstancesRequest},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: Option<String>,
    /// Delete only if the latest execution is this one
    #[arg(long, value_name = "EXECUTION_ID", requires = "id")]
    expected_execution_id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only ended before this time: RFC 3339, or a duration for so long ago
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    completed_before: Option<Moment>,
    /// Delete every instance of the task hub that has ended
    #[arg(long)]
    all: bool,
}

/// What is to be deleted.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    One(PurgeInstanceRequest),
    Many(PurgeInstancesRequest),
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let wanted = args.wanted(clock::wall_time())?;
    let connection = client.connect().await?;
    let purged = match wanted {
        Wanted::One(request) => connection.purge_instance(request).await.map(|()| 1)?,
        Wanted::Many(request) => many(&connection, request).await?,
    };
    output.purged(purged)?;
    Ok(Exit::Done)
}

async fn many(connection: &Client, request: PurgeInstancesRequest) -> Result<u64, Error> {
    let mut purge = connection.purge_all(request);
    let mut purged = 0;
    while let Some(page) = purge.next().await {
        match page {
            Ok(more) => purged += u64::from(more),
            Err(error) => {
                output::notice(&format!("{purged} instances were deleted before this:"));
                return Err(error.into());
            }
        }
    }
    Ok(purged)
}

impl Args {
    /// Nobody deletes everything by leaving something out.
    pub(super) fn wanted(self, now: SystemTime) -> Result<Wanted, Error> {
        let is_filtered = !self.filter.is_empty() || self.completed_before.is_some();
        match (self.id, is_filtered, self.all) {
            (Some(id), false, false) => Ok(Wanted::One(PurgeInstanceRequest {
                instance_id: id,
                expected_execution_id: self.expected_execution_id.unwrap_or_default(),
            })),
            (None, true, false) | (None, false, true) => Ok(Wanted::Many(PurgeInstancesRequest {
                filter: Some(self.filter.wire(now)?),
                completed_before: self.completed_before.map(|moment| moment.ago(now)).transpose()?,
                ..PurgeInstancesRequest::default()
            })),
            (None, false, false) => {
                Err(Error::Usage("say what to delete: an id, at least one filter, or --all".into()))
            }
            (Some(_), ..) | (None, true, true) => {
                Err(Error::Usage("an id, filters and --all exclude each other".into()))
            }
        }
    }
}
