//! The program: what people type, and what becomes of it.

mod connect;
mod dev;
mod error;
mod exit;
mod follow;
mod health;
mod output;
mod payload;
mod raise;
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
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Cli { command, client } = Cli::parse();
    let output = Output::new(client.json);
    let exit = match dispatch(command, &client, &output) {
        Ok(exit) => exit,
        Err(error) => output.error(&error),
    };
    exit.into()
}

fn dispatch(command: Command, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    match command {
        Command::Dev(args) => many_threads()?.block_on(dev::run(args)),
        Command::Serve(args) => many_threads()?.block_on(serve::run(args)),
        Command::Start(args) => one_thread()?.block_on(start::run(args, client, output)),
        Command::Status(args) => one_thread()?.block_on(status::run(args, client, output)),
        Command::Watch(args) => one_thread()?.block_on(watch::run(args, client, output)),
        Command::Raise(args) => one_thread()?.block_on(raise::run(args, client, output)),
        Command::Terminate(args) => one_thread()?.block_on(terminate::run(args, client, output)),
        Command::Health(args) => one_thread()?.block_on(health::run(args, client, output)),
    }
}

fn many_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
