//! `soloist serve`: the server, until a signal ends it.

use std::{future, net::SocketAddr, path::PathBuf, pin::pin};

use anyhow::Context;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{error::Error, exit::Exit, output, signals::Signals};
use crate::{
    config::{Config, Settings},
    server, telemetry,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server options")]
pub struct Args {
    /// Configuration file: TOML, the flags' names are its keys. Variables win over it, flags over both
    #[arg(long, env = "SOLOIST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Print the effective configuration as a configuration file, and exit
    #[arg(long)]
    pub print_config: bool,
}

pub async fn run(args: Args) -> Result<Exit, Error> {
    let config = configure(&args)?;
    if args.print_config {
        output::write(&config.to_toml())?;
        return Ok(Exit::Done);
    }
    until_stopped(config, |_| future::pending()).await
}

/// The configuration that the flags, the variables and the file give.
pub fn configure(args: &Args) -> Result<Config, Error> {
    let path = args.config.as_deref();
    let file = path.map(Settings::from_file).transpose()?;
    let settings = args.settings.clone().over(file.unwrap_or_default());
    Ok(Config::from_settings(settings, path)?)
}

/// Serves until it is drained after a signal, or fails. `beside` runs with it from when
/// the server is ready.
pub async fn until_stopped<F>(config: Config, beside: impl FnOnce(SocketAddr) -> F) -> Result<Exit, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    telemetry::install(&config.log).context("the log can't be opened")?;
    warn_if_open(config.listen);

    let data_dir = config.data_dir.clone();
    let mut signals = Signals::listen().context("signals can't be received")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let mut serving = pin!(server::run(config, shutdown, ready));
    let mut beside = pin!(async {
        // Without an answer the server has failed; it says so itself.
        let Ok(address) = is_ready.await else { return future::pending().await };
        info!(%address, data_dir = %data_dir.display(), "ready");
        beside(address).await
    });

    let name = tokio::select! {
        served = &mut serving => return ended(served),
        failed = &mut beside => return failed.map(|()| Exit::Done),
        name = signals.next() => name,
    };
    info!("{name}: draining; a second signal ends at once");
    // The server is gone already if it can't be told.
    let _ = stop.send(());
    tokio::select! {
        served = &mut serving => ended(served),
        () = go_on(beside) => Ok(Exit::Done),
        name = signals.next() => {
            warn!("{name}: ending at once");
            std::process::exit(Exit::Failed.code().into())
        }
    }
}

/// Lets what ran beside the server run through the drain; whether it ends then does not matter.
async fn go_on(beside: impl Future) {
    beside.await;
    future::pending().await
}

fn ended(served: Result<(), server::ServeError>) -> Result<Exit, Error> {
    served.context("the server ended")?;
    info!("ended");
    Ok(Exit::Done)
}

fn warn_if_open(listen: SocketAddr) {
    if !listen.ip().is_loopback() {
        warn!(%listen, "reachable from other machines, without authentication and encryption: use a mesh or a proxy");
    }
}
