//! What the commands do with a server that follows a script.

mod calls;
mod script;
mod waits;
mod watches;

use clap::Parser;
use tonic::Status;

use self::script::{Part, Scene, Script};
use super::{Cli, ClientArgs, Error, Exit, Output, dispatch};
use crate::proto::v1::{InstanceStatus, RuntimeStatus, WatchStatusResponse};

fn status(execution_id: &str, runtime_status: RuntimeStatus, revision: u64) -> InstanceStatus {
    InstanceStatus {
        instance_id: "nightly".into(),
        execution_id: execution_id.into(),
        runtime_status: runtime_status.into(),
        revision,
        ..InstanceStatus::default()
    }
}

fn item(status: InstanceStatus) -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse { status: Some(Box::new(status)), ..WatchStatusResponse::default() })
}

/// Runs a client command as it is typed.
async fn run(line: &str, client: ClientArgs) -> Result<Exit, Error> {
    let command = Cli::try_parse_from(["soloist"].into_iter().chain(line.split(' '))).unwrap().command;
    dispatch(command, &client, &Output::new(false)).await
}
