//! `soloist restart`: starts an instance that has ended anew, and waits for its end if asked to.

use super::{ClientArgs, Error, Exit, Output, start};
use crate::proto::v1::{RestartInstanceRequest, RestartInstanceResponse, StartSingletonResponse};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Instance id
    id: String,
    /// Makes a retry safe: a restart with the same request id is not done again
    #[arg(long, value_name = "TEXT")]
    request_id: Option<String>,
    /// Restart only after this execution
    #[arg(long, value_name = "EXECUTION_ID")]
    expected_execution_id: Option<String>,
    /// Wait for the end of the execution, and exit with 0 only if it completed
    #[arg(long)]
    wait: bool,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let wait = args.wait;
    let connection = client.connect().await?;
    let RestartInstanceResponse { outcome, first_outcome, execution_id, status } =
        connection.restart_instance(args.request()).await?;
    // A restart is a start, and never one that waits in the queue.
    let answer = StartSingletonResponse { outcome, first_outcome, execution_id, queue_position: 0, status };
    start::finish(&connection, answer, wait, client.timeout, output).await
}

impl Args {
    pub(super) fn request(self) -> RestartInstanceRequest {
        RestartInstanceRequest {
            instance_id: self.id,
            request_id: self.request_id.unwrap_or_default(),
            expected_execution_id: self.expected_execution_id.unwrap_or_default(),
        }
    }
}
