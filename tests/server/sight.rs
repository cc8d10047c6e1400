//! Seeing many: lists, purges of many, histories, and watches of many instances on one stream.

mod history;
mod lists;
mod many;
mod purges;
mod words;

use std::collections::BTreeSet;

use soloist::proto::v1;

use crate::support::{Client, RawWorker, start};

/// Every page of a list, one after the other.
async fn list(client: &mut Client, filter: v1::InstanceFilter, page_size: u32) -> Vec<v1::InstanceStatus> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListInstancesRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = client.list_instances(request).await.expect("a page").into_inner();
        assert!(page.instances.len() <= page_size as usize);
        found.extend(page.instances);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// The ids that a filter means; none comes twice.
async fn ids(client: &mut Client, filter: v1::InstanceFilter) -> BTreeSet<String> {
    let found = list(client, filter, 1_000).await;
    let ids: BTreeSet<String> = found.iter().map(|status| status.instance_id.clone()).collect();
    assert_eq!(ids.len(), found.len(), "none comes twice");
    ids
}

fn named(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).into()).collect()
}

/// Starts `f` as `id` and ends it.
async fn completed(client: &mut Client, worker: &mut RawWorker, id: &str) -> v1::InstanceStatus {
    client.start_singleton(start("f", id)).await.expect("it is free");
    let run = worker.take().await;
    worker.complete(&run, "out").await;
    crate::support::status(client, id).await
}

async fn terminate(client: &mut Client, id: &str) {
    let request =
        v1::TerminateInstanceRequest { instance_id: id.into(), reason: "enough".into(), ..Default::default() };
    client.terminate_instance(request).await.expect("it is live");
}
