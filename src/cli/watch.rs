//! `soloist watch`: every transition of an instance, live.

use super::{ClientArgs, Error, Exit, Output, connect};
use crate::proto::v1::WatchStatusRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
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

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    connect::within(client.timeout, async {
        let mut watch = client.connect().await?.watch(args.request());
        output.watch_begins()?;
        while let Some(item) = connect::next(&mut watch).await? {
            output.watched(&item)?;
        }
        Ok(Exit::Done)
    })
    .await
}

impl Args {
    pub(super) fn request(self) -> WatchStatusRequest {
        WatchStatusRequest {
            instance_id: self.id,
            from_revision: self.from_revision,
            until_terminal: self.until_terminal,
            wait_for_start: self.wait_for_start,
            include_payloads: self.payloads,
            ..WatchStatusRequest::default()
        }
    }
}
