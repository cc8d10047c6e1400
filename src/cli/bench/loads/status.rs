//! Reads of the status.

use super::{instances, refused};
use crate::{
    cli::{
        Error,
        bench::{plan::Plan, seat::Seat},
    },
    client::Client,
    proto::v1::GetStatusRequest,
};

pub struct Status {
    ids: Vec<String>,
}

impl Status {
    pub async fn prepare(prefix: &str, plan: &Plan, client: &Client) -> Result<Status, Error> {
        Ok(Status { ids: instances::start(prefix, plan, client).await? })
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        // Each place begins with another one.
        let mut ids = self.ids.iter().cycle().skip(seat.number % self.ids.len());
        seat.repeat(async |_| {
            let instance_id = ids.next().cloned().unwrap_or_default();
            let request = seat.request(GetStatusRequest { instance_id, ..GetStatusRequest::default() });
            stub.get_status(request).await.map_err(refused)?;
            Ok(())
        })
        .await
    }
}
