//! `soloist health`: whether the server, or one of its services, is serving.

use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{ClientArgs, Error, Exit, Output, connect};
use crate::client;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Service to ask for, such as soloist.v1.OrchestrationService; the whole server if absent
    #[arg(default_value = "", hide_default_value = true)]
    service: String,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let mut health = HealthClient::new(client.connect().await?.channel());
    let request = HealthCheckRequest { service: args.service.clone() };
    let asked = async { Ok(health.check(request).await.map_err(client::Error::from)?.into_inner()) };
    let answer = connect::within(Some(client.timeout_of_call()), asked).await?;
    output.health(&args.service, answer.status())?;
    Ok(if answer.status() == ServingStatus::Serving { Exit::Done } else { Exit::Failed })
}
