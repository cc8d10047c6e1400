//! Calls that wait until an instance has begun, or has ended.

use std::time::Duration;

use hyper_util::{client::legacy, rt::TokioExecutor};
use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus, task_hub_sidecar_service_client::TaskHubSidecarServiceClient},
    v1::{self, ConflictPolicy, work_request::Message as Say},
};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

use super::{Sidecar, asked, create, sidecar, terminate};
use crate::support::{Client, RawWorker, Server, process::PATIENCE, start, until};

type Answer = Result<Option<pb::OrchestrationState>, Status>;

#[derive(Clone, Copy)]
enum For {
    Start,
    Completion,
}

fn waiting(sidecar: &Sidecar, id: &str, wanted: For) -> JoinHandle<Answer> {
    let (mut sidecar, request) = (sidecar.clone(), asked(id, true));
    tokio::spawn(async move {
        let answer = match wanted {
            For::Start => sidecar.wait_for_instance_start(request).await?,
            For::Completion => sidecar.wait_for_instance_completion(request).await?,
        };
        let answer = answer.into_inner();
        assert_eq!(answer.exists, answer.orchestration_state.is_some());
        Ok(answer.orchestration_state)
    })
}

async fn answer(waiting: JoinHandle<Answer>) -> Answer {
    tokio::time::timeout(PATIENCE, waiting).await.expect("it comes back").expect("it does not panic")
}

async fn released(waiting: JoinHandle<Answer>) -> pb::OrchestrationState {
    answer(waiting).await.expect("it was waited for").expect("it is there")
}

/// Until so many wait: each holds on to its instance's topic, which nothing but metrics shows.
async fn until_waiting(server: &Server, count: usize) {
    let wanted = format!("soloist_waits {count}");
    let counting = async {
        while !crate::support::Web::new(server).get("/metrics").await.body.lines().any(|line| line == wanted) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counting).await.expect("they wait");
}

#[tokio::test]
async fn an_unknown_id_is_waited_for_until_it_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let (begun, ended) = (waiting(&sidecar, "i", For::Start), waiting(&sidecar, "i", For::Completion));
    until_waiting(&server, 2).await;
    let request = v1::StartSingletonRequest { input: Some("in".into()), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let run = worker.take().await;
    let begun = released(begun).await;
    assert_eq!((begun.orchestration_status(), begun.input.as_deref()), (OrchestrationStatus::Running, Some("in")));
    assert!(!ended.is_finished());
    worker.complete(&run, "out").await;
    let ended = released(ended).await;
    assert_eq!((ended.orchestration_status(), ended.output.as_deref()), (OrchestrationStatus::Completed, Some("out")));
    until_waiting(&server, 0).await;
    // What is so already is answered at once.
    assert_eq!(released(waiting(&sidecar, "i", For::Start)).await, ended);
    assert_eq!(released(waiting(&sidecar, "i", For::Completion)).await, ended);
}

/// Each of these is past Pending, so who waits for the start goes on; Suspended is no end.
#[tokio::test]
async fn suspended_has_begun_and_terminated_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    let (begun, ended) = (waiting(&sidecar, "i", For::Start), waiting(&sidecar, "i", For::Completion));
    until_waiting(&server, 2).await;
    super::suspend(&mut sidecar, "i").await.expect("it is live");
    assert_eq!(released(begun).await.orchestration_status(), OrchestrationStatus::Suspended);
    terminate(&mut sidecar, "i", Some("bye")).await;
    let ended = released(ended).await;
    assert_eq!((ended.orchestration_status(), ended.output.as_deref()), (OrchestrationStatus::Terminated, Some("bye")));
}

#[tokio::test]
async fn continuing_as_new_and_being_replaced_are_no_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let run = worker.take().await;
    let ended = waiting(&sidecar, "i", For::Completion);
    until_waiting(&server, 1).await;
    let again = v1::ContinueAsNew { claim: run.claim.clone(), input: Some("2".into()) };
    worker.ask(Say::ContinueAsNew(again)).await;
    let run = worker.take().await;
    for function in ["f", "g"] {
        let mut request = start(function, "i");
        request.set_conflict_policy(ConflictPolicy::Replace);
        client.start_singleton(request).await.expect("it is replaced");
    }
    worker.cancel().await;
    worker.give_back(&run).await;
    assert!(!ended.is_finished());
    terminate(&mut sidecar.clone(), "i", Some("now")).await;
    let ended = released(ended).await;
    assert_eq!((ended.name.as_str(), ended.output.as_deref()), ("g", Some("now")));
}

/// A replaced one that had not begun has not begun.
#[tokio::test]
async fn who_waits_for_the_start_waits_for_that_of_the_successor() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    let begun = waiting(&sidecar, "i", For::Start);
    until_waiting(&server, 1).await;
    let mut request = start("f", "i");
    request.set_conflict_policy(ConflictPolicy::Replace);
    let replaced = client.start_singleton(request).await.expect("it is replaced").into_inner();
    assert!(!begun.is_finished());
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    worker.take().await;
    let begun = released(begun).await;
    assert_eq!(begun.execution_id, Some(replaced.execution_id));
    assert_eq!(begun.orchestration_status(), OrchestrationStatus::Running);
}

/// Somebody ends it with the words that a replacement has: that is an end all the same.
#[tokio::test]
async fn an_end_that_only_sounds_like_a_replacement_is_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    let ended = waiting(&sidecar, "i", For::Completion);
    until_waiting(&server, 1).await;
    let reason = format!("replaced by execution {}", "0".repeat(32));
    let request = v1::TerminateInstanceRequest { instance_id: "i".into(), reason, ..Default::default() };
    client.terminate_instance(request).await.expect("it is live");
    assert_eq!(released(ended).await.orchestration_status(), OrchestrationStatus::Terminated);
    assert_eq!(
        released(waiting(&sidecar, "i", For::Completion)).await.orchestration_status(),
        OrchestrationStatus::Terminated
    );
}

/// The queue's next begins in the step in which this one ends: who waits hears of this one.
#[tokio::test]
async fn who_waited_hears_of_the_one_that_ended_not_of_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    let first = super::state(&mut sidecar, "i").await.execution_id;
    let mut request = start("f", "i");
    request.set_conflict_policy(ConflictPolicy::Queue);
    client.start_singleton(request).await.expect("the queue has room");
    let ended = waiting(&sidecar, "i", For::Completion);
    until_waiting(&server, 1).await;
    terminate(&mut sidecar, "i", Some("bye")).await;
    let ended = released(ended).await;
    assert_eq!((ended.execution_id, ended.output.as_deref()), (first, Some("bye")));
    assert_eq!(super::state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Pending);
}

/// Seen live while it waits, gone before it has begun.
#[tokio::test]
async fn a_purge_ends_the_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut twin = sidecar.clone();
    create(&mut twin, "i").await;
    terminate(&mut twin, "i", None).await;
    // It has ended, so nobody would wait for it but who waits for the next.
    let purge = |client: &Client| {
        let mut client = client.clone();
        async move {
            let request = v1::PurgeInstanceRequest { instance_id: "i".into(), ..Default::default() };
            client.purge_instance(request).await.expect("it has ended");
        }
    };
    purge(&client).await;
    let ended = waiting(&sidecar, "i", For::Completion);
    until_waiting(&server, 1).await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    until(&mut client, "i", |status| !status.execution_id.is_empty()).await;
    terminate(&mut twin, "i", None).await;
    purge(&client).await;
    // Its end came first.
    match answer(ended).await.expect("no error") {
        None => {}
        Some(state) => assert_eq!(state.orchestration_status(), OrchestrationStatus::Terminated),
    }
}

#[tokio::test]
async fn who_goes_away_waits_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    let waits: Vec<_> = (0..50).map(|_| waiting(&sidecar, "i", For::Completion)).collect();
    until_waiting(&server, 50).await;
    waits.iter().for_each(JoinHandle::abort);
    until_waiting(&server, 0).await;
}

/// CANCELLED, which the transport would say, is taken for something else by SDKs.
#[tokio::test]
async fn whose_time_is_over_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    create(&mut sidecar(&server).await, "i").await;
    // A transport that does not look at the time: only the server does.
    let transport = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http::<tonic::body::Body>();
    let mut client = TaskHubSidecarServiceClient::with_origin(transport, server.address.parse().expect("an address"));
    let mut request = Request::new(asked("i", false));
    request.metadata_mut().insert("grpc-timeout", "2S".parse().expect("a header"));
    let refused = client.wait_for_instance_completion(request).await.expect_err("its time is over");
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");
    until_waiting(&server, 0).await;
}

#[tokio::test]
async fn waits_have_places_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watchers-max", "1", "--lease", "5m"], &[]);
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    create(&mut sidecar, "i").await;
    let request = v1::WatchStatusRequest { instance_id: "i".into(), ..Default::default() };
    let _watch = client.watch_status(request).await.expect("the one place").into_inner();
    let first = waiting(&sidecar, "i", For::Completion);
    until_waiting(&server, 1).await;
    let refused = sidecar.wait_for_instance_start(asked("i", false)).await.expect_err("there is one place");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    terminate(&mut sidecar, "i", None).await;
    released(first).await;
}

#[tokio::test]
async fn a_server_that_drains_lets_nobody_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    let ended = waiting(&sidecar, "i", For::Completion);
    let never = waiting(&sidecar, "never", For::Start);
    until_waiting(&server, 2).await;
    let (exit, said) = server.stop().await;
    assert!(exit.success(), "{said}");
    for wait in [ended, never] {
        assert_eq!(answer(wait).await.expect_err("the server is gone").code(), Code::Unavailable);
    }
}

#[tokio::test]
async fn what_can_never_be_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for id in ["", "@counter@1", "a/b"] {
        let refused = sidecar.wait_for_instance_start(asked(id, false)).await.expect_err("it can't be");
        assert_eq!(refused.code(), Code::InvalidArgument, "{id}");
    }
}
