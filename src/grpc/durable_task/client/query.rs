//! Lists of instances and of ids, page by page, in the order of arrival.

use futures_util::{StreamExt, stream};
use prost::Message;
use tonic::Status;

use super::status::is_absence;
use crate::{
    core::{
        filter::Filter,
        ids::{Arrival, TaskHub},
        status::View,
    },
    engine::Page,
    grpc::{
        Door, RESPONSE_PAYLOAD_BYTES_MAX,
        durable_task::convert::{self, Listed},
    },
    proto::durable_task as pb,
};

/// Instances of one page whose payloads are read at a time.
const READS_UNDER_WAY: usize = 4;
/// The bytes that a state has in a message beyond its own: its field and its length.
const STATE_OVERHEAD_BYTES: usize = 8;

pub async fn query(
    door: &Door,
    hub: &TaskHub,
    request: pb::QueryInstancesRequest,
) -> Result<pb::QueryInstancesResponse, Status> {
    let query = request.query.unwrap_or_default();
    let listed = convert::query(hub, &query)?;
    let (states, next) = match (&listed.filter, page(door, &listed).await?) {
        (Some(filter), Some(page)) if query.fetch_inputs_and_outputs => with_payloads(door, filter, page).await?,
        (_, Some(Found { shown, next })) => {
            (shown.into_iter().map(|(_, view)| convert::state(&view, None)).collect(), next)
        }
        (_, None) => (Vec::new(), None),
    };
    Ok(pb::QueryInstancesResponse { orchestration_state: states, continuation_token: listed.next(next) })
}

/// The ids of those that have ended.
pub async fn list_ended(
    door: &Door,
    hub: &TaskHub,
    request: pb::ListInstanceIdsRequest,
) -> Result<pb::ListInstanceIdsResponse, Status> {
    let listed = convert::ended(hub, &request)?;
    let Some((Found { shown, next }, filter)) = page(door, &listed).await?.zip(listed.filter) else {
        return Ok(pb::ListInstanceIdsResponse::default());
    };
    let instance_ids: Vec<String> = shown.into_iter().map(|(_, view)| view.key.id().into()).collect();
    let last = instance_ids.last().map_or("", String::as_str);
    let last_instance_key = next.map(|after| convert::ended_key(&filter, after, last));
    Ok(pb::ListInstanceIdsResponse { instance_ids, last_instance_key })
}

/// The instances of one page, each with where it stands.
struct Found {
    shown: Vec<(Arrival, View)>,
    /// Where the next page begins; nothing if this is the last.
    next: Option<Arrival>,
}

/// One page. One instance more is looked for: clients take a token for word that more follows.
async fn page(door: &Door, listed: &Listed) -> Result<Option<Found>, Status> {
    let Some(filter) = listed.filter.clone() else { return Ok(None) };
    let Page { views, arrivals, mut next } = door.engine.list(filter, listed.after, listed.limit + 1).await?;
    let mut shown: Vec<(Arrival, View)> = arrivals.into_iter().zip(views).collect();
    if shown.len() > listed.limit {
        shown.truncate(listed.limit);
        next = shown.last().map(|(arrival, _)| *arrival);
    }
    Ok(Some(Found { shown, next }))
}

/// The same instances with their payloads, as many as a message has room for.
async fn with_payloads(
    door: &Door,
    filter: &Filter,
    page: Found,
) -> Result<(Vec<pb::OrchestrationState>, Option<Arrival>), Status> {
    let Found { shown, next } = page;
    let reads = shown.into_iter().map(|(arrival, view)| async move {
        let seen = door.engine.status(&view.key, None, true).await;
        (arrival, seen)
    });
    let mut reads = stream::iter(reads).buffered(READS_UNDER_WAY);
    let (mut states, mut bytes, mut through) = (Vec::new(), 0, None);
    while let Some((arrival, seen)) = reads.next().await {
        let state = match seen {
            // It may have changed since the page was read.
            Ok(seen) if filter.means(&seen.status.view.execution) => {
                Some(convert::state(&seen.status.view, Some(seen.payloads)))
            }
            Ok(_) => None,
            Err(refusal) if is_absence(&refusal) => None,
            Err(refusal) => return Err(refusal.into()),
        };
        if let Some(state) = state {
            bytes += state.encoded_len() + STATE_OVERHEAD_BYTES;
            if bytes > RESPONSE_PAYLOAD_BYTES_MAX && !states.is_empty() {
                return Ok((states, through));
            }
            states.push(state);
        }
        through = Some(arrival);
    }
    Ok((states, next))
}
