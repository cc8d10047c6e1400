//! Which instances are meant, and where a list goes on.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tonic::Status as Refused;

use super::{instance::to_wire, requests::timestamp, start::tags, violations::Violations};
use crate::{
    core::{
        filter::Filter,
        ids::{Arrival, InstanceId, InstanceKey, TaskHub},
        limits,
        status::Status,
    },
    engine::{Description, Page, Swept, watch::Wanted},
    proto::v1::{self, watch_instances_request::Selector},
};

/// How many instances a page has where the request does not say.
const LIST_DEFAULT: usize = 100;
const PURGE_DEFAULT: usize = 1_000;

/// A part of all instances that are meant.
pub struct Part {
    pub filter: Arc<Filter>,
    pub after: Arrival,
    pub limit: usize,
}

pub fn list(hub: &TaskHub, request: &v1::ListInstancesRequest) -> Result<Part, Refused> {
    let mut wrong = Violations::default();
    let filter = filter(&mut wrong, hub, request.filter.as_ref());
    let limit = page_size(&mut wrong, request.page_size, LIST_DEFAULT);
    let after = after(&mut wrong, &request.page_token, &filter);
    wrong.finish(after.map(|after| Part { filter: Arc::new(filter), after, limit }))
}

pub fn purge_many(hub: &TaskHub, request: &v1::PurgeInstancesRequest) -> Result<Part, Refused> {
    let mut wrong = Violations::default();
    let mut filter = filter(&mut wrong, hub, request.filter.as_ref());
    for live in filter.statuses.iter().filter(|status| status.is_live()) {
        wrong.add("filter.statuses", "must be COMPLETED (4), FAILED (5) or TERMINATED (6)", live.name());
    }
    if filter.statuses.is_empty() {
        filter.statuses = vec![Status::Completed, Status::Failed, Status::Terminated];
    }
    filter.ended_before = timestamp(&mut wrong, "completed_before", request.completed_before);
    let limit = page_size(&mut wrong, request.page_size, PURGE_DEFAULT);
    let after = after(&mut wrong, &request.page_token, &filter);
    wrong.finish(after.map(|after| Part { filter: Arc::new(filter), after, limit }))
}

pub fn wanted(hub: &TaskHub, request: v1::WatchInstancesRequest) -> Result<Wanted, Refused> {
    let mut wrong = Violations::default();
    let mut filter = Filter { hub: Some(hub.clone()), ..Filter::default() };
    match request.selector {
        Some(Selector::InstanceIds(v1::InstanceIds { ids })) => {
            if ids.is_empty() || ids.len() > limits::WATCHED_IDS_MAX {
                let allowed = format!("must be 1 to {} ids", limits::WATCHED_IDS_MAX);
                wrong.add("instance_ids.ids", allowed, &ids.len().to_string());
            }
            let ids = ids.iter().enumerate();
            let keys = ids.filter_map(|(index, id)| {
                let id = wrong.parse(&format!("instance_ids.ids[{index}]"), id, InstanceId::parse)?;
                Some(InstanceKey::new(hub, &id))
            });
            // Each once, however often it is named.
            let keys: BTreeSet<InstanceKey> = keys.collect();
            return wrong.finish(Some(Wanted::These(keys.into_iter().collect())));
        }
        Some(Selector::InstanceIdPrefix(prefix)) => {
            filter.id_prefix = id_prefix(&mut wrong, "instance_id_prefix", &prefix);
        }
        Some(Selector::FunctionName(function)) => filter.function = wrong.name("function_name", &function),
        None => wrong.add("selector", "must be instance_ids, instance_id_prefix or function_name", ""),
    }
    wrong.finish(Some(Wanted::Pattern(hub.clone(), Arc::new(filter))))
}

pub fn listed(part: &Part, page: Page) -> v1::ListInstancesResponse {
    let next_page_token = part.token(page.next);
    let status = |view| *to_wire(Description { view, pending_reason: String::new() }, None);
    v1::ListInstancesResponse { instances: page.views.into_iter().map(status).collect(), next_page_token }
}

pub fn purged(part: &Part, swept: Swept) -> v1::PurgeInstancesResponse {
    v1::PurgeInstancesResponse { purged: swept.purged, next_page_token: part.token(swept.next) }
}

impl Part {
    /// Names where the next part begins; empty if there is none.
    fn token(&self, next: Option<Arrival>) -> String {
        next.map(|after| token(&self.filter, after)).unwrap_or_default()
    }
}

fn filter(wrong: &mut Violations, hub: &TaskHub, wire: Option<&v1::InstanceFilter>) -> Filter {
    let mut filter = Filter { hub: Some(hub.clone()), ..Filter::default() };
    let Some(wire) = wire else { return filter };
    for (index, number) in wire.statuses.iter().enumerate() {
        let field = format!("filter.statuses[{index}]");
        filter.statuses.extend(known_status(wrong, &field, *number));
    }
    if !wire.function_name.is_empty() {
        filter.function = wrong.name("filter.function_name", &wire.function_name);
    }
    filter.id_prefix = id_prefix(wrong, "filter.instance_id_prefix", &wire.instance_id_prefix);
    filter.created_from = timestamp(wrong, "filter.created_from", wire.created_from);
    filter.created_before = timestamp(wrong, "filter.created_before", wire.created_before);
    tags(wrong, "filter.tags", &wire.tags);
    filter.tags = HashMap::clone(&wire.tags).into_iter().collect();
    filter
}

pub(super) fn id_prefix(wrong: &mut Violations, field: &str, prefix: &str) -> String {
    wrong.check_bytes(field, prefix, limits::INSTANCE_ID_BYTES_MAX);
    prefix.into()
}

fn known_status(wrong: &mut Violations, field: &str, number: i32) -> Option<Status> {
    match v1::RuntimeStatus::try_from(number) {
        Ok(v1::RuntimeStatus::Pending) => Some(Status::Pending),
        Ok(v1::RuntimeStatus::Running) => Some(Status::Running),
        Ok(v1::RuntimeStatus::Suspended) => Some(Status::Suspended),
        Ok(v1::RuntimeStatus::Completed) => Some(Status::Completed),
        Ok(v1::RuntimeStatus::Failed) => Some(Status::Failed),
        Ok(v1::RuntimeStatus::Terminated) => Some(Status::Terminated),
        Ok(v1::RuntimeStatus::Unspecified) | Err(_) => {
            let allowed =
                "must be PENDING (1), RUNNING (2), SUSPENDED (3), COMPLETED (4), FAILED (5) or TERMINATED (6)";
            wrong.add(field, allowed, &number.to_string());
            None
        }
    }
}

fn page_size(wrong: &mut Violations, size: u32, default: usize) -> usize {
    match usize::try_from(size) {
        Ok(0) => default,
        Ok(size) if size <= limits::PAGE_MAX => size,
        _ => {
            let allowed = format!("must be 1 to {}, or 0 for {default}", limits::PAGE_MAX);
            wrong.add("page_size", allowed, &size.to_string());
            default
        }
    }
}

fn after(wrong: &mut Violations, token: &str, filter: &Filter) -> Option<Arrival> {
    let allowed = "must be empty, or the next_page_token of the last page with the same task hub and filter";
    let parsed = position(token, filter);
    if parsed.is_none() {
        wrong.add("page_token", allowed, token);
    }
    parsed
}

/// Where a list goes on, if the token is of a list with this filter; without one, at its beginning.
pub fn position(token: &str, filter: &Filter) -> Option<Arrival> {
    if token.is_empty() {
        return Some(Arrival(0));
    }
    let parsed = Token::parse(token).filter(|token| *token == Token::of(filter, token.after));
    parsed.map(|token| token.after)
}

/// Names where a list with this filter goes on.
pub fn token(filter: &Filter, after: Arrival) -> String {
    Token::of(filter, after).to_string()
}

/// Up to where a list has come, and which list that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    after: Arrival,
    /// Of the filter and of the position.
    checksum: u64,
}

impl Token {
    const DIGITS: usize = 16;

    fn of(filter: &Filter, after: Arrival) -> Token {
        let digest = filter.digest() ^ u128::from(after.0);
        Token { after, checksum: (digest ^ (digest >> 64)) as u64 }
    }

    fn parse(text: &str) -> Option<Token> {
        let (after, checksum) = text.split_at_checked(Token::DIGITS)?;
        let number = |digits: &str| {
            let is_hex =
                digits.len() == Token::DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
        };
        Some(Token { after: Arrival(number(after)?), checksum: number(checksum)? })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.after.0, self.checksum)
    }
}
