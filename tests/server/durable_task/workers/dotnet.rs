//! What the .NET package does, by hand: it cannot run in our suites, and it has habits of its own.
//!
//! It reads timestamps and many a message without looking whether they are there, counts actions from 0, names its token
//! each time, sends filters that are there but say nothing, and says that it could stream histories.

mod strict;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use soloist::proto::durable_task::{
    self as pb, OrchestrationStatus, WorkerCapability, history_event::EventType,
    task_hub_sidecar_service_client::TaskHubSidecarServiceClient, work_item::Request,
};
use tonic::{Code, transport::Endpoint};

use super::hand::{Activity, Turn, Worker, after, child, completed, continued, kind, response, schedule, timer};
use crate::{
    durable_task::{Sidecar, asked, creation},
    support::Server,
};

/// The length of the sequence, and of the fan-out that follows it.
const SEQUENCE: usize = 2;
const FANNED_OUT: usize = 5;
const ACTIVITIES: usize = SEQUENCE + FANNED_OUT;
const PAUSE: Duration = Duration::from_millis(30);

/// A connection as .NET's library makes it, after the call that asks whether anybody is there.
async fn dial(server: &Server) -> Sidecar {
    let endpoint = Endpoint::from_shared(server.address.clone()).expect("an address");
    let endpoint = endpoint.user_agent("grpc-dotnet/2.67.0 (.NET 8.0.12; CLR 8.0.12; net8.0; linux; x64)");
    let channel = endpoint.expect("a user agent").connect().await.expect("the server takes connections");
    let mut sidecar = TaskHubSidecarServiceClient::new(channel);
    let mut hello = tonic::Request::new(());
    hello.set_timeout(Duration::from_secs(30));
    sidecar.hello(hello).await.expect("somebody is there");
    sidecar
}

async fn join(server: &Server) -> Worker {
    let request = pb::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: 200,
        max_concurrent_activity_work_items: 200,
        max_concurrent_entity_work_items: 200,
        capabilities: vec![WorkerCapability::HistoryStreaming.into()],
        work_item_filters: Some(pb::WorkItemFilters::default()),
    };
    Worker::over(dial(server).await, request).await
}

fn new_instance(id: &str, input: &str) -> pb::CreateInstanceRequest {
    let trace = pb::TraceContext {
        trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ..Default::default()
    };
    pb::CreateInstanceRequest {
        // One that was chosen to be empty is sent.
        version: Some(String::new()),
        input: Some(input.into()),
        request_time: Some(SystemTime::now().into()),
        parent_trace_context: Some(trace),
        ..creation("Story", id)
    }
}

/// What the orchestrator does next, from all that it is told.
fn next(id: &str, all: &[pb::HistoryEvent]) -> Vec<pb::OrchestratorAction> {
    let count = |name: &str| all.iter().filter(|event| kind(event) == name).count();
    let input = all.iter().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => started.input.clone(),
        _ => None,
    });
    let (scheduled, done) = (count("TaskScheduled"), count("TaskCompleted"));
    if input.as_deref() != Some("\"first\"") {
        return match (scheduled, done) {
            (0, _) => vec![schedule(0, "act")],
            (_, 1) => vec![completed(1, input.as_deref())],
            _ => Vec::new(),
        };
    }
    match (scheduled, done) {
        (begun, ended) if begun == ended && begun < SEQUENCE => vec![schedule(begun as i32, "act")],
        (SEQUENCE, SEQUENCE) => (SEQUENCE..ACTIVITIES).map(|n| schedule(n as i32, "act")).collect(),
        (ACTIVITIES, ACTIVITIES) if count("TimerCreated") == 0 => vec![timer(ACTIVITIES as i32, after(PAUSE))],
        (ACTIVITIES, ACTIVITIES) if count("TimerFired") == 0 => Vec::new(),
        (ACTIVITIES, ACTIVITIES) if count("SubOrchestrationInstanceCreated") == 0 => {
            vec![child(ACTIVITIES as i32 + 1, &format!("{id}-child"))]
        }
        (ACTIVITIES, ACTIVITIES) if count("SubOrchestrationInstanceCompleted") == 1 => {
            vec![continued(ACTIVITIES as i32 + 2, "\"second\"", &[])]
        }
        _ => Vec::new(),
    }
}

/// What one execution's turns are told and say of their span.
#[derive(Default)]
struct Traces(BTreeMap<String, pb::OrchestrationTraceContext>);

impl Traces {
    /// All turns of an execution are one span: the server gives back what the first one has said.
    fn answer(&mut self, request: &pb::OrchestratorRequest) -> Option<pb::OrchestrationTraceContext> {
        let execution = request.execution_id.clone().expect("it has an execution");
        let known = self.0.get(&execution);
        assert_eq!(request.orchestration_trace_context.as_ref(), known, "of {execution}");
        let own = pb::OrchestrationTraceContext {
            span_id: Some(format!("{:016x}", self.0.len() + 1)),
            span_start_time: Some(SystemTime::now().into()),
        };
        Some(self.0.entry(execution).or_insert(own).clone())
    }
}

/// Works until the instance has continued as new and ended; answers what was told of each instance, in its order.
async fn work(worker: &mut Worker, id: &str) -> Vec<Vec<pb::HistoryEvent>> {
    let (mut traces, mut told) = (Traces::default(), Vec::new());
    loop {
        let (request, token) = worker.item().await;
        assert!(!token.is_empty(), "it would be answered without one: {request:?}");
        match request {
            Request::OrchestratorRequest(request) => {
                let all = strict::turn(&mut worker.sidecar, &request).await;
                let turn = Turn { request, token };
                let actions = next(&turn.request.instance_id, &all);
                let mut answer = response(&turn, actions);
                answer.orchestration_trace_context = traces.answer(&turn.request);
                worker.respond(answer).await;
                told.push(all);
                let (of, execution) = (&turn.request.instance_id, turn.execution_id());
                assert_eq!(execution.len(), 32);
                let state = worker.sidecar.get_instance(asked(of, false)).await.expect("an answer").into_inner();
                let state = state.orchestration_state.expect("it is there");
                strict::state(&state);
                if of == id && state.orchestration_status() == OrchestrationStatus::Completed {
                    return told;
                }
            }
            Request::ActivityRequest(request) => {
                strict::activity(&request);
                worker.done(&Activity { request, token }, Some("1")).await;
            }
            Request::HealthPing(_) => {}
            Request::EntityRequest(_) | Request::EntityRequestV2(_) => panic!("nobody has called an entity"),
        }
    }
}

#[tokio::test]
async fn everything_that_dotnet_reads_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut worker) = (dial(&server).await, join(&server).await);
    let id = "0123456789abcdef0123456789abcdef";
    client.start_instance(new_instance(id, "\"first\"")).await.expect("it is free");
    let told = work(&mut worker, id).await;
    let kinds: std::collections::BTreeSet<&str> = told.iter().flatten().map(kind).collect();
    for seen in ["TaskCompleted", "TimerFired", "SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceCreated"]
    {
        assert!(kinds.contains(seen), "the story has come by a {seen}: {kinds:?}");
    }
    let ended = client.wait_for_instance_completion(asked(id, true)).await.expect("an answer").into_inner();
    let state = ended.orchestration_state.expect("its end is read without a look");
    strict::state(&state);
    assert_eq!(state.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(state.output.as_deref(), Some("\"second\""));
    let of_child = format!("{id}-child");
    for (id, parent) in [(id, None), (of_child.as_str(), Some(id))] {
        let events = strict::history(&mut client, id).await;
        assert_eq!(kind(events.last().expect("events")), "ExecutionCompleted", "{events:?}");
        let state = client.get_instance(asked(id, false)).await.expect("an answer").into_inner();
        let state = state.orchestration_state.expect("it is there");
        strict::state(&state);
        assert_eq!(state.parent_instance_id.as_deref(), parent);
        assert_eq!((state.output, state.custom_status, state.failure_details), (None, None, None), "not asked for");
    }
    let missing = pb::StreamInstanceHistoryRequest { instance_id: "nobody".into(), ..Default::default() };
    let refused = client.stream_instance_history(missing).await.expect_err("there is none");
    assert_eq!(refused.code(), Code::NotFound);
}

/// The statuses that are not to be doubled become their complement among all that there are.
fn deduplicating(statuses: &[OrchestrationStatus]) -> Option<pb::OrchestrationIdReusePolicy> {
    use OrchestrationStatus::*;
    let all = [Running, Completed, ContinuedAsNew, Failed, Canceled, Terminated, Pending, Suspended];
    let replaceable = all.into_iter().filter(|status| !statuses.contains(status));
    let replaceable_status = replaceable.map(Into::into).collect();
    Some(pb::OrchestrationIdReusePolicy { replaceable_status, ..Default::default() })
}

#[tokio::test]
async fn a_client_as_dotnet_has_it() {
    use OrchestrationStatus::{Failed, Pending, Running, Suspended, Terminated};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = dial(&server).await;
    client.start_instance(new_instance("i", "1")).await.expect("it is free");
    let first = client.get_instance(asked("i", true)).await.expect("an answer").into_inner().orchestration_state;
    let table: [(&[OrchestrationStatus], Option<Code>); 4] = [
        (&[Pending, Running, Suspended], Some(Code::AlreadyExists)),
        (&[Pending, Running, Suspended, Failed, Terminated], Some(Code::AlreadyExists)),
        (&[Failed, Terminated], Some(Code::InvalidArgument)),
        (&[], None),
    ];
    for (statuses, refused) in table {
        let mut request = new_instance("i", "2");
        request.orchestration_id_reuse_policy = deduplicating(statuses);
        let told = client.start_instance(request).await;
        assert_eq!(told.err().map(|status| status.code()), refused, "{statuses:?}");
    }
    let second = client.get_instance(asked("i", true)).await.expect("an answer").into_inner().orchestration_state;
    let (first, second) = (first.expect("it is there"), second.expect("it is there"));
    [&first, &second].into_iter().for_each(strict::state);
    assert_ne!(first.execution_id, second.execution_id, "it has been replaced");

    // All that has ended, as pages of every size, each with an empty key to begin with.
    let ids: Vec<String> = (0..7).map(|n| format!("ended{n}")).collect();
    for id in &ids {
        client.start_instance(new_instance(id, "1")).await.expect("it is free");
        let terminate = pb::TerminateRequest { instance_id: id.clone(), output: None, recursive: false };
        client.terminate_instance(terminate).await.expect("always OK");
        // Whoever has ended is suspended and resumed without a word.
        let suspend = pb::SuspendRequest { instance_id: id.clone(), reason: None };
        client.suspend_instance(suspend).await.expect("no error");
        let resume = pb::ResumeRequest { instance_id: id.clone(), reason: None };
        client.resume_instance(resume).await.expect("no error");
    }
    for size in [1, 3, 7, 100] {
        let (mut key, mut listed) = (Some(String::new()), Vec::new());
        while let Some(last_instance_key) = key {
            let request = pb::ListInstanceIdsRequest {
                page_size: size,
                last_instance_key: Some(last_instance_key),
                ..Default::default()
            };
            let page = client.list_instance_ids(request).await.expect("a page").into_inner();
            assert!(page.instance_ids.len() <= size as usize);
            listed.extend(page.instance_ids);
            key = page.last_instance_key;
        }
        assert_eq!(listed, ids, "{size} a page");
    }
    // The loop over a query ends with the page that has no token; the size may change on the way.
    let (mut token, mut sizes, mut found) = (None, [5, 2].into_iter().cycle(), 0);
    loop {
        let max_instance_count = sizes.next().expect("it goes on");
        let query = pb::InstanceQuery { max_instance_count, continuation_token: token, ..Default::default() };
        let page = client.query_instances(pb::QueryInstancesRequest { query: Some(query) }).await.expect("a page");
        let page = page.into_inner();
        page.orchestration_state.iter().for_each(strict::state);
        found += page.orchestration_state.len();
        token = page.continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, ids.len() + 1);
    let purge = pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::PurgeInstanceFilter(pb::PurgeInstanceFilter::default())),
        is_orchestration: true,
        ..Default::default()
    };
    let purged = client.purge_instances(purge).await.expect("an answer").into_inner();
    assert_eq!((purged.deleted_instance_count, purged.is_complete), (ids.len() as i32, Some(true)));
}
