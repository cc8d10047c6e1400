//! The program: what people type, and what becomes of it.

mod backup;
mod bench;
mod completions;
mod connect;
mod dev;
mod download;
mod error;
mod exit;
mod filter;
mod health;
mod history;
mod list;
mod live;
mod moment;
mod output;
mod payload;
mod purge;
mod raise;
mod restart;
mod restore;
mod resume;
mod samples;
mod serve;
mod signals;
mod start;
mod status;
#[cfg(test)]
mod stories;
mod suspend;
mod tag;
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
  0   done; with --wait: the execution completed
  1   error; with --wait: the execution did not complete; with health: not serving
  2   the command line or the server's configuration is wrong
  75  try again later: the id is taken (start and restart: ALREADY_EXISTS), or a limit
      is reached, such as that of the queue (RESOURCE_EXHAUSTED)

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
    /// Follow an instance, or many, live
    Watch(watch::Args),
    /// List instances
    List(list::Args),
    /// Show what happened in the latest execution
    History(history::Args),
    /// Deliver an external event to a live instance
    Raise(raise::Args),
    /// Hold a live instance: no events and no new attempt until it is resumed
    Suspend(suspend::Args),
    /// Let a suspended instance go on
    Resume(resume::Args),
    /// End a live instance, or withdraw a queued start
    Terminate(terminate::Args),
    /// Start an instance that has ended anew, with the same input and options
    Restart(restart::Args),
    /// Delete instances that have ended
    Purge(purge::Args),
    /// Ask whether the server is serving
    Health(health::Args),
    /// Print what a shell needs to complete command lines
    Completions(completions::Args),
    /// Copy a running server's store into a file
    Backup(backup::Args),
    /// Make a data folder from a backup
    Restore(restore::Args),
    /// Measure how fast a server is, beside a call that does nothing
    Bench(bench::Args),
    /// The server of a bench
    #[command(hide = true)]
    BenchServer(serve::Args),
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
        Command::List(args) => list::run(args, client, output).await,
        Command::History(args) => history::run(args, client, output).await,
        Command::Raise(args) => raise::run(args, client, output).await,
        Command::Suspend(args) => suspend::run(args, client, output).await,
        Command::Resume(args) => resume::run(args, client, output).await,
        Command::Terminate(args) => terminate::run(args, client, output).await,
        Command::Restart(args) => restart::run(args, client, output).await,
        Command::Purge(args) => purge::run(args, client, output).await,
        Command::Health(args) => health::run(args, client, output).await,
        Command::Completions(args) => completions::run(&args),
        Command::Backup(args) => backup::run(args, client, output).await,
        Command::Restore(args) => restore::run(args, output),
        Command::Bench(args) => bench::run(args, client, output).await,
        Command::BenchServer(args) => bench::serve(args).await,
    }
}

/// Servers use all cores; a client waits for one answer at a time.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::Dev(_) | Command::Serve(_) | Command::BenchServer(_) => Builder::new_multi_thread(),
        Command::Start(_)
        | Command::Status(_)
        | Command::Watch(_)
        | Command::List(_)
        | Command::History(_)
        | Command::Raise(_)
        | Command::Suspend(_)
        | Command::Resume(_)
        | Command::Terminate(_)
        | Command::Restart(_)
        | Command::Purge(_)
        | Command::Health(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Bench(_)
        | Command::Completions(_) => Builder::new_current_thread(),
    }
    .enable_all()
    .build()
}
