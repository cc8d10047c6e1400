//! `soloist suspend`: holds a live instance: no events and no new attempt until it is resumed.

use super::{ClientArgs, Error, Exit, Output};
use crate::proto::v1::SuspendInstanceRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Suspend only this execution
    #[arg(long, value_name = "EXECUTION_ID")]
    expected_execution_id: Option<String>,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = SuspendInstanceRequest {
        instance_id: args.id,
        reason: args.reason.unwrap_or_default(),
        expected_execution_id: args.expected_execution_id.unwrap_or_default(),
    };
    output.status(&client.connect().await?.suspend_instance(request).await?)?;
    Ok(Exit::Done)
}
