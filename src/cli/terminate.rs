//! `soloist terminate`: ends a live instance, or withdraws a queued start.

use super::{ClientArgs, Error, Exit, Output};
use crate::proto::v1::TerminateInstanceRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// End only this execution
    #[arg(long, value_name = "EXECUTION_ID")]
    expected_execution_id: Option<String>,
    /// End this execution: the latest one, or a queued one, which is withdrawn
    #[arg(long, value_name = "EXECUTION_ID", conflicts_with = "expected_execution_id")]
    execution_id: Option<String>,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = TerminateInstanceRequest {
        instance_id: args.id,
        reason: args.reason.unwrap_or_default(),
        expected_execution_id: args.expected_execution_id.unwrap_or_default(),
        execution_id: args.execution_id.unwrap_or_default(),
    };
    output.status(&client.connect().await?.terminate_instance(request).await?)?;
    Ok(Exit::Done)
}
