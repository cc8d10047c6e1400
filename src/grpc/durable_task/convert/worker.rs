//! Work items, as workers are told them.

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use tonic::Status as Refused;

use crate::{
    core::{
        effect::ActivityOffer,
        ids::{CompletionToken, InstanceKey, TaskHub},
        status::{Execution, Failure},
        time::Timestamp,
        turn::{Note, TaskOutcome},
    },
    engine::{
        partition::TurnClaim,
        work_items::{Filters, Sent, TurnContent, Wishes},
    },
    grpc::convert::{Violations, shown},
    proto::durable_task::{self as pb, history_event::EventType},
    store::record::{self, Incoming},
};

/// Work items of one kind that a stream has at a time, where its worker doesn't say.
const AT_ONCE_DEFAULT: usize = 100;
/// The most that a worker can ask for.
const AT_ONCE_MAX: usize = 10_000;
/// Names of one filter, and the versions of one name.
const FILTERS_MAX: usize = 10_000;

pub fn wishes(hub: TaskHub, request: pb::GetWorkItemsRequest) -> Result<Wishes, Refused> {
    let at_once = |max: i32| match usize::try_from(max) {
        Ok(max) if max > 0 => max.min(AT_ONCE_MAX),
        _ => AT_ONCE_DEFAULT,
    };
    let filters = request.work_item_filters.filter(|filters| {
        // One that lists nothing at all is none.
        !(filters.orchestrations.is_empty() && filters.activities.is_empty() && filters.entities.is_empty())
    });
    let filters = filters.unwrap_or_default();
    let mut wrong = Violations::default();
    let listed = filters.orchestrations.len() + filters.activities.len() + filters.entities.len();
    if listed > FILTERS_MAX {
        wrong.add("workItemFilters", format!("must be at most {FILTERS_MAX} names"), &listed.to_string());
    }
    let filters = (listed > 0).then(|| Filters {
        orchestrations: merge(filters.orchestrations.into_iter().map(|filter| (filter.name, filter.versions))),
        activities: merge(filters.activities.into_iter().map(|filter| (filter.name, filter.versions))),
    });
    wrong.finish(Some(Wishes {
        hub,
        turns_max: at_once(request.max_concurrent_orchestration_work_items),
        activities_max: at_once(request.max_concurrent_activity_work_items),
        filters,
        nameless: false,
    }))
}

/// A name that is listed more than once is taken with all its versions.
fn merge(listed: impl Iterator<Item = (String, Vec<String>)>) -> HashMap<String, Vec<String>> {
    let mut merged: HashMap<String, Vec<String>> = HashMap::new();
    for (name, versions) in listed {
        match merged.get_mut(&name) {
            // Any version.
            Some(all) if versions.is_empty() => all.clear(),
            Some(some) if !some.is_empty() => some.extend(versions),
            Some(_) => {}
            None => {
                merged.insert(name, versions);
            }
        }
    }
    merged
}

pub fn token(token: CompletionToken) -> String {
    format!("{:032x}", u128::from_be_bytes(token.0))
}

/// The token that a worker gives; nothing inside if it can't be one of ours, nothing at all if it gives none.
pub fn named_token(text: &str) -> Option<Option<CompletionToken>> {
    let parsed = || u128::from_str_radix(text, 16).ok().map(|number| CompletionToken(number.to_be_bytes()));
    (!text.is_empty()).then(parsed)
}

/// What the worker of a turn is told, and what is to be remembered of that.
pub fn turn(
    key: &InstanceKey,
    claim: &TurnClaim,
    content: TurnContent,
    now: Timestamp,
) -> Result<(pb::OrchestratorRequest, Sent), String> {
    let execution = &claim.execution;
    let begun = claim.turns.as_ref().is_some_and(|turns| turns.begun);
    let incoming = content.incoming.into_iter().map(incoming_event).collect::<Result<Vec<_>, _>>()?;
    // No earlier than the turn before, and no earlier than any timer that it is told of.
    let fired = incoming.iter().filter_map(fire_at).max();
    let last = claim.turns.as_ref().and_then(|turns| turns.last_began_at);
    let began_at = [Some(now), fired, last].into_iter().flatten().max().unwrap_or(now);
    let started = EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {});
    let mut new_events = vec![event(-1, began_at, started)];
    if !begun {
        let started = execution_started(key, execution, content.input);
        new_events.push(event(-1, began_at, EventType::ExecutionStarted(started)));
    }
    new_events.extend(incoming);
    let events_sent = content.past.iter().filter_map(|event| record::sent_event(event).transpose());
    let events_sent = events_sent.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let sent = Sent {
        execution: execution.id,
        spec: execution.spec.clone(),
        notes: new_events.iter().map(note).collect(),
        events_sent,
        through: content.through,
        began_at,
    };
    let trace = claim.turns.as_ref().and_then(|turns| turns.trace.clone());
    let request = pb::OrchestratorRequest {
        instance_id: key.id().into(),
        execution_id: Some(execution.id.to_string()),
        past_events: content.past,
        new_events,
        orchestration_trace_context: trace.and_then(|trace| pb::OrchestrationTraceContext::decode(&*trace).ok()),
        ..Default::default()
    };
    Ok((request, sent))
}

/// An event in the bytes in which the history keeps it.
pub fn note(event: &pb::HistoryEvent) -> Note {
    event.encode_to_vec().into()
}

pub fn event(event_id: i32, at: Timestamp, event_type: EventType) -> pb::HistoryEvent {
    pb::HistoryEvent { event_id, timestamp: Some(shown(at)), event_type: Some(event_type) }
}

pub fn execution_started(key: &InstanceKey, execution: &Execution, input: Option<String>) -> pb::ExecutionStartedEvent {
    let spec = &execution.spec;
    let parent_instance = spec.parent.as_deref().map(|parent| pb::ParentInstanceInfo {
        task_scheduled_id: parent.task,
        name: Some(parent.function.to_string()),
        version: parent.version.clone(),
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: parent.instance.as_str().into(),
            execution_id: Some(parent.execution.to_string()),
        }),
    });
    pb::ExecutionStartedEvent {
        name: spec.function.to_string(),
        version: spec.version.clone(),
        input,
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: key.id().into(),
            execution_id: Some(execution.id.to_string()),
        }),
        parent_instance,
        scheduled_start_timestamp: spec.start_at.map(shown),
        parent_trace_context: spec.trace.as_deref().and_then(|trace| pb::TraceContext::decode(trace).ok()),
        tags: spec.tags.clone(),
        ..Default::default()
    }
}

fn incoming_event(incoming: Incoming) -> Result<pb::HistoryEvent, String> {
    match incoming {
        Incoming::Raised { name, input, raised_at } => {
            Ok(event(-1, raised_at, EventType::EventRaised(pb::EventRaisedEvent { name, input })))
        }
        Incoming::TaskEnded { event, .. } => pb::HistoryEvent::decode(&*event).map_err(|error| error.to_string()),
    }
}

fn fire_at(event: &pb::HistoryEvent) -> Option<Timestamp> {
    let Some(EventType::TimerFired(fired)) = &event.event_type else { return None };
    fired.fire_at.as_ref().map(rounded_up)
}

/// No earlier than what was asked for.
pub fn rounded_up(at: &prost_types::Timestamp) -> Timestamp {
    let micros = i64::from(at.nanos).saturating_add(999) / 1_000;
    Timestamp::from_micros(at.seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// An activity, from the event that schedules it.
pub fn activity(
    key: &InstanceKey,
    offer: &ActivityOffer,
    scheduled: &[u8],
) -> Result<pb::ActivityRequest, prost::DecodeError> {
    let scheduled = pb::HistoryEvent::decode(scheduled)?;
    let scheduled = match scheduled.event_type {
        Some(EventType::TaskScheduled(scheduled)) => scheduled,
        _ => pb::TaskScheduledEvent { name: offer.name.to_string(), ..Default::default() },
    };
    Ok(pb::ActivityRequest {
        name: scheduled.name,
        version: scheduled.version,
        input: scheduled.input,
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: key.id().into(),
            execution_id: Some(offer.execution.to_string()),
        }),
        task_id: offer.id,
        parent_trace_context: scheduled.parent_trace_context,
        tags: scheduled.tags,
    })
}

/// What an activity's worker says of it.
pub fn outcome(response: pb::ActivityResponse, payload_bytes_max: usize) -> TaskOutcome {
    if let Some(details) = response.failure_details {
        return failed(failure(&details));
    }
    match fits("the activity's output", response.result.as_deref(), payload_bytes_max) {
        Ok(()) => TaskOutcome::Completed { result: response.result.map(Arc::from) },
        Err(wrong) => failed(Failure::declared("PayloadTooLarge", wrong)),
    }
}

/// Whether the server takes a payload that a worker sends. A larger one could not be told to the next worker.
pub fn fits(what: &str, payload: Option<&str>, bytes_max: usize) -> Result<(), String> {
    let bytes = payload.map_or(0, str::len);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(format!("{what} has {bytes} bytes, and this server takes {bytes_max} bytes at most"))
}

pub fn failed(failure: Failure) -> TaskOutcome {
    TaskOutcome::Failed { failure: Arc::new(failure) }
}

/// A failure, with all that its worker says of it.
pub fn failure(details: &pb::TaskFailureDetails) -> Failure {
    Failure {
        error_type: details.error_type.clone(),
        message: details.error_message.clone(),
        details: details.stack_trace.clone().unwrap_or_default(),
        non_retriable: details.is_non_retriable,
        origin: Some(details.encode_to_vec().into()),
    }
}
