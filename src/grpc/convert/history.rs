//! Histories, to the wire.

use tonic::Status;

use super::{
    instance::{failure_to_wire, shown},
    requests::{expected_execution, instance_key},
    violations::Violations,
};
use crate::{
    core::{
        history::{EventInput, Happened},
        ids::{ExecutionId, InstanceKey, TaskHub},
    },
    engine::history::{Chapter, What},
    proto::v1::{self, HistoryEventType as Type},
};

pub fn history(hub: &TaskHub, request: &v1::GetHistoryRequest) -> Result<(InstanceKey, Option<ExecutionId>), Status> {
    let mut wrong = Violations::default();
    let expected = expected_execution(&mut wrong, &request.expected_execution_id);
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    Ok((wrong.finish(key)?, expected))
}

pub fn chapter(chapter: Chapter) -> v1::HistoryEvent {
    let Chapter { number, at, what } = chapter;
    let of = |r#type: Type| v1::HistoryEvent {
        event_id: number,
        timestamp: Some(shown(at)),
        r#type: r#type.into(),
        ..Default::default()
    };
    match what {
        What::Started { function, input } => {
            v1::HistoryEvent { name: function.to_string(), input, ..of(Type::ExecutionStarted) }
        }
        What::Completed { output } => v1::HistoryEvent { output, ..of(Type::ExecutionCompleted) },
        What::Failed { failure } => {
            v1::HistoryEvent { failure: failure.as_deref().map(failure_to_wire), ..of(Type::ExecutionFailed) }
        }
        What::Terminated { reason, output } => {
            v1::HistoryEvent { reason: reason.to_string(), output, ..of(Type::ExecutionTerminated) }
        }
        What::Happened(happened) => match happened {
            Happened::RunGranted { worker, attempt, token } => {
                v1::HistoryEvent { worker: worker.to_string(), attempt, fencing_token: token.0, ..of(Type::RunGranted) }
            }
            Happened::RetryScheduled { attempt, failure, due_at } => v1::HistoryEvent {
                attempt,
                failure: failure.as_deref().map(failure_to_wire),
                due_at: Some(shown(due_at)),
                ..of(Type::RetryScheduled)
            },
            Happened::EventRaised { sequence, name, input } => {
                let (input, omitted_input_bytes) = match input {
                    EventInput::Kept(input) => (input.as_deref().map(String::from), 0),
                    EventInput::Omitted { bytes } => (None, bytes),
                };
                let name = name.to_string();
                v1::HistoryEvent { sequence, name, input, omitted_input_bytes, ..of(Type::EventRaised) }
            }
            Happened::ExecutionSuspended { reason } => {
                v1::HistoryEvent { reason: reason.to_string(), ..of(Type::ExecutionSuspended) }
            }
            Happened::ExecutionResumed { reason } => {
                v1::HistoryEvent { reason: reason.to_string(), ..of(Type::ExecutionResumed) }
            }
        },
    }
}
