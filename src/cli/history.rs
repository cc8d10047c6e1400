//! `soloist history`: what happened in the latest execution.

use super::{ClientArgs, Error, Exit, Output};
use crate::proto::v1::GetHistoryRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Only if this is the latest execution
    #[arg(long, value_name = "EXECUTION_ID")]
    expected_execution_id: Option<String>,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = GetHistoryRequest {
        instance_id: args.id,
        expected_execution_id: args.expected_execution_id.unwrap_or_default(),
    };
    let mut history = client.connect().await?.get_history(request).await?;
    output.history_begins()?;
    while let Some(event) = history.next().await.transpose()? {
        output.happened(&event)?;
    }
    Ok(Exit::Done)
}
