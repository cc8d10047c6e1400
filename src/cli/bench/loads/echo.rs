//! A call that does nothing.

use super::refused;
use crate::{
    cli::{Error, bench::seat::Seat},
    proto::bench::{EchoRequest, echo_service_client::EchoServiceClient},
};

pub struct Echo {
    payload: String,
}

impl Echo {
    pub fn new(payload: Option<String>) -> Echo {
        Echo { payload: payload.unwrap_or_default() }
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = EchoServiceClient::new(seat.channel());
        seat.repeat(async |_| {
            let request = seat.request(EchoRequest { payload: self.payload.clone() });
            stub.echo(request).await.map_err(refused)?;
            Ok(())
        })
        .await
    }
}
