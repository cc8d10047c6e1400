//! Starts to their completion, by a worker inside of this program.

use anyhow::anyhow;

use super::{crew::Crew, refused};
use crate::{
    cli::{
        Error,
        bench::{plan::Plan, seat::Seat},
    },
    proto::v1::{RuntimeStatus, StartSingletonRequest},
};

pub struct Runs {
    /// Ids begin with it, and it is the function's name.
    prefix: String,
    payload: Option<String>,
    crew: Crew,
}

impl Runs {
    pub async fn prepare(prefix: String, plan: &Plan, address: &str) -> Result<Runs, Error> {
        let crew = Crew::start(&prefix, plan, address).await?;
        Ok(Runs { prefix, payload: plan.payload.clone(), crew })
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        seat.repeat(async |number| {
            let id = seat.fresh_id(&self.prefix, number);
            let end = self.crew.end_of(&id)?;
            let start = StartSingletonRequest::new(&self.prefix, id);
            let start = StartSingletonRequest { input: self.payload.clone(), ..start };
            stub.start_singleton(seat.request(start)).await.map_err(refused)?;
            match end.await {
                Ok(RuntimeStatus::Completed) => Ok(()),
                Ok(status) => Err(Error::Other(anyhow!("a run has ended {}", status.as_str_name()))),
                Err(_) => Err(self.crew.why_it_ended()),
            }
        })
        .await
    }
}
