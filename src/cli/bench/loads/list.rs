//! Pages of a list, one after the other; after the last one the first again.

use std::time::Instant;

use super::{instances, refused};
use crate::{
    cli::{
        Error,
        bench::{plan::Plan, seat::Seat},
    },
    client::Client,
    proto::v1::ListInstancesRequest,
};

pub struct List {
    page_size: u32,
}

impl List {
    pub async fn prepare(prefix: &str, plan: &Plan, client: &Client) -> Result<List, Error> {
        instances::start(prefix, plan, client).await?;
        Ok(List { page_size: plan.page_size })
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        let mut page_token = String::new();
        seat.ready();
        while !seat.is_over() {
            let begun = Instant::now();
            let list = ListInstancesRequest { page_size: self.page_size, page_token, filter: None };
            let page = stub.list_instances(seat.request(list)).await.map_err(refused)?.into_inner();
            seat.note(begun);
            page_token = page.next_page_token;
        }
        Ok(())
    }
}
