//! PurgeInstances: one, those that are named, or those that are meant.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use tonic::Status;

use super::status::is_absence;
use crate::{
    core::{
        ids::{Arrival, TaskHub},
        limits,
        rejection::Rejection,
    },
    engine::Refusal,
    grpc::{
        Door,
        convert::Violations,
        durable_task::convert::{self, Ended, Target},
    },
    proto::durable_task::{self as pb, purge_instances_request::Request as Which},
};

/// What was deleted, and whether that was all.
struct Purged {
    count: u32,
    is_complete: bool,
}

pub async fn purge(
    door: &Door,
    hub: &TaskHub,
    request: pb::PurgeInstancesRequest,
) -> Result<pb::PurgeInstancesResponse, Status> {
    let Purged { count, is_complete } = match request.request {
        Some(Which::InstanceId(id)) => named(door, [convert::instance(hub, &id)?], request.recursive).await?,
        Some(Which::InstanceBatch(batch)) => named(door, convert::batch(hub, Some(batch))?, request.recursive).await?,
        Some(Which::PurgeInstanceFilter(filter)) => {
            meant(door, convert::purge(hub, &filter)?, request.recursive).await?
        }
        None => {
            let mut wrong = Violations::default();
            wrong.add("request", "must be instanceId, purgeInstanceFilter or instanceBatch", "");
            return wrong.finish(None);
        }
    };
    let deleted_instance_count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(pb::PurgeInstancesResponse { deleted_instance_count, is_complete: Some(is_complete) })
}

/// What is live or not there is left alone.
async fn named(door: &Door, targets: impl IntoIterator<Item = Target>, recursive: bool) -> Result<Purged, Status> {
    let mut count = 0;
    for target in targets {
        let Some(key) = target.key() else { continue };
        if recursive {
            count += door.engine.purge_family(key).await?;
            continue;
        }
        match door.engine.purge(key, None).await {
            Ok(()) => count += 1,
            Err(refusal) if is_live(&refusal) || is_absence(&refusal) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Purged { count, is_complete: true })
}

async fn meant(door: &Door, Ended { filter, timeout }: Ended, recursive: bool) -> Result<Purged, Status> {
    let mut count: u32 = 0;
    let Some(filter) = filter else { return Ok(Purged { count, is_complete: true }) };
    let mut over = pin!(tokio::time::sleep(timeout.unwrap_or(Duration::MAX)));
    let mut next = Some(Arrival(0));
    while let Some(after) = next {
        if (&mut over).now_or_never().is_some() || door.drain.is_cancelled() {
            return Ok(Purged { count, is_complete: false });
        }
        if recursive {
            let page = door.engine.list(filter.clone(), after, limits::PAGE_MAX).await?;
            for view in page.views {
                count = count.saturating_add(door.engine.purge_family(&view.key).await?);
            }
            next = page.next;
        } else {
            let swept = door.engine.purge_many(filter.clone(), after, limits::PAGE_MAX).await?;
            count = count.saturating_add(swept.purged);
            next = swept.next;
        }
    }
    Ok(Purged { count, is_complete: true })
}

fn is_live(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Rejected(rejection) if matches!(**rejection, Rejection::StillLive(_)))
}
