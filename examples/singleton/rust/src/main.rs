//! The singleton sample: an HTTP front, a worker and a watch.

mod front;
mod watch;
mod worker;

use std::{env, error::Error, process::ExitCode};

use soloist::client::Client;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let server = setting("SOLOIST_SERVER", "http://localhost:4001").trim_end_matches('/').to_owned();
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["front"] => {
            let port = setting("FRONT_PORT", "7071").parse()?;
            tokio::select! {
                served = front::serve(Client::connect_lazy(&server)?, server, port) => served?,
                () = told_to_end() => {}
            }
        }
        ["worker"] => worker::work(&server, told_to_end()).await?,
        ["watch", instance_id] => {
            tokio::select! {
                watched = watch::watch(Client::connect_lazy(&server)?, instance_id) => watched?,
                () = told_to_end() => {}
            }
        }
        _ => return Err("usage: singleton front | worker | watch INSTANCE-ID".into()),
    }
    Ok(())
}

fn setting(name: &str, otherwise: &str) -> String {
    env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

async fn told_to_end() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
