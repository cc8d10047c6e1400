//! A Durable Task worker in the hands of a test.

use std::{future::Future, time::Duration};

use prost::Message;
use soloist::proto::durable_task::{
    self as pb, OrchestrationStatus, history_event::EventType, orchestrator_action::OrchestratorActionType as Action,
    work_item::Request,
};
use tonic::Streaming;

use crate::{
    durable_task::{Sidecar, sidecar},
    support::{Server, process::PATIENCE},
};

pub struct Worker {
    pub sidecar: Sidecar,
    stream: Streaming<pb::WorkItem>,
}

/// A turn that a worker has.
#[derive(Debug)]
pub struct Turn {
    pub request: pb::OrchestratorRequest,
    pub token: String,
}

/// An activity that a worker has.
#[derive(Debug)]
pub struct Activity {
    pub request: pb::ActivityRequest,
    pub token: String,
}

pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

impl Worker {
    pub async fn join(server: &Server) -> Worker {
        Worker::ask(server, pb::GetWorkItemsRequest::default()).await
    }

    pub async fn ask(server: &Server, request: pb::GetWorkItemsRequest) -> Worker {
        Worker::over(sidecar(server).await, request).await
    }

    /// On this connection.
    pub async fn over(mut sidecar: Sidecar, request: pb::GetWorkItemsRequest) -> Worker {
        let stream = sidecar.get_work_items(request).await.expect("a stream").into_inner();
        Worker { sidecar, stream }
    }

    /// The next work item.
    pub async fn item(&mut self) -> (Request, String) {
        let item = within("a work item", self.stream.message()).await.expect("a stream").expect("an item");
        (item.request.expect("an item asks for something"), item.completion_token)
    }

    pub async fn turn(&mut self) -> Turn {
        match self.item().await {
            (Request::OrchestratorRequest(request), token) => Turn { request, token },
            (other, _) => panic!("no turn, but {other:?}"),
        }
    }

    pub async fn activity(&mut self) -> Activity {
        match self.item().await {
            (Request::ActivityRequest(request), token) => Activity { request, token },
            (other, _) => panic!("no activity, but {other:?}"),
        }
    }

    /// Whether nothing comes until the server has done all that it had to: it is asked something meanwhile that takes a
    /// commit.
    pub async fn hears_nothing(&mut self, server: &Server) -> bool {
        let mut sidecar = sidecar(server).await;
        for _ in 0..3 {
            let request = pb::CreateInstanceRequest {
                name: "unserved".into(),
                scheduled_start_timestamp: Some(prost_types::Timestamp { seconds: 32_503_680_000, nanos: 0 }),
                ..Default::default()
            };
            sidecar.start_instance(request).await.expect("started");
        }
        tokio::time::timeout(Duration::from_millis(20), self.stream.message()).await.is_err()
    }

    pub async fn complete(&mut self, turn: &Turn, actions: Vec<pb::OrchestratorAction>) {
        self.respond(response(turn, actions)).await;
    }

    pub async fn respond(&mut self, response: pb::OrchestratorResponse) {
        let completed = within("an answer", self.sidecar.complete_orchestrator_task(response)).await;
        completed.expect("never an error");
    }

    pub async fn done(&mut self, activity: &Activity, result: Option<&str>) {
        self.ended(activity, result, None).await;
    }

    pub async fn ended(
        &mut self,
        activity: &Activity,
        result: Option<&str>,
        failure_details: Option<pb::TaskFailureDetails>,
    ) {
        let instance = activity.request.orchestration_instance.clone().expect("it is of an instance");
        let response = pb::ActivityResponse {
            instance_id: instance.instance_id,
            task_id: activity.request.task_id,
            result: result.map(String::from),
            failure_details,
            completion_token: activity.token.clone(),
        };
        within("an answer", self.sidecar.complete_activity_task(response)).await.expect("never an error");
    }

    /// Does the next turn: it is of this instance and is told these new events.
    pub async fn play(&mut self, id: &str, told: &[&str], actions: Vec<pb::OrchestratorAction>) -> Turn {
        let turn = self.turn().await;
        assert_eq!((turn.request.instance_id.as_str(), turn.news().as_slice()), (id, told));
        self.complete(&turn, actions).await;
        turn
    }

    pub async fn until_ended(&mut self, id: &str) -> pb::OrchestrationState {
        let request = pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: true };
        let ended = within("the end", self.sidecar.wait_for_instance_completion(request)).await.expect("an answer");
        ended.into_inner().orchestration_state.expect("it is there")
    }

    pub async fn history(&mut self, id: &str) -> Vec<pb::HistoryEvent> {
        history(&mut self.sidecar, id).await
    }
}

impl Turn {
    pub fn past(&self) -> Vec<pb::HistoryEvent> {
        past(&self.request)
    }

    /// What is new to the orchestrator.
    pub fn news(&self) -> Vec<&'static str> {
        self.request.new_events.iter().map(kind).collect()
    }

    pub fn execution_id(&self) -> &str {
        self.request.execution_id.as_deref().expect("it has an execution")
    }
}

/// The events of an instance's history.
pub async fn history(sidecar: &mut Sidecar, id: &str) -> Vec<pb::HistoryEvent> {
    let request = pb::StreamInstanceHistoryRequest { instance_id: id.into(), ..Default::default() };
    let mut chunks = sidecar.stream_instance_history(request).await.expect("a history").into_inner();
    let mut events = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("a history") {
        events.extend(chunk.events);
    }
    events
}

/// The history so far.
pub fn past(request: &pb::OrchestratorRequest) -> Vec<pb::HistoryEvent> {
    let event = |event: &Vec<u8>| pb::HistoryEvent::decode(&**event).expect("an event");
    request.past_events.iter().map(event).collect()
}

pub fn response(turn: &Turn, actions: Vec<pb::OrchestratorAction>) -> pb::OrchestratorResponse {
    pb::OrchestratorResponse {
        instance_id: turn.request.instance_id.clone(),
        completion_token: turn.token.clone(),
        actions,
        ..Default::default()
    }
}

/// The name of an event, as the protocol has it; of an external one with its own name.
pub fn kind(event: &pb::HistoryEvent) -> &'static str {
    match event.event_type.as_ref().expect("it says something") {
        EventType::OrchestratorStarted(_) => "OrchestratorStarted",
        EventType::ExecutionStarted(_) => "ExecutionStarted",
        EventType::ExecutionCompleted(_) => "ExecutionCompleted",
        EventType::ExecutionTerminated(_) => "ExecutionTerminated",
        EventType::TaskScheduled(_) => "TaskScheduled",
        EventType::TaskCompleted(_) => "TaskCompleted",
        EventType::TaskFailed(_) => "TaskFailed",
        EventType::SubOrchestrationInstanceCreated(_) => "SubOrchestrationInstanceCreated",
        EventType::SubOrchestrationInstanceCompleted(_) => "SubOrchestrationInstanceCompleted",
        EventType::SubOrchestrationInstanceFailed(_) => "SubOrchestrationInstanceFailed",
        EventType::TimerCreated(_) => "TimerCreated",
        EventType::TimerFired(_) => "TimerFired",
        EventType::EventSent(_) => "EventSent",
        EventType::EventRaised(_) => "EventRaised",
        _ => "something else",
    }
}

/// The names and inputs of the external events among these.
pub fn raised(events: &[pb::HistoryEvent]) -> Vec<(String, Option<String>)> {
    let raised = events.iter().filter_map(|event| match &event.event_type {
        Some(EventType::EventRaised(raised)) => Some((raised.name.clone(), raised.input.clone())),
        _ => None,
    });
    raised.collect()
}

fn action(id: i32, action: Action) -> pb::OrchestratorAction {
    pb::OrchestratorAction { id, orchestrator_action_type: Some(action) }
}

pub fn schedule(id: i32, name: &str) -> pb::OrchestratorAction {
    let input = Some(format!("\"{name} {id}\""));
    action(id, Action::ScheduleTask(pb::ScheduleTaskAction { name: name.into(), input, ..Default::default() }))
}

pub fn timer(id: i32, fire_at: prost_types::Timestamp) -> pb::OrchestratorAction {
    action(id, Action::CreateTimer(pb::CreateTimerAction { fire_at: Some(fire_at) }))
}

/// A time so long after now.
pub fn after(wait: Duration) -> prost_types::Timestamp {
    (std::time::SystemTime::now() + wait).into()
}

pub fn child(id: i32, instance_id: &str) -> pb::OrchestratorAction {
    let (instance_id, name) = (instance_id.into(), "child".into());
    action(
        id,
        Action::CreateSubOrchestration(pb::CreateSubOrchestrationAction { instance_id, name, ..Default::default() }),
    )
}

pub fn send(id: i32, to: &str, name: &str, data: Option<&str>) -> pb::OrchestratorAction {
    let instance = Some(pb::OrchestrationInstance { instance_id: to.into(), execution_id: None });
    action(id, Action::SendEvent(pb::SendEventAction { instance, name: name.into(), data: data.map(String::from) }))
}

pub fn completed(id: i32, result: Option<&str>) -> pb::OrchestratorAction {
    ended(id, OrchestrationStatus::Completed, result)
}

pub fn ended(id: i32, status: OrchestrationStatus, result: Option<&str>) -> pb::OrchestratorAction {
    action(
        id,
        Action::CompleteOrchestration(pb::CompleteOrchestrationAction {
            orchestration_status: status.into(),
            result: result.map(String::from),
            ..Default::default()
        }),
    )
}

pub fn failed(id: i32, failure_details: pb::TaskFailureDetails) -> pb::OrchestratorAction {
    action(
        id,
        Action::CompleteOrchestration(pb::CompleteOrchestrationAction {
            orchestration_status: OrchestrationStatus::Failed.into(),
            failure_details: Some(failure_details),
            ..Default::default()
        }),
    )
}

pub fn continued(id: i32, input: &str, carried: &[(&str, &str)]) -> pb::OrchestratorAction {
    let carryover_events = carried.iter().map(|(name, input)| pb::HistoryEvent {
        event_id: -1,
        timestamp: Some(after(Duration::ZERO)),
        event_type: Some(EventType::EventRaised(pb::EventRaisedEvent {
            name: (*name).into(),
            input: Some((*input).into()),
        })),
    });
    action(
        id,
        Action::CompleteOrchestration(pb::CompleteOrchestrationAction {
            orchestration_status: OrchestrationStatus::ContinuedAsNew.into(),
            result: Some(input.into()),
            carryover_events: carryover_events.collect(),
            ..Default::default()
        }),
    )
}

/// A failure with all that there can be in one.
pub fn broken(error_type: &str) -> pb::TaskFailureDetails {
    let inner =
        pb::TaskFailureDetails { error_type: "Inner".into(), error_message: "why".into(), ..Default::default() };
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(7.0)) };
    pb::TaskFailureDetails {
        error_type: error_type.into(),
        error_message: "it broke".into(),
        stack_trace: Some("at the third line".into()),
        inner_failure: Some(Box::new(inner)),
        is_non_retriable: true,
        properties: [("code".to_owned(), number)].into(),
    }
}
