//! The events of a history, as Durable Functions shows them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::shown::{told, value};
use crate::proto::v1::{HistoryEvent, HistoryEventType};

/// One event. Inputs and results only where they were asked for.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Chapter {
    event_type: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestration_status: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    function_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    worker: String,
    #[serde(skip_serializing_if = "is_zero")]
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    instance_id: String,
}

impl Chapter {
    pub fn new(event: HistoryEvent, with_payloads: bool) -> Chapter {
        let kind = event.r#type();
        let (event_type, orchestration_status) = kind_of(kind);
        let (function_name, name) = match kind {
            HistoryEventType::ExecutionStarted
            | HistoryEventType::TaskScheduled
            | HistoryEventType::SubOrchestrationStarted => (event.name, String::new()),
            _ => (String::new(), event.name),
        };
        let payload = |payload: Option<String>| payload.filter(|_| with_payloads).map(value);
        let reason = event.failure.as_ref().map_or(event.reason, told);
        Chapter {
            event_type,
            timestamp: event.timestamp.map(|at| at.to_string()).unwrap_or_default(),
            orchestration_status,
            function_name,
            name,
            input: payload(event.input),
            result: payload(event.output),
            reason,
            worker: event.worker,
            attempt: event.attempt,
            fire_at: event.due_at.map(|at| at.to_string()),
            task_id: event.task_id,
            instance_id: event.instance_id,
        }
    }
}

/// The name of the event; of an end, with the status too.
fn kind_of(kind: HistoryEventType) -> (&'static str, Option<&'static str>) {
    match kind {
        HistoryEventType::Unspecified => ("Unspecified", None),
        HistoryEventType::ExecutionStarted => ("ExecutionStarted", None),
        HistoryEventType::RunGranted => ("RunGranted", None),
        HistoryEventType::RetryScheduled => ("RetryScheduled", None),
        HistoryEventType::EventRaised => ("EventRaised", None),
        HistoryEventType::ExecutionSuspended => ("ExecutionSuspended", None),
        HistoryEventType::ExecutionResumed => ("ExecutionResumed", None),
        HistoryEventType::ExecutionCompleted => ("ExecutionCompleted", Some("Completed")),
        HistoryEventType::ExecutionFailed => ("ExecutionCompleted", Some("Failed")),
        HistoryEventType::ExecutionTerminated => ("ExecutionTerminated", Some("Terminated")),
        HistoryEventType::TurnStarted => ("OrchestratorStarted", None),
        HistoryEventType::TaskScheduled => ("TaskScheduled", None),
        HistoryEventType::TaskCompleted => ("TaskCompleted", None),
        HistoryEventType::TaskFailed => ("TaskFailed", None),
        HistoryEventType::TimerCreated => ("TimerCreated", None),
        HistoryEventType::TimerFired => ("TimerFired", None),
        HistoryEventType::SubOrchestrationStarted => ("SubOrchestrationInstanceCreated", None),
        HistoryEventType::SubOrchestrationCompleted => ("SubOrchestrationInstanceCompleted", None),
        HistoryEventType::SubOrchestrationFailed => ("SubOrchestrationInstanceFailed", None),
        HistoryEventType::EventSent => ("EventSent", None),
        HistoryEventType::Other => ("Other", None),
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
