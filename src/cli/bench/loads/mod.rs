//! What each load does. All that must be there before it begins is made once; its rounds share it.

mod contend;
mod crew;
mod disk;
mod durable_task;
mod echo;
mod http;
mod instances;
mod list;
mod runs;
mod start;
mod status;
mod watch;

use std::{sync::Arc, time::UNIX_EPOCH};

use self::{
    contend::Contend, disk::Disk, durable_task::DurableTask, echo::Echo, http::Http, list::List, runs::Runs,
    start::Start, status::Status, watch::Watch,
};
use super::{load::Load, plan::Plan, round::WorkItems, seat::Seat, target::Target};
use crate::{
    cli::Error,
    client::{self, Client},
    clock,
};

/// The function of the instances that are started: no worker has it.
const FUNCTION: &str = "bench";

/// A load that can begin.
pub enum Prepared {
    Echo(Echo),
    Start(Start),
    Contend(Contend),
    Status(Status),
    Watch(Watch),
    Runs(Runs),
    List(List),
    Http(Http),
    DurableTask(DurableTask),
    Disk(Disk),
}

impl Prepared {
    /// `role` keeps the ids of two loads apart that are compared.
    pub async fn new(load: Load, role: &str, plan: &Plan, target: &Target) -> Result<Arc<Prepared>, Error> {
        let since_epoch = clock::wall_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let prefix = format!("bench-{:x}{role}", since_epoch.as_micros());
        let payload = plan.payload.clone();
        let client = || Client::builder(target.address()).hub(&plan.hub).timeout(plan.patience).connect();
        Ok(Arc::new(match load {
            Load::Echo => Prepared::Echo(Echo::new(payload)),
            Load::Start => Prepared::Start(Start::new(prefix, payload)),
            Load::Contend => Prepared::Contend(Contend::prepare(prefix, payload, &client().await?).await?),
            Load::Status => Prepared::Status(Status::prepare(&prefix, plan, &client().await?).await?),
            Load::Watch => Prepared::Watch(Watch::prepare(prefix, plan.in_flight(load), &client().await?).await?),
            Load::Runs => Prepared::Runs(Runs::prepare(prefix, plan, target.address()).await?),
            Load::List => Prepared::List(List::prepare(&prefix, plan, &client().await?).await?),
            Load::Http => Prepared::Http(Http::new(target.address(), &plan.hub, prefix, payload)),
            Load::Activity | Load::Turns | Load::Fanout | Load::Eternal => {
                Prepared::DurableTask(DurableTask::prepare(load, prefix, plan, target.address()).await?)
            }
            Load::Disk => Prepared::Disk(Disk::new(target.folder())),
        }))
    }

    pub fn load(&self) -> Load {
        match self {
            Prepared::Echo(_) => Load::Echo,
            Prepared::Start(_) => Load::Start,
            Prepared::Contend(_) => Load::Contend,
            Prepared::Status(_) => Load::Status,
            Prepared::Watch(_) => Load::Watch,
            Prepared::Runs(_) => Load::Runs,
            Prepared::List(_) => Load::List,
            Prepared::Http(_) => Load::Http,
            Prepared::DurableTask(durable_task) => durable_task.load,
            Prepared::Disk(_) => Load::Disk,
        }
    }

    /// What its worker has done so far, of those that have turns.
    pub fn work_items(&self) -> Option<WorkItems> {
        match self {
            Prepared::DurableTask(durable_task) => Some(durable_task.done()),
            _ => None,
        }
    }

    /// Keeps a place busy until the round is over.
    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        match self {
            Prepared::Echo(echo) => echo.keep_busy(seat).await,
            Prepared::Start(start) => start.keep_busy(seat).await,
            Prepared::Contend(contend) => contend.keep_busy(seat).await,
            Prepared::Status(status) => status.keep_busy(seat).await,
            Prepared::Watch(watch) => watch.keep_busy(seat).await,
            Prepared::Runs(runs) => runs.keep_busy(seat).await,
            Prepared::List(list) => list.keep_busy(seat).await,
            Prepared::Http(http) => http.keep_busy(seat).await,
            Prepared::DurableTask(durable_task) => durable_task.keep_busy(seat).await,
            Prepared::Disk(disk) => disk.keep_busy(seat).await,
        }
    }
}

/// What the server said no with.
fn refused(status: tonic::Status) -> Error {
    client::Error::from(status).into()
}
