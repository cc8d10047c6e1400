//! What a worker makes of a turn.

use std::sync::Arc;

use prost::Message;

use super::worker::{event, failure, note, rounded_up};
use crate::{
    core::{
        command::{Action, CompleteTurn, Ending, Payload, Signal},
        ids::{CompletionToken, ExecutionId, InstanceId, InstanceKey, Name},
        policy::{RetryPolicy, WorkerKind},
        status::{Failure, Spec},
        time::Timestamp,
        turn::Note,
    },
    engine::{Engine, work_items::Sent},
    proto::durable_task::{
        self as pb, OrchestrationStatus, history_event::EventType, orchestrator_action::OrchestratorActionType as Type,
    },
    store::record::failure_details,
};

/// What a turn comes to. What the worker asks for that can't be done fails the orchestration, and says why.
pub fn completed_turn(
    engine: &Engine,
    key: &InstanceKey,
    token: CompletionToken,
    sent: &Sent,
    payload_bytes_max: usize,
    response: pb::OrchestratorResponse,
) -> CompleteTurn {
    let (now, notes) = (engine.now(), sent.notes.clone());
    let mut outcome = Outcome { engine, key, sent, payload_bytes_max, now, notes, actions: Vec::new() };
    let is_whole = is_whole(&response);
    let (completions, others): (Vec<_>, Vec<_>) = response
        .actions
        .into_iter()
        .partition(|action| matches!(action.orchestrator_action_type, Some(Type::CompleteOrchestration(_))));
    // In whichever order they come, the first completion counts, after everything else.
    let done: Result<Option<Ending>, String> = (|| {
        is_whole?;
        outcome.fits("the custom status", response.custom_status.as_deref())?;
        for action in others {
            outcome.act(action)?;
        }
        completions.into_iter().next().map(|action| outcome.end(action)).transpose()
    })();
    let ending = done.unwrap_or_else(|wrong| Some(outcome.fail(wrong)));
    let custom_status = response.custom_status.filter(|text| text.len() <= payload_bytes_max);
    let Outcome { notes, actions, .. } = outcome;
    CompleteTurn {
        token,
        notes,
        through: sent.through,
        began_at: sent.began_at,
        custom_status: custom_status.map(|text| Some(Payload::from(text)).filter(|text| !text.is_empty())),
        trace: response.orchestration_trace_context.map(|trace| trace.encode_to_vec().into()),
        actions,
        ending,
    }
}

/// The rest of it would be taken for a late answer, and be lost without a word.
#[expect(deprecated, reason = "workers send it all the same")]
fn is_whole(response: &pb::OrchestratorResponse) -> Result<(), String> {
    let said = "this server takes no completion that comes in several parts: make the turn smaller";
    if response.is_partial { Err(said.into()) } else { Ok(()) }
}

/// What the actions of a turn have come to so far.
struct Outcome<'a> {
    engine: &'a Engine,
    key: &'a InstanceKey,
    sent: &'a Sent,
    payload_bytes_max: usize,
    now: Timestamp,
    notes: Vec<Note>,
    actions: Vec<Action>,
}

impl Outcome<'_> {
    fn note(&mut self, id: i32, event_type: EventType) -> u64 {
        self.notes.push(note(&event(id, self.now, event_type)));
        self.notes.len() as u64 - 1
    }

    fn fits(&self, what: &str, payload: Option<&str>) -> Result<(), String> {
        super::worker::fits(what, payload, self.payload_bytes_max)
    }

    fn act(&mut self, action: pb::OrchestratorAction) -> Result<(), String> {
        let id = action.id;
        match action.orchestrator_action_type {
            Some(Type::ScheduleTask(task)) => {
                let (name, version) = (name(&task.name)?, task.version.clone().unwrap_or_default());
                self.fits(&format!("the input of the activity '{name}'"), task.input.as_deref())?;
                let note = self.note(
                    id,
                    EventType::TaskScheduled(pb::TaskScheduledEvent {
                        name: task.name,
                        version: task.version,
                        input: task.input,
                        parent_trace_context: task.parent_trace_context,
                        tags: task.tags,
                    }),
                );
                self.actions.push(Action::ScheduleActivity { id, name, version, note });
            }
            Some(Type::CreateTimer(timer)) => {
                let fire_at = timer.fire_at.unwrap_or_default();
                let due = rounded_up(&fire_at);
                self.note(id, EventType::TimerCreated(pb::TimerCreatedEvent { fire_at: Some(fire_at) }));
                self.actions.push(Action::CreateTimer { id, fire_at: due });
            }
            Some(Type::CreateSubOrchestration(child)) => self.start_child(id, child)?,
            // The Java package takes no notice that an event was sent, and asks for it anew with each turn.
            Some(Type::SendEvent(_)) if self.sent.events_sent.contains(&id) => {}
            Some(Type::SendEvent(send)) => {
                let target = send.instance.unwrap_or_default();
                let execution = target.execution_id.filter(|id| !id.is_empty()).map(|id| ExecutionId::parse(&id));
                let (to, name) = (InstanceId::parse(&target.instance_id), name(&send.name)?);
                self.fits(&format!("the event '{name}'"), send.data.as_deref())?;
                self.note(
                    id,
                    EventType::EventSent(pb::EventSentEvent {
                        instance_id: target.instance_id,
                        name: send.name,
                        input: send.data.clone(),
                    }),
                );
                // Nobody can have an id or an execution that is none.
                if let (Ok(to), Ok(execution)) = (to, execution.transpose()) {
                    let signal = Signal { name, input: send.data.map(Payload::from) };
                    self.actions.push(Action::SendEvent { to, execution, signal });
                }
            }
            Some(Type::TerminateOrchestration(terminate)) => {
                self.fits("the output of a termination", terminate.reason.as_deref())?;
                if let Ok(to) = InstanceId::parse(&terminate.instance_id) {
                    let output = terminate.reason.map(Payload::from);
                    self.actions.push(Action::Terminate { to, output, recurse: terminate.recurse });
                }
            }
            Some(Type::SendEntityMessage(_)) => return Err("this server has no entities".into()),
            Some(Type::RewindOrchestration(_)) => return Err("this server does not rewind orchestrations".into()),
            Some(Type::CompleteOrchestration(_)) | None => {
                tracing::warn!(key = ?self.key, id, "an orchestrator's action says nothing");
            }
        }
        Ok(())
    }

    fn start_child(&mut self, id: i32, child: pb::CreateSubOrchestrationAction) -> Result<(), String> {
        let instance_id = match child.instance_id.as_str() {
            "" => format!("{}:{id:04x}", self.key.id()),
            given => given.into(),
        };
        let instance = InstanceId::parse(&instance_id)
            .map_err(|wrong| format!("the sub-orchestration's id '{instance_id}' {wrong}"))?;
        let function = name(&child.name)?;
        self.fits(&format!("the input of the sub-orchestration '{instance_id}'"), child.input.as_deref())?;
        let spec = Spec {
            version: child.version.clone(),
            tags: child.tags.clone(),
            trace: child.parent_trace_context.as_ref().map(|trace| trace.encode_to_vec().into()),
            start_at: None,
            ..plain(function)
        };
        self.note(
            id,
            EventType::SubOrchestrationInstanceCreated(pb::SubOrchestrationInstanceCreatedEvent {
                instance_id,
                name: child.name,
                version: child.version,
                input: child.input.clone(),
                parent_trace_context: child.parent_trace_context,
                tags: child.tags,
            }),
        );
        let (execution, input) = (self.engine.draw_execution_id(), child.input.map(Payload::from));
        self.actions.push(Action::StartChild { id, instance, execution, spec: Arc::new(spec), input });
        Ok(())
    }

    fn end(&mut self, action: pb::OrchestratorAction) -> Result<Ending, String> {
        let Some(Type::CompleteOrchestration(complete)) = action.orchestrator_action_type else {
            return Err("the completion says nothing".into());
        };
        let status = OrchestrationStatus::try_from(complete.orchestration_status)
            .map_err(|_| format!("an orchestration can't end with status {}", complete.orchestration_status))?;
        let what = match status {
            OrchestrationStatus::ContinuedAsNew => "the input of the next execution",
            _ => "the output",
        };
        self.fits(what, complete.result.as_deref())?;
        let result = complete.result.clone().map(Payload::from);
        let ending = match status {
            OrchestrationStatus::ContinuedAsNew => return self.continue_as_new(complete),
            OrchestrationStatus::Completed => Ending::Completed { output: result },
            OrchestrationStatus::Failed => {
                let details = complete.failure_details.clone().unwrap_or_default();
                Ending::Failed { failure: Arc::new(failure(&details)), output: result }
            }
            OrchestrationStatus::Terminated | OrchestrationStatus::Canceled => Ending::Terminated { output: result },
            OrchestrationStatus::Running | OrchestrationStatus::Pending | OrchestrationStatus::Suspended => {
                return Err(format!("an orchestration can't end as {}", status.as_str_name()));
            }
        };
        self.note(
            action.id,
            EventType::ExecutionCompleted(pb::ExecutionCompletedEvent {
                orchestration_status: status.into(),
                result: complete.result,
                failure_details: complete.failure_details,
            }),
        );
        Ok(ending)
    }

    fn continue_as_new(&self, complete: pb::CompleteOrchestrationAction) -> Result<Ending, String> {
        let former = &self.sent.spec;
        let mut spec = Spec { start_at: None, ..Spec::clone(former) };
        if let Some(version) = complete.new_version {
            spec.version = Some(version);
        }
        if !complete.tags.is_empty() {
            spec.tags = complete.tags;
        }
        let carried = complete.carryover_events.into_iter().filter_map(|event| match event.event_type {
            Some(EventType::EventRaised(raised)) => Some(raised),
            _ => None,
        });
        let signal = |raised: pb::EventRaisedEvent| {
            Ok(Signal { name: name(&raised.name)?, input: raised.input.map(Payload::from) })
        };
        Ok(Ending::ContinuedAsNew {
            execution: self.engine.draw_execution_id(),
            spec: Arc::new(spec),
            input: complete.result.map(Payload::from),
            carried: carried.map(signal).collect::<Result<_, String>>()?,
        })
    }

    /// The end of an orchestration that asks for what can't be done.
    fn fail(&mut self, wrong: String) -> Ending {
        let failure = Failure::declared("InvalidOrchestratorAction", wrong);
        let details = failure_details(&failure);
        self.note(
            -1,
            EventType::ExecutionCompleted(pb::ExecutionCompletedEvent {
                orchestration_status: OrchestrationStatus::Failed.into(),
                result: None,
                failure_details: Some(details),
            }),
        );
        self.actions.clear();
        Ending::Failed { failure: Arc::new(failure), output: None }
    }
}

fn plain(function: Name) -> Spec {
    Spec {
        function,
        version: None,
        tags: Default::default(),
        worker_kind: WorkerKind::DurableTask,
        retry: RetryPolicy::ONCE,
        start_deadline: None,
        run_timeout: None,
        start_at: None,
        parent: None,
        trace: None,
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|wrong| format!("the name '{}' {wrong}", text.chars().take(64).collect::<String>()))
}
