//! Reads as .NET does: what it does not look for before it reads has to be there.

use soloist::proto::durable_task::{self as pb, OrchestrationStatus, history_event::EventType};

use crate::durable_task::{
    Sidecar,
    workers::hand::{kind, past, within},
};

type Moment = (i64, i32);

fn moment(at: &Option<prost_types::Timestamp>, of: &dyn std::fmt::Debug) -> Moment {
    let at = at.unwrap_or_else(|| panic!("a time is missing in {of:?}"));
    assert!(at.seconds > 0, "it is no time of today: {of:?}");
    (at.seconds, at.nanos)
}

fn whose(instance: &Option<pb::OrchestrationInstance>, of: &dyn std::fmt::Debug) {
    let instance = instance.as_ref().unwrap_or_else(|| panic!("whose it is, is missing in {of:?}"));
    assert!(!instance.instance_id.is_empty(), "{of:?}");
    assert!(instance.execution_id.as_ref().is_some_and(|id| id.len() == 32), "{of:?}");
}

/// An event, whatever it tells of. Answers when it happened.
fn event(event: &pb::HistoryEvent) -> Moment {
    match event.event_type.as_ref().unwrap_or_else(|| panic!("it says nothing: {event:?}")) {
        EventType::ExecutionStarted(started) => {
            whose(&started.orchestration_instance, event);
            assert!(!started.name.is_empty(), "{event:?}");
            let trace = started.parent_trace_context.as_ref();
            assert!(trace.is_none_or(|trace| !trace.trace_parent.is_empty()), "{event:?}");
            if let Some(parent) = &started.parent_instance {
                whose(&parent.orchestration_instance, event);
                assert!(parent.name.as_ref().is_some_and(|name| !name.is_empty()), "{event:?}");
            }
        }
        EventType::TimerCreated(timer) => drop(moment(&timer.fire_at, event)),
        EventType::TimerFired(timer) => drop(moment(&timer.fire_at, event)),
        EventType::TaskFailed(failed) => assert!(failed.failure_details.is_some(), "{event:?}"),
        EventType::SubOrchestrationInstanceFailed(failed) => assert!(failed.failure_details.is_some(), "{event:?}"),
        _ => {}
    }
    moment(&event.timestamp, event)
}

/// Events in their order: none is before its predecessor's turn, one of them starts the execution, and each task that has
/// come to an end was scheduled.
fn events(events: &[pb::HistoryEvent]) {
    let (mut turn_began, mut scheduled, mut starts) = ((0, 0), Vec::new(), 0);
    for told in events {
        let at = event(told);
        let ended = match told.event_type.as_ref().expect("it says something") {
            EventType::OrchestratorStarted(_) => {
                assert!(turn_began <= at, "time goes back: {events:?}");
                turn_began = at;
                None
            }
            EventType::ExecutionStarted(_) => {
                starts += 1;
                None
            }
            EventType::TaskScheduled(_)
            | EventType::SubOrchestrationInstanceCreated(_)
            | EventType::TimerCreated(_) => {
                assert_eq!(told.event_id, scheduled.len() as i32, "it counts its actions from 0: {events:?}");
                scheduled.push(kind(told));
                None
            }
            EventType::TaskCompleted(done) => Some((done.task_scheduled_id, "TaskScheduled")),
            EventType::SubOrchestrationInstanceCompleted(done) => {
                Some((done.task_scheduled_id, "SubOrchestrationInstanceCreated"))
            }
            EventType::TimerFired(fired) => {
                // Else it would create another little timer.
                assert!(moment(&fired.fire_at, told) <= turn_began, "the turn began too early: {events:?}");
                Some((fired.timer_id, "TimerCreated"))
            }
            _ => None,
        };
        if let Some((of, by)) = ended {
            assert_eq!(told.event_id, -1, "what comes in has no number: {told:?}");
            assert_eq!(scheduled.get(of as usize), Some(&by), "{told:?} of {events:?}");
        }
    }
    assert_eq!(starts, 1, "one execution, one start: {events:?}");
}

/// A turn. Answers all that is told, the past first.
pub async fn turn(sidecar: &mut Sidecar, request: &pb::OrchestratorRequest) -> Vec<pb::HistoryEvent> {
    if let Some(parameters) = &request.entity_parameters {
        assert!(parameters.entity_message_reorder_window.is_some());
    }
    let mut all = match request.requires_history_streaming {
        true => stream(sidecar, &request.instance_id, true).await,
        false => past(request),
    };
    assert_eq!(request.new_events.first().map(kind), Some("OrchestratorStarted"));
    assert!(request.new_events.len() > 1, "something has happened: {request:?}");
    all.extend(request.new_events.iter().cloned());
    events(&all);
    let execution = all.iter().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => started.orchestration_instance.clone()?.execution_id,
        _ => None,
    });
    assert_eq!(execution, request.execution_id);
    all
}

pub fn activity(request: &pb::ActivityRequest) {
    whose(&request.orchestration_instance, request);
    assert!(!request.name.is_empty());
}

/// What is known of an instance.
pub fn state(state: &pb::OrchestrationState) {
    let (created, updated) = (moment(&state.created_timestamp, state), moment(&state.last_updated_timestamp, state));
    assert!(created <= updated, "{state:?}");
    assert!(!state.name.is_empty() && !state.instance_id.is_empty());
    let status = OrchestrationStatus::try_from(state.orchestration_status).expect("a known one");
    use OrchestrationStatus::*;
    match status {
        Completed | Failed | Terminated => {
            let ended = moment(&state.completed_timestamp, state);
            assert!(created <= ended && ended <= updated, "{state:?}");
        }
        Running | Pending | Suspended => assert_eq!(state.completed_timestamp, None, "{state:?}"),
        ContinuedAsNew | Canceled => panic!("nobody is told {state:?}"),
    }
}

/// A whole history, as a client reads it.
pub async fn history(sidecar: &mut Sidecar, id: &str) -> Vec<pb::HistoryEvent> {
    let all = stream(sidecar, id, false).await;
    events(&all);
    assert!(all.iter().all(|event| kind(event) != "something else"), "{all:?}");
    all
}

async fn stream(sidecar: &mut Sidecar, id: &str, for_work_item_processing: bool) -> Vec<pb::HistoryEvent> {
    let request =
        pb::StreamInstanceHistoryRequest { instance_id: id.into(), for_work_item_processing, ..Default::default() };
    let mut chunks = sidecar.stream_instance_history(request).await.expect("a history").into_inner();
    let mut events = Vec::new();
    while let Some(chunk) = within("a chunk", chunks.message()).await.expect("a history") {
        events.extend(chunk.events);
    }
    events
}
