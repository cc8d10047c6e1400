//! Histories, to the wire.

use prost::Message;
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
    proto::{
        durable_task::{self as pb, OrchestrationStatus, history_event::EventType as Noted},
        v1::{self, HistoryEventType as Type},
    },
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
        What::Noted(note) => noted(number, of, &note),
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

/// What a Durable Task execution has noted. It has a time of its own.
fn noted(number: u64, of: impl Fn(Type) -> v1::HistoryEvent, note: &[u8]) -> v1::HistoryEvent {
    let event = pb::HistoryEvent::decode(note).unwrap_or_default();
    let told = |r#type: Type| v1::HistoryEvent { timestamp: event.timestamp, ..of(r#type) };
    let task = |r#type: Type, id: i32| v1::HistoryEvent { task_id: Some(id), ..told(r#type) };
    let details = |details: Option<pb::TaskFailureDetails>| details.map(failure_of);
    let id = event.event_id;
    match event.event_type {
        Some(Noted::OrchestratorStarted(_)) => told(Type::TurnStarted),
        Some(Noted::ExecutionStarted(started)) => {
            v1::HistoryEvent { name: started.name, input: started.input, ..told(Type::ExecutionStarted) }
        }
        Some(Noted::TaskScheduled(scheduled)) => {
            v1::HistoryEvent { name: scheduled.name, input: scheduled.input, ..task(Type::TaskScheduled, id) }
        }
        Some(Noted::TaskCompleted(completed)) => {
            v1::HistoryEvent { output: completed.result, ..task(Type::TaskCompleted, completed.task_scheduled_id) }
        }
        Some(Noted::TaskFailed(failed)) => v1::HistoryEvent {
            failure: details(failed.failure_details),
            ..task(Type::TaskFailed, failed.task_scheduled_id)
        },
        Some(Noted::TimerCreated(created)) => {
            v1::HistoryEvent { due_at: created.fire_at, ..task(Type::TimerCreated, id) }
        }
        Some(Noted::TimerFired(fired)) => {
            v1::HistoryEvent { due_at: fired.fire_at, ..task(Type::TimerFired, fired.timer_id) }
        }
        Some(Noted::SubOrchestrationInstanceCreated(created)) => v1::HistoryEvent {
            name: created.name,
            instance_id: created.instance_id,
            input: created.input,
            ..task(Type::SubOrchestrationStarted, id)
        },
        Some(Noted::SubOrchestrationInstanceCompleted(completed)) => v1::HistoryEvent {
            output: completed.result,
            ..task(Type::SubOrchestrationCompleted, completed.task_scheduled_id)
        },
        Some(Noted::SubOrchestrationInstanceFailed(failed)) => v1::HistoryEvent {
            failure: details(failed.failure_details),
            ..task(Type::SubOrchestrationFailed, failed.task_scheduled_id)
        },
        Some(Noted::EventSent(sent)) => v1::HistoryEvent {
            name: sent.name,
            instance_id: sent.instance_id,
            input: sent.input,
            ..task(Type::EventSent, id)
        },
        Some(Noted::EventRaised(raised)) => {
            v1::HistoryEvent { name: raised.name, input: raised.input, ..told(Type::EventRaised) }
        }
        Some(Noted::ExecutionCompleted(completed)) => {
            let r#type = match completed.orchestration_status() {
                OrchestrationStatus::Failed => Type::ExecutionFailed,
                OrchestrationStatus::Terminated | OrchestrationStatus::Canceled => Type::ExecutionTerminated,
                _ => Type::ExecutionCompleted,
            };
            let failure = details(completed.failure_details);
            v1::HistoryEvent { output: completed.result, failure, ..told(r#type) }
        }
        _ => {
            tracing::debug!(number, "a history has an event that this API has no word for");
            told(Type::Other)
        }
    }
}

fn failure_of(details: pb::TaskFailureDetails) -> v1::Failure {
    v1::Failure {
        error_type: details.error_type,
        message: details.error_message,
        details: details.stack_trace.unwrap_or_default(),
        non_retriable: details.is_non_retriable,
    }
}
