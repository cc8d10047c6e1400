//! What the orchestrators of the loads do: replay, by counting what their history says.

use prost::{DecodeError, Message};

use crate::proto::durable_task::{
    CompleteOrchestrationAction, HistoryEvent, OrchestrationStatus, OrchestratorAction, OrchestratorRequest,
    ScheduleTaskAction, history_event::EventType, orchestrator_action::OrchestratorActionType as Action,
};

/// How an orchestration comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// So many activities, one after the other.
    Sequence(u32),
    /// So many activities at once.
    FanOut(u32),
    /// None: it goes on as new, for as long as somebody waits for it.
    Eternal,
}

/// What an execution has done so far.
#[derive(Debug, Default)]
struct SoFar {
    input: Option<String>,
    scheduled: u32,
    completed: u32,
}

impl Score {
    /// What is to be done next. `awaited` says whether somebody waits for it.
    pub fn play(
        self,
        turn: &OrchestratorRequest,
        function: &str,
        awaited: bool,
    ) -> Result<Vec<OrchestratorAction>, DecodeError> {
        let mut so_far = SoFar::default();
        for event in &turn.past_events {
            so_far.add(&HistoryEvent::decode(&**event)?);
        }
        turn.new_events.iter().for_each(|event| so_far.add(event));
        let scheduled = match self {
            Score::Eternal if awaited => return Ok(vec![end(0, OrchestrationStatus::ContinuedAsNew, so_far.input)]),
            Score::Eternal => 0,
            Score::Sequence(count) => count.min(so_far.completed + 1),
            Score::FanOut(count) => count,
        };
        let tasks = so_far.scheduled..scheduled;
        if tasks.is_empty() && so_far.completed == so_far.scheduled {
            return Ok(vec![end(so_far.scheduled, OrchestrationStatus::Completed, None)]);
        }
        Ok(tasks.map(|id| schedule(id, function, so_far.input.clone())).collect())
    }
}

impl SoFar {
    fn add(&mut self, event: &HistoryEvent) {
        match &event.event_type {
            Some(EventType::ExecutionStarted(started)) => self.input.clone_from(&started.input),
            Some(EventType::TaskScheduled(_)) => self.scheduled += 1,
            Some(EventType::TaskCompleted(_)) => self.completed += 1,
            _ => {}
        }
    }
}

fn schedule(id: u32, name: &str, input: Option<String>) -> OrchestratorAction {
    action(id, Action::ScheduleTask(ScheduleTaskAction { name: name.into(), input, ..Default::default() }))
}

fn end(id: u32, status: OrchestrationStatus, result: Option<String>) -> OrchestratorAction {
    let complete = CompleteOrchestrationAction {
        orchestration_status: status.into(),
        result,
        ..CompleteOrchestrationAction::default()
    };
    action(id, Action::CompleteOrchestration(complete))
}

fn action(id: u32, action: Action) -> OrchestratorAction {
    OrchestratorAction { id: id.cast_signed(), orchestrator_action_type: Some(action) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::durable_task::{ExecutionStartedEvent, TaskCompletedEvent, TaskScheduledEvent};

    /// A turn after so many activities were scheduled, and so many of them are done.
    fn turn(scheduled: usize, completed: usize) -> OrchestratorRequest {
        let event = |event_type| HistoryEvent { event_type: Some(event_type), ..HistoryEvent::default() };
        let started = ExecutionStartedEvent { input: Some("1".into()), ..ExecutionStartedEvent::default() };
        let mut past = vec![event(EventType::ExecutionStarted(started))];
        past.extend((0..scheduled).map(|_| event(EventType::TaskScheduled(TaskScheduledEvent::default()))));
        let past_events = past.iter().map(Message::encode_to_vec).collect();
        let new_events = (0..completed).map(|_| event(EventType::TaskCompleted(TaskCompletedEvent::default())));
        OrchestratorRequest { past_events, new_events: new_events.collect(), ..OrchestratorRequest::default() }
    }

    #[test]
    fn orchestrators_do_what_their_history_leaves_to_do() {
        let cases: [(Score, (usize, usize), &[&str]); 9] = [
            (Score::Sequence(1), (0, 0), &["0 activity"]),
            (Score::Sequence(1), (1, 1), &["1 COMPLETED"]),
            (Score::Sequence(3), (1, 0), &[]),
            (Score::Sequence(3), (1, 1), &["1 activity"]),
            (Score::Sequence(3), (3, 3), &["3 COMPLETED"]),
            (Score::FanOut(2), (0, 0), &["0 activity", "1 activity"]),
            (Score::FanOut(2), (2, 1), &[]),
            (Score::FanOut(2), (2, 2), &["2 COMPLETED"]),
            (Score::Eternal, (0, 0), &["0 CONTINUED_AS_NEW"]),
        ];
        let said = |action: OrchestratorAction| match action.orchestrator_action_type {
            Some(Action::ScheduleTask(task)) => format!("{} {}", action.id, task.name),
            Some(Action::CompleteOrchestration(end)) => {
                let status = end.orchestration_status().as_str_name();
                format!("{} {}", action.id, status.trim_start_matches("ORCHESTRATION_STATUS_"))
            }
            other => panic!("{other:?}"),
        };
        for (score, (scheduled, completed), expected) in cases {
            let actions = score.play(&turn(scheduled, completed), "activity", true).expect("events");
            let actions: Vec<String> = actions.into_iter().map(said).collect();
            assert_eq!(actions, expected, "{score:?} after {completed} of {scheduled}");
        }
        let ended = Score::Eternal.play(&turn(0, 0), "activity", false).expect("events");
        assert_eq!(ended.into_iter().map(said).collect::<Vec<_>>(), ["0 COMPLETED"]);
    }
}
