//! Histories: as they were noted, or of native runs as far as the Durable Task protocol has words for what happened.

use prost::{DecodeError, Message};

use super::{
    state::to_wire,
    worker::{event, execution_started},
};
use crate::{
    core::{
        history::{EventInput, Happened},
        ids::InstanceKey,
        status::{Execution, Status},
    },
    engine::history::{Chapter, What},
    proto::durable_task::{self as pb, history_event::EventType},
    store::record::failure_details,
};

/// The number of an event that no action of the orchestrator caused.
const INCOMING: i32 = -1;

/// What happened; nothing if the protocol has no word for it.
pub fn events(
    key: &InstanceKey,
    execution: &Execution,
    chapter: Chapter,
) -> Result<Vec<pb::HistoryEvent>, DecodeError> {
    let Chapter { at, what, .. } = chapter;
    let event = |event_type| event(INCOMING, at, event_type);
    Ok(match what {
        What::Noted(note) => vec![pb::HistoryEvent::decode(&*note)?],
        What::Started { input, .. } => {
            vec![event(EventType::ExecutionStarted(execution_started(key, execution, input)))]
        }
        What::Happened(happened) => of_happened(happened).map(event).into_iter().collect(),
        What::Completed { output } => vec![event(completed(Status::Completed, output, None))],
        What::Failed { failure } => {
            vec![event(completed(Status::Failed, None, failure.as_deref().map(failure_details)))]
        }
        What::Terminated { output, .. } => {
            let terminated = pb::ExecutionTerminatedEvent { input: output.clone(), recurse: false };
            vec![event(EventType::ExecutionTerminated(terminated)), event(completed(Status::Terminated, output, None))]
        }
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
