//! Starts of fresh ids.

use super::{FUNCTION, refused};
use crate::{
    cli::{Error, bench::seat::Seat},
    proto::v1::StartSingletonRequest,
};

pub struct Start {
    prefix: String,
    payload: Option<String>,
}

impl Start {
    pub fn new(prefix: String, payload: Option<String>) -> Start {
        Start { prefix, payload }
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        seat.repeat(async |number| {
            let start = StartSingletonRequest::new(FUNCTION, seat.fresh_id(&self.prefix, number));
            let start = StartSingletonRequest { input: self.payload.clone(), ..start };
            stub.start_singleton(seat.request(start)).await.map_err(refused)?;
            Ok(())
        })
        .await
    }
}
