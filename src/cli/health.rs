//! `soloist health`: whether the server, or one of its services, is serving.

use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{
    connect::{ClientArgs, Connection},
    error::Error,
    exit::Exit,
    output::Output,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Service to ask for, such as soloist.v1.OrchestrationService; the whole server if absent
    #[arg(default_value = "", hide_default_value = true)]
    service: String,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let mut connection = Connection::open(client).await?;
    let answer = connection.health(HealthCheckRequest { service: args.service.clone() }).await?;
    output.health(&args.service, answer.status())?;
    Ok(if answer.status() == ServingStatus::Serving { Exit::Done } else { Exit::Failed })
}
