//! Starts of one id that is taken.

use tonic::Code;

use super::{FUNCTION, refused};
use crate::{
    cli::{Error, bench::seat::Seat},
    client::Client,
    proto::v1::StartSingletonRequest,
};

pub struct Contend {
    start: Box<StartSingletonRequest>,
}

impl Contend {
    pub async fn prepare(id: String, payload: Option<String>, client: &Client) -> Result<Contend, Error> {
        let start = StartSingletonRequest { input: payload, ..StartSingletonRequest::new(FUNCTION, id) };
        client.start_singleton(start.clone()).await?;
        Ok(Contend { start: Box::new(start) })
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        seat.repeat(async |_| {
            match stub.start_singleton(seat.request(StartSingletonRequest::clone(&self.start))).await {
                Err(status) if status.code() == Code::AlreadyExists => Ok(()),
                Err(status) => Err(refused(status)),
                Ok(_) => Err(Error::Other(anyhow::anyhow!("an id that was taken was started once more"))),
            }
        })
        .await
    }
}
