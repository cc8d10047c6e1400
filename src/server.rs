//! Stand-in for the server, so that the program compiles without it.

use std::{future::Future, net::SocketAddr};

use tokio::sync::oneshot;

use crate::config::Config;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this build has no server")]
    Absent,
}

pub async fn run(
    _config: Config,
    _shutdown: impl Future<Output = ()>,
    _ready: oneshot::Sender<SocketAddr>,
) -> Result<(), ServeError> {
    Err(ServeError::Absent)
}
