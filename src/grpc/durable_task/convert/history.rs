//! Histories of native runs, as far as the Durable Task protocol has words for what happened.

use super::state::{failure_details, to_wire, version};
use crate::{
    core::{
        history::{EventInput, Happened},
        ids::InstanceKey,
        status::{Execution, Status},
    },
    engine::history::{Chapter, What},
    grpc::convert::shown,
    proto::durable_task::{self as pb, history_event::EventType},
};

/// The number of an event that no action of the orchestrator caused.
const INCOMING: i32 = -1;

/// What happened; nothing if the protocol has no word for it.
pub fn event(key: &InstanceKey, execution: &Execution, chapter: Chapter) -> Option<pb::HistoryEvent> {
    let Chapter { at, what, .. } = chapter;
    let event_type = match what {
        What::Started { input, .. } => started(key, execution, input),
        What::Happened(happened) => of_happened(happened)?,
        What::Completed { output } => completed(Status::Completed, output, None),
        What::Failed { failure } => completed(Status::Failed, None, failure.as_deref().map(failure_details)),
        What::Terminated { output, .. } => {
            EventType::ExecutionTerminated(pb::ExecutionTerminatedEvent { input: output, recurse: false })
        }
    };
    Some(pb::HistoryEvent { event_id: INCOMING, timestamp: Some(shown(at)), event_type: Some(event_type) })
}

fn started(key: &InstanceKey, execution: &Execution, input: Option<String>) -> EventType {
    let spec = &execution.spec;
    let instance =
        pb::OrchestrationInstance { instance_id: key.id().into(), execution_id: Some(execution.id.to_string()) };
    EventType::ExecutionStarted(pb::ExecutionStartedEvent {
        name: spec.function.to_string(),
        version: version(&spec.version),
        input,
        orchestration_instance: Some(instance),
        scheduled_start_timestamp: spec.start_at.map(shown),
        tags: spec.tags.clone(),
        ..Default::default()
    })
}

fn completed(status: Status, result: Option<String>, failure_details: Option<pb::TaskFailureDetails>) -> EventType {
    let orchestration_status = to_wire(status).into();
    EventType::ExecutionCompleted(pb::ExecutionCompletedEvent { orchestration_status, result, failure_details })
}

fn of_happened(happened: Happened) -> Option<EventType> {
    let reason = |reason: &str| Some(reason.to_owned()).filter(|reason| !reason.is_empty());
    match happened {
        Happened::RunGranted { .. } | Happened::RetryScheduled { .. } => None,
        Happened::EventRaised { name, input, .. } => {
            let input = match input {
                EventInput::Kept(input) => input.as_deref().map(String::from),
                EventInput::Omitted { .. } => None,
            };
            Some(EventType::EventRaised(pb::EventRaisedEvent { name: name.to_string(), input }))
        }
        Happened::ExecutionSuspended { reason: why } => {
            Some(EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent { input: reason(&why) }))
        }
        Happened::ExecutionResumed { reason: why } => {
            Some(EventType::ExecutionResumed(pb::ExecutionResumedEvent { input: reason(&why) }))
        }
    }
}
