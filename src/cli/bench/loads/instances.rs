//! Instances that are there before a load begins.

use anyhow::Context;
use tokio::task::JoinSet;

use super::FUNCTION;
use crate::{
    cli::{Error, bench::plan::Plan},
    client::Client,
    proto::v1::StartSingletonRequest,
};

/// Starts under way at a time.
const IN_FLIGHT: u32 = 256;

/// Starts `--instances` of them and answers their ids.
pub async fn start(prefix: &str, plan: &Plan, client: &Client) -> Result<Vec<String>, Error> {
    let id = |number| format!("{prefix}-{number:x}");
    let mut shares = JoinSet::new();
    for share in 0..IN_FLIGHT.min(plan.instances) {
        let numbers = (share..plan.instances).step_by(IN_FLIGHT as usize);
        let ids: Vec<String> = numbers.map(id).collect();
        let (client, payload) = (client.clone(), plan.payload.clone());
        shares.spawn(async move {
            for id in ids {
                let start =
                    StartSingletonRequest { input: payload.clone(), ..StartSingletonRequest::new(FUNCTION, id) };
                client.start_singleton(start).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = shares.join_next().await {
        ended.context("the starts have panicked")??;
    }
    Ok((0..plan.instances).map(id).collect())
}
