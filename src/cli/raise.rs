//! `soloist raise`: an external event for a live instance.

use super::{ClientArgs, Error, Exit, Output, payload::Payload};
use crate::proto::v1::RaiseEventRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Name of the event
    event: String,
    /// Payload of the event: a text (JSON by convention), - for stdin, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE", allow_hyphen_values = true)]
    input: Option<Payload>,
    /// Deliver only to this execution
    #[arg(long, value_name = "EXECUTION_ID")]
    expected_execution_id: Option<String>,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = RaiseEventRequest {
        instance_id: args.id,
        name: args.event,
        input: args.input.map(Payload::read).transpose()?,
        expected_execution_id: args.expected_execution_id.unwrap_or_default(),
    };
    output.raised(&client.connect().await?.raise_event(request).await?)?;
    Ok(Exit::Done)
}
