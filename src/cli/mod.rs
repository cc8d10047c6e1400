//! The program: what people type, and what becomes of it.

mod backup;
mod connect;
mod dev;
mod download;
mod error;
mod exit;
mod health;
mod output;
mod payload;
mod raise;
mod restore;
mod samples;
mod serve;
mod signals;
mod start;
mod status;
#[cfg(test)]
mod stories;
mod terminate;
#[cfg(test)]
mod tests;
mod watch;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use self::{connect::ClientArgs, error::Error, exit::Exit, output::Output};

const EXIT_CODES: &str = "\
Exit codes:
  0   done; with start --wait: the execution completed
  1   error; with start --wait: the execution did not complete; with health: not serving
  2   the command line or the server's configuration is wrong
  75  start only: the id is taken (ALREADY_EXISTS); try again later

Data goes to stdout, everything for people to stderr. Colours only on a terminal, and never with NO_COLOR.";

/// A gRPC server for singleton orchestrations, and its client.
#[derive(Debug, Parser)]
#[command(name = "soloist", version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server with sample functions, to try things out
    Dev(serve::Args),
    /// Run the server
    Serve(serve::Args),
    /// Start a singleton: at most one live execution per id
    Start(start::Args),
    /// Show the status of an instance
    Status(status::Args),
    /// Follow an instance live
    Watch(watch::Args),
    /// Deliver an external event to a live instance
    Raise(raise::Args),
    /// End a live instance
    Terminate(terminate::Args),
    /// Ask whether the server is serving
    Health(health::Args),
    /// Copy a running server's store into a file
    Backup(backup::Args),
    /// Make a data folder from a backup
    Restore(restore::Args),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Cli { command, client } = Cli::parse();
    let output = Output::new(client.json);
    let done = runtime(&command).map_err(Error::from).and_then(|runtime| {
        let done = runtime.block_on(dispatch(command, &client, &output));
        // A read that hangs on a bad disk must not keep a server that has failed from saying so by its exit code.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|error| output.error(&error)).into()
}

async fn dispatch(command: Command, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Start(args) => start::run(args, client, output).await,
        Command::Status(args) => status::run(args, client, output).await,
        Command::Watch(args) => watch::run(args, client, output).await,
        Command::Raise(args) => raise::run(args, client, output).await,
        Command::Terminate(args) => terminate::run(args, client, output).await,
        Command::Health(args) => health::run(args, client, output).await,
        Command::Backup(args) => backup::run(args, client, output).await,
        Command::Restore(args) => restore::run(args, output),
    }
}

/// Servers use all cores; a client waits for one answer at a time.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::Dev(_) | Command::Serve(_) => Builder::new_multi_thread(),
        Command::Start(_)
        | Command::Status(_)
        | Command::Watch(_)
        | Command::Raise(_)
        | Command::Terminate(_)
        | Command::Health(_)
        | Command::Backup(_)
        | Command::Restore(_) => Builder::new_current_thread(),
    }
    .enable_all()
    .build()
}
