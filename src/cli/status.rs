//! `soloist status`: what is known about an instance.

use super::{
    connect::{ClientArgs, Connection},
    error::Error,
    exit::Exit,
    output::Output,
};
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
    let mut connection = Connection::open(client).await?;
    let request = GetStatusRequest { instance_id: args.id, include_payloads: args.payloads };
    let answer = connection.status(request).await?;
    output.status(&answer.status.unwrap_or_default())?;
    Ok(Exit::Done)
}
