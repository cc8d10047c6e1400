//! `soloist.bench.v1.EchoService`: what a call costs that does nothing.

use tonic::{Request, Response, Status, async_trait};

use crate::proto::bench::{EchoRequest, EchoResponse, echo_service_server::EchoService};

pub struct Echo;

#[async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        Ok(Response::new(EchoResponse { payload: request.into_inner().payload }))
    }
}
