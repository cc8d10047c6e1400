//! `soloist status`: what is known about an instance.

use super::{ClientArgs, Error, Exit, Output};
use crate::proto::v1::GetStatusRequest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Show input, output and custom status too
    #[arg(long)]
    payloads: bool,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let request = GetStatusRequest { instance_id: args.id, include_payloads: args.payloads, ..Default::default() };
    output.status(&client.connect().await?.get_status(request).await?)?;
    Ok(Exit::Done)
}
