//! `soloist bench`: how fast a server is, beside a call that does nothing.

mod compare;
mod folder;
mod lanes;
mod load;
mod loads;
mod plan;
mod process;
mod progress;
pub mod report;
mod round;
mod seat;
mod server;
mod target;

use std::path::PathBuf;

use self::{
    compare::Comparison, loads::Prepared, plan::Plan, process::Process, progress::Progress, report::Report,
    target::Target,
};
pub use self::{plan::Args, server::run as serve};
use super::{ClientArgs, Error, Exit, Output, signals::Signals};

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let plan = Plan::new(&args, client)?;
    let mut signals = Signals::listen()?;
    // Not the system's way to end, which would leave the server and its data behind.
    tokio::select! {
        measured = measure(&args, &plan) => output.benched(&measured?)?,
        name = signals.next() => return Err(Error::Other(anyhow::anyhow!("{name}: the bench was stopped"))),
    }
    Ok(Exit::Done)
}

async fn measure(args: &Args, plan: &Plan) -> Result<Report, Error> {
    let target = Target::of(args, plan).await?;
    let mut progress = Progress::new(plan);
    let load = Prepared::new(plan.load, "a", plan, &target).await?;
    let reference = match plan.compare {
        Some(reference) => Some(Prepared::new(reference, "b", plan, &target).await?),
        None => None,
    };
    let (mut rounds, mut references) = (Vec::new(), Vec::new());
    for number in 1..=plan.rounds {
        rounds.push(round::measure(&load, number, plan, &target, &mut progress).await?);
        if let Some(reference) = &reference {
            references.push(round::measure(reference, number, plan, &target, &mut progress).await?);
        }
    }
    let comparison = plan.compare.map(|load| Comparison::new(load, &rounds, references));
    Ok(Report { plan: plan.clone(), server: target.description(), rounds, comparison })
}

/// What is told apart from the rounds: where the figures come from.
#[derive(Clone, Debug)]
pub struct Server {
    pub address: String,
    /// Whether the bench has started it.
    pub started: bool,
    /// Where it runs on this machine.
    pub process: Option<Process>,
}

/// A folder that is no folder is told before anything is started.
fn folder_of(args: &Args) -> Result<PathBuf, Error> {
    let folder = args.folder();
    if folder.is_dir() {
        Ok(folder.to_path_buf())
    } else {
        Err(Error::Usage(format!("--folder {} is not there, or no folder", folder.display())))
    }
}
