//! Which instances are meant, and where a list goes on.

use std::{sync::Arc, time::Duration};

use prost_types::Timestamp as WireTimestamp;
use tonic::Status as Refused;

use super::state::statuses;
use crate::{
    core::{
        filter::Filter,
        ids::{Arrival, TaskHub},
        limits,
        status::Status,
        time::{Span, Timestamp},
    },
    grpc::convert::{Violations, position, timestamp, token},
    proto::durable_task as pb,
};

/// How many instances a page has where the request does not say.
const PAGE_DEFAULT: usize = 100;

/// A page that is asked for.
pub struct Listed {
    /// Nothing if no instance can be meant.
    pub filter: Option<Arc<Filter>>,
    pub after: Arrival,
    pub limit: usize,
}

pub fn query(hub: &TaskHub, query: &pb::InstanceQuery) -> Result<Listed, Refused> {
    let mut wrong = Violations::default();
    let filter = Filter {
        id_prefix: query.instance_id_prefix.clone().unwrap_or_default(),
        ..created(&mut wrong, hub, query.created_time_from, query.created_time_to)
    };
    let any =
        [Status::Pending, Status::Running, Status::Suspended, Status::Completed, Status::Failed, Status::Terminated];
    let filter = with_statuses(filter, &query.runtime_status, &any);
    let token = query.continuation_token.as_deref().unwrap_or_default();
    page(wrong, filter, "query.continuationToken", token, query.max_instance_count)
}

/// Those that have ended.
pub fn ended(hub: &TaskHub, request: &pb::ListInstanceIdsRequest) -> Result<Listed, Refused> {
    let mut wrong = Violations::default();
    let filter = Filter {
        hub: Some(hub.clone()),
        ended_from: from(&mut wrong, "completedTimeFrom", request.completed_time_from),
        ended_before: to(&mut wrong, "completedTimeTo", request.completed_time_to),
        ..Filter::default()
    };
    let filter = with_statuses(filter, &request.runtime_status, &ENDED);
    let key = request.last_instance_key.as_deref().unwrap_or_default();
    // Behind the position stands the id, for people.
    let token = key.split_once(KEY_SEPARATOR).map_or(key, |(token, _)| token);
    page(wrong, filter, "lastInstanceKey", token, request.page_size)
}

/// Where a list of ids goes on after this instance.
pub fn ended_key(filter: &Filter, after: Arrival, id: &str) -> String {
    format!("{}{KEY_SEPARATOR}{id}", token(filter, after))
}

/// Those that have ended and are to be purged, and how long that may take.
pub fn purge(hub: &TaskHub, request: &pb::PurgeInstanceFilter) -> Result<Ended, Refused> {
    let mut wrong = Violations::default();
    let filter = created(&mut wrong, hub, request.created_time_from, request.created_time_to);
    let filter = with_statuses(filter, &request.runtime_status, &ENDED);
    let timeout = request.timeout.and_then(|timeout| Duration::try_from(timeout).ok());
    wrong.finish(Some(Ended { filter: filter.map(Arc::new), timeout: timeout.filter(|timeout| !timeout.is_zero()) }))
}

/// What is to be purged.
pub struct Ended {
    /// Nothing if no instance can be meant.
    pub filter: Option<Arc<Filter>>,
    pub timeout: Option<Duration>,
}

const ENDED: [Status; 3] = [Status::Completed, Status::Failed, Status::Terminated];
const KEY_SEPARATOR: char = ':';

impl Listed {
    /// Where the list goes on after the last instance of this page.
    pub fn next(&self, after: Option<Arrival>) -> Option<String> {
        self.filter.as_ref().zip(after).map(|(filter, after)| token(filter, after))
    }
}

fn created(
    wrong: &mut Violations,
    hub: &TaskHub,
    created_from: Option<WireTimestamp>,
    created_to: Option<WireTimestamp>,
) -> Filter {
    Filter {
        hub: Some(hub.clone()),
        created_from: from(wrong, "createdTimeFrom", created_from),
        created_before: to(wrong, "createdTimeTo", created_to),
        ..Filter::default()
    }
}

/// The filter with those of the statuses that are possible; nothing if none of those that were named is.
fn with_statuses(filter: Filter, named: &[i32], possible: &[Status]) -> Option<Filter> {
    let mut statuses = statuses(named);
    if named.is_empty() {
        statuses = possible.to_vec();
    }
    statuses.retain(|status| possible.contains(status));
    (!statuses.is_empty()).then_some(Filter { statuses, ..filter })
}

/// Inclusive; times here go to the microsecond.
fn from(wrong: &mut Violations, field: &str, at: Option<WireTimestamp>) -> Option<Timestamp> {
    let is_between = at.is_some_and(|at| at.nanos % 1_000 != 0);
    timestamp(wrong, field, at).map(|at| if is_between { at + Span::from_micros(1) } else { at })
}

/// Inclusive: everything before the next microsecond.
fn to(wrong: &mut Violations, field: &str, at: Option<WireTimestamp>) -> Option<Timestamp> {
    timestamp(wrong, field, at).map(|at| at + Span::from_micros(1))
}

fn page(mut wrong: Violations, filter: Option<Filter>, field: &str, token: &str, size: i32) -> Result<Listed, Refused> {
    let after = filter.as_ref().map_or(Some(Arrival(0)), |filter| position(token, filter));
    if after.is_none() {
        wrong.add(field, "must be absent, or what the last page with the same task hub and filter gave", token);
    }
    let limit = match usize::try_from(size) {
        Ok(0) | Err(_) => PAGE_DEFAULT,
        Ok(size) => size.min(limits::PAGE_MAX),
    };
    let after = wrong.finish(after)?;
    Ok(Listed { filter: filter.map(Arc::new), after, limit })
}
