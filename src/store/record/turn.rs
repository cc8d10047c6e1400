//! Rows of executions that are run in turns: their tasks, what they are told, and what they tell others.

use std::sync::Arc;

use prost::Message as _;

use super::{
    Undecodable, disk, execution_from_disk, execution_to_disk, failure_from_disk, failure_to_disk, name, present,
    sixteen, undecodable, unknown,
};
use crate::{
    core::{
        command::{Payload, Signal},
        ids::{ExecutionId, InstanceId, InstanceKey, Revision, TaskHub},
        partitioning::PartitionId,
        status::{Execution, Failure},
        time::{Now, Timestamp},
        turn::{Message, MessageBody, Parent, Task, TaskKind, TaskOutcome, Turns},
    },
    proto::durable_task as dt,
};

/// What waits in an inbox.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Raised {
        name: String,
        input: Option<String>,
        raised_at: Timestamp,
    },
    /// The end of a task that this execution has scheduled, as a Durable Task `HistoryEvent`.
    TaskEnded {
        execution: ExecutionId,
        event: Vec<u8>,
    },
}

impl Incoming {
    /// Of what it brings.
    pub fn bytes(&self) -> usize {
        match self {
            Incoming::Raised { name, input, .. } => name.len() + input.as_ref().map_or(0, String::len),
            Incoming::TaskEnded { event, .. } => event.len(),
        }
    }
}

/// A message, with who sends it and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub from: PartitionId,
    pub to: InstanceKey,
    pub message: Message,
}

pub(super) fn turns_to_disk(turns: &Turns) -> disk::Turns {
    disk::Turns {
        begun: turns.begun,
        last_began_at: turns.last_began_at.map(|at| at.as_micros()),
        trace: turns.trace.as_deref().map(<[u8]>::to_vec),
        history_base: turns.history_base,
    }
}

pub(super) fn turns_from_disk(row: disk::Turns) -> Turns {
    let mut turns = Turns::default();
    turns.begun = row.begun;
    turns.history_base = row.history_base;
    turns.last_began_at = row.last_began_at.map(Timestamp::from_micros);
    turns.trace = row.trace.map(Arc::from);
    turns
}

pub(super) fn parent_to_disk(parent: &Parent) -> disk::Parent {
    disk::Parent {
        instance_id: parent.instance.as_str().into(),
        execution: parent.execution.0.to_vec(),
        function: parent.function.to_string(),
        version: parent.version.clone(),
        task: parent.task,
    }
}

pub(super) fn parent_from_disk(row: disk::Parent) -> Result<Parent, Undecodable> {
    Ok(Parent {
        instance: instance_id(&row.instance_id)?,
        execution: execution_id(&row.execution)?,
        function: name(&row.function)?,
        version: row.version,
        task: row.task,
    })
}

pub fn encode_task(task: &Task) -> Vec<u8> {
    type Kind = disk::task::Kind;
    let kind = match &task.kind {
        TaskKind::Activity { name, version, row } => {
            Kind::Activity(disk::Activity { name: name.to_string(), version: version.clone(), row: *row })
        }
        TaskKind::Timer { fire_at } => Kind::Timer(disk::Timer { fire_at: fire_at.as_micros() }),
        TaskKind::Child { instance, ended } => {
            Kind::Child(disk::Child { instance_id: instance.as_str().into(), ended: *ended })
        }
    };
    disk::Task { id: task.id, kind: Some(kind) }.encode_to_vec()
}

pub fn decode_task(bytes: &[u8]) -> Result<Task, Undecodable> {
    type Kind = disk::task::Kind;
    let row = disk::Task::decode(bytes).map_err(undecodable)?;
    let kind = match present(row.kind, "kind")? {
        Kind::Activity(activity) => {
            TaskKind::Activity { name: name(&activity.name)?, version: activity.version, row: activity.row }
        }
        Kind::Timer(timer) => TaskKind::Timer { fire_at: Timestamp::from_micros(timer.fire_at) },
        Kind::Child(child) => TaskKind::Child { instance: instance_id(&child.instance_id)?, ended: child.ended },
    };
    Ok(Task { id: row.id, kind })
}

/// The row of the inbox that tells an execution how a task of its own has ended.
pub fn encode_outcome(execution: ExecutionId, task: &Task, outcome: &TaskOutcome, now: Now) -> Vec<u8> {
    let event = dt::HistoryEvent {
        event_id: -1,
        timestamp: Some(timestamp(now.wall)),
        event_type: Some(event_type(task, outcome)),
    };
    let ended = disk::TaskEnded { execution: execution.0.to_vec(), event: event.encode_to_vec() };
    disk::ExternalEvent { raised_at: now.wall.as_micros(), task_ended: Some(ended), ..Default::default() }
        .encode_to_vec()
}

fn event_type(task: &Task, outcome: &TaskOutcome) -> dt::history_event::EventType {
    use dt::history_event::EventType as Type;
    let task_scheduled_id = task.id;
    let result = |result: &Option<Payload>| result.as_deref().map(String::from);
    let is_child = matches!(task.kind, TaskKind::Child { .. });
    match (outcome, &task.kind) {
        (TaskOutcome::Completed { result: text }, _) if is_child => {
            Type::SubOrchestrationInstanceCompleted(dt::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id,
                result: result(text),
            })
        }
        (TaskOutcome::Completed { result: text }, _) => {
            Type::TaskCompleted(dt::TaskCompletedEvent { task_scheduled_id, result: result(text) })
        }
        (TaskOutcome::Failed { failure }, _) => {
            let failure_details = Some(failure_details(failure));
            if is_child {
                Type::SubOrchestrationInstanceFailed(dt::SubOrchestrationInstanceFailedEvent {
                    task_scheduled_id,
                    failure_details,
                })
            } else {
                Type::TaskFailed(dt::TaskFailedEvent { task_scheduled_id, failure_details })
            }
        }
        (TaskOutcome::Fired, kind) => {
            let fire_at = match kind {
                TaskKind::Timer { fire_at } => Some(timestamp(*fire_at)),
                TaskKind::Activity { .. } | TaskKind::Child { .. } => None,
            };
            Type::TimerFired(dt::TimerFiredEvent { fire_at, timer_id: task_scheduled_id })
        }
    }
}

/// As its worker said it, if one did.
pub fn failure_details(failure: &Failure) -> dt::TaskFailureDetails {
    let origin = failure.origin.as_deref().and_then(|origin| dt::TaskFailureDetails::decode(origin).ok());
    origin.unwrap_or_else(|| dt::TaskFailureDetails {
        error_type: failure.error_type.clone(),
        error_message: failure.message.clone(),
        stack_trace: Some(failure.details.clone()).filter(|details| !details.is_empty()),
        is_non_retriable: failure.non_retriable,
        ..Default::default()
    })
}

/// Whether an event of the Durable Task protocol ends an execution.
pub fn is_end(event: &[u8]) -> bool {
    let event_type = dt::HistoryEvent::decode(event).ok().and_then(|event| event.event_type);
    matches!(event_type, Some(dt::history_event::EventType::ExecutionCompleted(_)))
}

/// As much of an event of the Durable Task protocol as says whether it is one that was sent.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(int32, tag = "1")]
    event_id: i32,
    #[prost(message, optional, tag = "16")]
    event_sent: Option<()>,
}

/// The number of the action that has sent an event, if that is what this event tells of. The rest is not looked at.
pub fn sent_event(event: &[u8]) -> Result<Option<i32>, Undecodable> {
    let Head { event_id, event_sent } = Head::decode(event).map_err(undecodable)?;
    Ok(event_sent.map(|()| event_id))
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanos = at.as_micros().rem_euclid(1_000_000) * 1_000;
    prost_types::Timestamp { seconds: at.as_micros().div_euclid(1_000_000), nanos: i32::try_from(nanos).unwrap_or(0) }
}

pub fn decode_incoming(bytes: &[u8]) -> Result<Incoming, Undecodable> {
    let row = disk::ExternalEvent::decode(bytes).map_err(undecodable)?;
    match row.task_ended {
        Some(ended) => Ok(Incoming::TaskEnded { execution: execution_id(&ended.execution)?, event: ended.event }),
        None => {
            Ok(Incoming::Raised { name: row.name, input: row.input, raised_at: Timestamp::from_micros(row.raised_at) })
        }
    }
}

pub fn encode_letter(letter: &Letter) -> Vec<u8> {
    type Body = disk::letter::Body;
    let text = |payload: &Option<Payload>| payload.as_deref().map(String::from);
    let body = match &letter.message.body {
        MessageBody::Start { execution, spec, input } => {
            let execution = Execution::planned(*execution, spec);
            let execution = Some(execution_to_disk(&execution));
            Body::StartChild(Box::new(disk::StartChild { execution, input: text(input) }))
        }
        MessageBody::ChildEnded { execution, task, outcome } => {
            let (failure, result) = match outcome {
                TaskOutcome::Completed { result } => (None, text(result)),
                TaskOutcome::Failed { failure } => (Some(failure_to_disk(failure)), None),
                TaskOutcome::Fired => (None, None),
            };
            Body::ChildEnded(disk::ChildEnded { execution: execution.0.to_vec(), task: *task, failure, result })
        }
        MessageBody::Raise { execution, signal } => Body::Raise(disk::Raise {
            execution: execution.map(|execution| execution.0.to_vec()),
            name: signal.name.to_string(),
            input: text(&signal.input),
        }),
        MessageBody::Terminate { parent, output, recurse } => Body::Terminate(disk::Terminate {
            parent_instance_id: parent.as_ref().map(|(id, _)| id.as_str().into()),
            parent_execution: parent.as_ref().map(|(_, execution)| execution.0.to_vec()).unwrap_or_default(),
            output: text(output),
            recurse: *recurse,
        }),
    };
    disk::Letter {
        task_hub: letter.to.hub().into(),
        from: letter.from.0.into(),
        to: letter.to.id().into(),
        body: Some(body),
    }
    .encode_to_vec()
}

pub fn decode_letter(bytes: &[u8]) -> Result<Letter, Undecodable> {
    type Body = disk::letter::Body;
    let row = disk::Letter::decode(bytes).map_err(undecodable)?;
    let payload = |text: Option<String>| text.map(Payload::from);
    let body = match present(row.body, "body")? {
        Body::StartChild(start) => {
            let execution = execution_from_disk(present(start.execution, "execution")?)?;
            MessageBody::Start { execution: execution.id, spec: execution.spec, input: payload(start.input) }
        }
        Body::ChildEnded(ended) => {
            let outcome = match ended.failure {
                Some(failure) => TaskOutcome::Failed { failure: Arc::new(failure_from_disk(failure)) },
                None => TaskOutcome::Completed { result: payload(ended.result) },
            };
            MessageBody::ChildEnded { execution: execution_id(&ended.execution)?, task: ended.task, outcome }
        }
        Body::Raise(raise) => MessageBody::Raise {
            execution: raise.execution.as_deref().map(execution_id).transpose()?,
            signal: Signal { name: name(&raise.name)?, input: payload(raise.input) },
        },
        Body::Terminate(terminate) => MessageBody::Terminate {
            parent: match &terminate.parent_instance_id {
                Some(id) => Some((instance_id(id)?, execution_id(&terminate.parent_execution)?)),
                None => None,
            },
            output: payload(terminate.output),
            recurse: terminate.recurse,
        },
    };
    let from = u16::try_from(row.from).map_err(|_| unknown("partition", row.from))?;
    let to = instance_id(&row.to)?;
    let hub = TaskHub::parse(&row.task_hub).map_err(undecodable)?;
    Ok(Letter { from: PartitionId(from), to: InstanceKey::new(&hub, &to), message: Message { to, body } })
}

pub fn encode_mark(revision: Revision) -> Vec<u8> {
    disk::Mark { revision: revision.0 }.encode_to_vec()
}

pub fn decode_mark(bytes: &[u8]) -> Result<Revision, Undecodable> {
    Ok(Revision(disk::Mark::decode(bytes).map_err(undecodable)?.revision))
}

fn execution_id(bytes: &[u8]) -> Result<ExecutionId, Undecodable> {
    sixteen(bytes, "execution id").map(ExecutionId)
}

fn instance_id(text: &str) -> Result<InstanceId, Undecodable> {
    InstanceId::parse(text).map_err(undecodable)
}
