//! `soloist serve`: the server, until a signal ends it.

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, pin::pin, time::Duration};

use anyhow::Context;
use tokio::{sync::oneshot, time};
use tracing::{info, warn};

use super::{Error, Exit, output, signals::Signals};
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
    /// Serve the echo that `soloist bench` compares with
    #[arg(long, hide = true)]
    bench_echo: bool,
}

/// How long what runs beside the server may take to stop.
const BESIDE_GRACE: Duration = Duration::from_secs(5);

/// Tells what runs beside the server to stop.
pub type Stop = oneshot::Receiver<Infallible>;

pub async fn run(args: Args) -> Result<Exit, Error> {
    let config = configure(&args)?;
    if args.print_config {
        output::write(&config.to_toml())?;
        return Ok(Exit::Done);
    }
    until_stopped(config, async |_, stop| {
        stopped(stop).await;
        Ok(())
    })
    .await
}

/// The configuration that the flags, the variables and the file give.
pub fn configure(args: &Args) -> Result<Config, Error> {
    let path = args.config.as_deref();
    let file = path.map(Settings::from_file).transpose()?;
    let settings = args.settings.clone().over(file.unwrap_or_default());
    Ok(Config { bench_echo: args.bench_echo, ..Config::from_settings(settings, path)? })
}

/// Serves until it is drained after a signal, or fails. `beside` runs with it from when the server is ready until it
/// is told to stop, which comes before the drain, so that it can still say good-bye to the server.
pub async fn until_stopped<F>(config: Config, beside: impl FnOnce(SocketAddr, Stop) -> F) -> Result<Exit, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    telemetry::install(&config.log).context("the log can't be opened")?;
    warn_if_open(config.listen);

    let data_dir = config.data_dir.clone();
    let mut signals = Signals::listen().context("signals can't be received")?;
    let (drain, is_draining) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel();
    let shutdown = async {
        let _ = is_draining.await;
    };
    let mut serving = pin!(server::run(config, shutdown, ready));

    let (stop_beside, mut stop) = oneshot::channel();
    let mut beside = pin!(async {
        let address = tokio::select! {
            Ok(address) = is_ready => address,
            // Without an address the server has failed, and says so itself.
            _ = &mut stop => return Ok(()),
        };
        info!(%address, data_dir = %data_dir.display(), "ready");
        beside(address, stop).await
    });

    let name = tokio::select! {
        served = &mut serving => return ended(served),
        failed = &mut beside => return failed.map(|()| Exit::Done),
        name = signals.next() => name,
    };
    info!("{name}: draining; a second signal ends at once");
    drop(stop_beside);
    let drained = async {
        tokio::select! {
            served = &mut serving => return served,
            _ = time::timeout(BESIDE_GRACE, beside) => {}
        }
        // The server is gone already if it can't be told.
        let _ = drain.send(());
        serving.await
    };
    tokio::select! {
        served = drained => ended(served),
        name = signals.next() => {
            warn!("{name}: ending at once");
            std::process::exit(Exit::Failed.code().into())
        }
    }
}

/// Waits until it is told to stop: nothing is ever sent, the other end goes.
pub async fn stopped(stop: Stop) {
    let _ = stop.await;
}

fn ended(served: Result<(), server::ServeError>) -> Result<Exit, Error> {
    served.map_err(anyhow::Error::new)?;
    info!("ended");
    Ok(Exit::Done)
}

fn warn_if_open(listen: SocketAddr) {
    if !listen.ip().is_loopback() {
        warn!(%listen, "reachable from other machines, without authentication and encryption: use a mesh or a proxy");
    }
}
