//! `soloist status`: what is known about an instance.

use super::{ClientArgs, Error, Exit, Output};
use crate::proto::v1::GetStatusRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Show this execution, not the latest: a queued one, or a former one that is still remembered
    #[arg(long, value_name = "EXECUTION_ID")]
    execution_id: Option<String>,
    /// Show input, output and custom status too
    #[arg(long)]
    payloads: bool,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = GetStatusRequest {
        instance_id: args.id,
        execution_id: args.execution_id.unwrap_or_default(),
        include_payloads: args.payloads,
    };
    let (status, queue) = client.connect().await?.get_status_and_queue(request).await?;
    output.status_and_queue(&status, &queue)?;
    Ok(Exit::Done)
}
