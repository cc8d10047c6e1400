//! Orchestrations of the Durable Task protocol, by a worker inside of this program.

mod orchestrator;
mod worker;

use std::time::Instant;

use tokio::sync::mpsc;

use self::{
    orchestrator::Score,
    worker::{Told, Worker},
};
use super::refused;
use crate::{
    cli::{
        Error,
        bench::{load::Load, plan::Plan, round::WorkItems, seat::Seat},
    },
    proto::durable_task::{CreateInstanceRequest, task_hub_sidecar_service_client::TaskHubSidecarServiceClient},
};

/// Activities of `turns`, unless told otherwise, and of `fanout`.
const SEQUENCE: u32 = 3;
const FAN_OUT: u32 = 100;

pub struct DurableTask {
    pub load: Load,
    /// Ids begin with it, and it is the name of the orchestration and of its activities.
    prefix: String,
    payload: Option<String>,
    worker: Worker,
}

impl DurableTask {
    pub async fn prepare(load: Load, prefix: String, plan: &Plan, address: &str) -> Result<DurableTask, Error> {
        let score = match load {
            Load::Fanout => Score::FanOut(plan.activities.unwrap_or(FAN_OUT)),
            Load::Turns => Score::Sequence(plan.activities.unwrap_or(SEQUENCE)),
            Load::Eternal => Score::Eternal,
            _ => Score::Sequence(1),
        };
        let worker = Worker::start((&prefix, score), plan.connections(load), plan, address).await?;
        Ok(DurableTask { load, prefix, payload: plan.payload.clone(), worker })
    }

    /// What the worker has done so far.
    pub fn done(&self) -> WorkItems {
        self.worker.done()
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        if self.load == Load::Eternal {
            return self.go_on(&seat).await;
        }
        seat.repeat(async |number| {
            let mut told = self.start(&seat, &seat.fresh_id(&self.prefix, number)).await?;
            self.next(&mut told).await.map(drop)
        })
        .await
    }

    /// One orchestration that goes on as new until the round is over.
    async fn go_on(&self, seat: &Seat) -> Result<(), Error> {
        let id = seat.fresh_id(&self.prefix, 0);
        let mut told = self.start(seat, &id).await?;
        seat.ready();
        let mut begun = Instant::now();
        while self.next(&mut told).await? == Told::WentOn {
            seat.note(begun);
            begun = Instant::now();
            if seat.is_over() {
                self.worker.let_end(&id);
            }
        }
        Ok(())
    }

    async fn start(&self, seat: &Seat, id: &str) -> Result<mpsc::UnboundedReceiver<Told>, Error> {
        let told = self.worker.listen(id)?;
        let (instance_id, name, input) = (id.to_owned(), self.prefix.clone(), self.payload.clone());
        let start = CreateInstanceRequest { instance_id, name, input, ..CreateInstanceRequest::default() };
        let mut stub = TaskHubSidecarServiceClient::new(seat.channel());
        stub.start_instance(seat.request(start)).await.map_err(refused)?;
        Ok(told)
    }

    async fn next(&self, told: &mut mpsc::UnboundedReceiver<Told>) -> Result<Told, Error> {
        told.recv().await.ok_or_else(|| self.worker.why_it_ended())
    }
}
