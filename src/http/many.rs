//! Many instances: listed page by page, or deleted.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use prost_types::Timestamp;

use super::{
    Asked, Face, Problem, asked,
    control::purged,
    json,
    shown::{Shown, named},
};
use crate::proto::v1::{self, InstanceFilter, orchestration_service_server::OrchestrationService};

/// Where a list goes on.
const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation-token");

/// Statuses that Durable Functions knows and no instance here ever has.
const NEVER: [&str; 2] = ["Canceled", "ContinuedAsNew"];

pub async fn list(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    let page_token = asked::header(&asked.headers, CONTINUATION.as_str())?;
    let page_size = asked.query.number("top")?.unwrap_or_default();
    let Some(filter) = filter(&asked)? else { return Ok(page(Vec::new(), String::new())) };
    let request = v1::ListInstancesRequest { filter: Some(filter), page_size, page_token };
    let listed = face.orchestration.list_instances(asked.call(request)?).await?.into_inner();
    Ok(page(listed.instances.into_iter().map(Shown::from).collect(), listed.next_page_token))
}

/// Deletes all that meet the filter; who goes away before the answer stops it between two steps.
pub async fn purge(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    if asked.query.one("createdTimeFrom")?.is_none() {
        return Err(Problem::invalid("createdTimeFrom", "must be given: everything since then is deleted"));
    }
    let filter = filter(&asked)?;
    let (mut count, mut page_token) = (0, String::new());
    // Each step begins behind the one before it, so there is a last one.
    while let Some(filter) = &filter {
        let request = v1::PurgeInstancesRequest { filter: Some(filter.clone()), page_token, ..Default::default() };
        let swept = face.orchestration.purge_instances(asked.call(request)?).await?.into_inner();
        count += u64::from(swept.purged);
        page_token = swept.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if count == 0 {
        let what = "no instance that has ended meets the filter";
        return Err(Problem::new(StatusCode::NOT_FOUND, "INSTANCE_NOT_FOUND", what));
    }
    Ok(purged(count))
}

fn page(instances: Vec<Shown>, next: String) -> Response {
    let content = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let next = (!next.is_empty()).then_some([(CONTINUATION, next)]);
    match next {
        Some(next) => (content, next, json(&instances)).into_response(),
        None => (content, json(&instances)).into_response(),
    }
}

/// The filter that the query describes; nothing if no instance can meet it.
fn filter(asked: &Asked) -> Result<Option<InstanceFilter>, Problem> {
    let texts = asked.query.all("runtimeStatus").flat_map(|list| list.split(','));
    let texts: Vec<_> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
    let mut statuses = Vec::new();
    for text in &texts {
        match named(text) {
            Some(status) => statuses.push(status.into()),
            None if NEVER.iter().any(|never| never.eq_ignore_ascii_case(text)) => {}
            None => {
                let allowed =
                    "must be of Pending, Running, Suspended, Completed, Failed, Terminated, with commas between";
                return Err(Problem::invalid("runtimeStatus", allowed));
            }
        }
    }
    if statuses.is_empty() && !texts.is_empty() {
        return Ok(None);
    }
    Ok(Some(InstanceFilter {
        statuses,
        instance_id_prefix: asked.query.text("instanceIdPrefix")?,
        created_from: asked.query.moment("createdTimeFrom")?,
        created_before: asked.query.moment("createdTimeTo")?.map(just_after),
        ..Default::default()
    }))
}

/// Here the end belongs to the time that is meant, in gRPC it does not; times are microseconds.
fn just_after(at: Timestamp) -> Timestamp {
    let mut after = Timestamp { nanos: at.nanos.saturating_add(1_000), ..at };
    after.normalize();
    after
}
