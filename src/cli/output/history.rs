//! Events of a history for people.

use super::text::{Rows, moment};
use crate::proto::v1::{HistoryEvent, HistoryEventType};

/// Widths are fixed, since the events are not known yet when the first one is printed.
pub fn head() -> String {
    line("EVENT", "TIME", "WHAT", "")
}

pub fn event(event: &HistoryEvent) -> String {
    let time = event.timestamp.as_ref().map(moment).unwrap_or_default();
    let mut notes = Rows::default();
    notes.add("input", event.input.as_deref().unwrap_or_default());
    notes.add("output", event.output.as_deref().unwrap_or_default());
    notes.failure(event.failure.as_ref());
    notes.add("reason", &event.reason);
    line(&event.event_id.to_string(), &time, what(event.r#type()), &about(event)) + &notes.to_notes()
}

fn line(number: &str, time: &str, what: &str, about: &str) -> String {
    format!("{}\n", format!("{number:>5}  {time:24}  {what:20}  {about}").trim_end())
}

/// Who, which and when, as far as the event says.
fn about(event: &HistoryEvent) -> String {
    let number = |name: &str, number: u64| (number != 0).then(|| format!("{name} {number}"));
    let parts = [
        (!event.name.is_empty()).then(|| event.name.clone()),
        event.task_id.map(|id| format!("task {id}")),
        (!event.instance_id.is_empty()).then(|| format!("instance {}", event.instance_id)),
        number("number", event.sequence),
        number("attempt", event.attempt.into()),
        (!event.worker.is_empty()).then(|| format!("by {}", event.worker)),
        number("fencing token", event.fencing_token),
        event.due_at.as_ref().map(|due| format!("not before {}", moment(due))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn what(event: HistoryEventType) -> &'static str {
    match event {
        HistoryEventType::Unspecified => "unknown",
        HistoryEventType::ExecutionStarted => "execution started",
        HistoryEventType::RunGranted => "run granted",
        HistoryEventType::RetryScheduled => "retry scheduled",
        HistoryEventType::EventRaised => "event raised",
        HistoryEventType::ExecutionSuspended => "execution suspended",
        HistoryEventType::ExecutionResumed => "execution resumed",
        HistoryEventType::ExecutionCompleted => "execution completed",
        HistoryEventType::ExecutionFailed => "execution failed",
        HistoryEventType::ExecutionTerminated => "execution terminated",
        HistoryEventType::TurnStarted => "turn started",
        HistoryEventType::TaskScheduled => "task scheduled",
        HistoryEventType::TaskCompleted => "task completed",
        HistoryEventType::TaskFailed => "task failed",
        HistoryEventType::TimerCreated => "timer created",
        HistoryEventType::TimerFired => "timer fired",
        HistoryEventType::SubOrchestrationStarted => "child started",
        HistoryEventType::SubOrchestrationCompleted => "child completed",
        HistoryEventType::SubOrchestrationFailed => "child failed",
        HistoryEventType::EventSent => "event sent",
        HistoryEventType::Other => "other",
    }
}
