//! Histories: what happened from the beginning to each kind of end.

use soloist::proto::v1::{self, HistoryEventType as Type, work_request::Message as Say};
use tonic::{Code, Status};

use crate::support::{Client, RawWorker, Server, error_info, start, status};

/// All events of the latest execution.
async fn history(client: &mut Client, id: &str) -> Vec<v1::HistoryEvent> {
    try_history(client, id, "").await.expect("a history")
}

async fn try_history(client: &mut Client, id: &str, expected: &str) -> Result<Vec<v1::HistoryEvent>, Status> {
    let request = v1::GetHistoryRequest { instance_id: id.into(), expected_execution_id: expected.into() };
    let mut stream = client.get_history(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await? {
        assert!(!message.events.is_empty());
        events.extend(message.events);
    }
    Ok(events)
}

fn types(events: &[v1::HistoryEvent]) -> Vec<(u64, Type)> {
    events.iter().map(|event| (event.event_id, event.r#type())).collect()
}

async fn raise(client: &mut Client, id: &str, name: &str, input: String) {
    let raise =
        v1::RaiseEventRequest { instance_id: id.into(), name: name.into(), input: Some(input), ..Default::default() };
    client.raise_event(raise).await.expect("it is live");
}

async fn suspend_and_resume(client: &mut Client, id: &str) {
    let (instance_id, reason) = (id.to_string(), "a break".to_string());
    let suspend =
        v1::SuspendInstanceRequest { instance_id: instance_id.clone(), reason: reason.clone(), ..Default::default() };
    client.suspend_instance(suspend).await.expect("it is live");
    let resume = v1::ResumeInstanceRequest { instance_id, reason, ..Default::default() };
    client.resume_instance(resume).await.expect("it is live");
}

#[tokio::test]
async fn a_run_with_everything_in_it_is_told_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let retry = v1::RetryPolicy {
        max_attempts: 2,
        initial_backoff: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let request = v1::StartSingletonRequest { retry: Some(retry), input: Some("in".into()), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let first = worker.take().await;
    raise(&mut client, "i", "go", "now".into()).await;
    worker.event().await;
    worker.fail(&first, "once", false).await;
    let second = worker.run().await;
    // The event comes again before or after the answer.
    worker.say(Say::Accept(v1::Accept { claim: second.claim.clone() })).await;
    suspend_and_resume(&mut client, "i").await;
    let live = history(&mut client, "i").await;
    worker.say(Say::Completed(v1::Completed { claim: second.claim.clone(), output: Some("out".into()) })).await;
    let ended = crate::support::until(&mut client, "i", |status| status.completed_at.is_some()).await;

    let events = history(&mut client, "i").await;
    assert_eq!(events[..events.len() - 1], live, "what has happened stays");
    let expected = [
        Type::ExecutionStarted,
        Type::RunGranted,
        Type::EventRaised,
        Type::RetryScheduled,
        Type::RunGranted,
        Type::ExecutionSuspended,
        Type::ExecutionResumed,
        Type::ExecutionCompleted,
    ];
    assert_eq!(types(&events), (0..).zip(expected).collect::<Vec<_>>());
    assert!(events.is_sorted_by_key(|event| event.timestamp.as_ref().map(|at| (at.seconds, at.nanos))));
    assert_eq!((events[0].name.as_str(), events[0].input.as_deref()), ("f", Some("in")));
    assert_eq!(events[0].timestamp, ended.created_at);
    let token = |run: &v1::Run| run.claim.as_ref().expect("a claim").fencing_token;
    let granted = |event: &v1::HistoryEvent| (event.worker.clone(), event.attempt, event.fencing_token);
    assert_eq!(granted(&events[1]), ("w".into(), 1, token(&first)));
    assert_eq!((events[2].name.as_str(), events[2].input.as_deref(), events[2].sequence), ("go", Some("now"), 1));
    let failure = events[3].failure.as_ref().expect("a failure");
    assert_eq!((events[3].attempt, failure.message.as_str(), events[3].due_at.is_some()), (1, "once", true));
    assert_eq!(granted(&events[4]), ("w".into(), 2, token(&second)));
    assert_eq!((events[5].reason.as_str(), events[6].reason.as_str()), ("a break", "a break"));
    assert_eq!((events[7].output.as_deref(), &events[7].timestamp), (Some("out"), &ended.completed_at));
}

#[tokio::test]
async fn each_kind_of_end_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    client.start_singleton(start("f", "failed")).await.expect("it is free");
    let run = worker.take().await;
    worker.fail(&run, "no", true).await;
    let events = history(&mut client, "failed").await;
    assert_eq!(types(&events), [(0, Type::ExecutionStarted), (1, Type::RunGranted), (2, Type::ExecutionFailed)]);
    assert_eq!(events[2].failure.as_ref().map(|failure| failure.message.as_str()), Some("no"));

    client.start_singleton(start("unserved", "terminated")).await.expect("it is free");
    super::terminate(&mut client, "terminated").await;
    let events = history(&mut client, "terminated").await;
    assert_eq!(types(&events), [(0, Type::ExecutionStarted), (1, Type::ExecutionTerminated)]);
    assert_eq!(events[1].reason, "enough");

    // Of the latest execution only.
    client.start_singleton(start("unserved", "failed")).await.expect("it has ended");
    assert_eq!(types(&history(&mut client, "failed").await), [(0, Type::ExecutionStarted)]);
    let former = status(&mut client, "terminated").await.execution_id;
    assert_eq!(try_history(&mut client, "terminated", &former).await.expect("it is this one").len(), 2);
    let refused = try_history(&mut client, "failed", &former).await.expect_err("it is another one");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(error_info(&refused).reason, "EXECUTION_MISMATCH");
    let refused = try_history(&mut client, "never", "").await.expect_err("there is none");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
}

/// Two payloads of a mebibyte and a thousand events of 4 KiB, for a client that takes 4 MiB a message. What is larger is
/// left out.
#[tokio::test]
async fn a_history_comes_in_messages_that_a_stock_client_takes() {
    const EVENTS: usize = 900;
    const KEPT_BYTES: usize = 4 << 10;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await.max_decoding_message_size(4 << 20);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let large = "x".repeat(1 << 20);
    let request = v1::StartSingletonRequest { input: Some(large.clone()), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let raised = (0..EVENTS).map(|_| {
        let mut client = client.clone();
        async move { raise(&mut client, "i", "e", "x".repeat(KEPT_BYTES)).await }
    });
    futures_util::future::join_all(raised).await;
    raise(&mut client, "i", "too large", "x".repeat(KEPT_BYTES + 1)).await;
    let run = worker.run().await;
    worker.say(Say::Completed(v1::Completed { claim: run.claim.clone(), output: Some(large.clone()) })).await;
    crate::support::until(&mut client, "i", |status| status.completed_at.is_some()).await;

    let events = history(&mut client, "i").await;
    // The beginning, the grant, the events and the end.
    let numbers = 0..EVENTS as u64 + 4;
    assert_eq!(events.iter().map(|event| event.event_id).collect::<Vec<_>>(), numbers.collect::<Vec<_>>());
    assert_eq!(events[0].input.as_ref(), Some(&large));
    assert_eq!(events[EVENTS + 3].output.as_ref(), Some(&large));
    let raised: Vec<_> = events.iter().filter(|event| event.r#type() == Type::EventRaised).collect();
    assert_eq!(raised.len(), EVENTS + 1);
    for event in raised {
        let kept = event.input.as_ref().map_or(0, String::len);
        let expected = if event.name == "e" { (KEPT_BYTES, 0) } else { (0, KEPT_BYTES as u64 + 1) };
        assert_eq!((kept, event.omitted_input_bytes), expected, "{}", event.name);
    }
}

/// Whoever read a long history slowly kept a server that was about to end.
#[tokio::test]
async fn a_drain_ends_the_stream() {
    const EVENTS: usize = 900;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    client
        .start_singleton(v1::StartSingletonRequest { input: Some("x".repeat(1 << 20)), ..start("f", "i") })
        .await
        .expect("it is free");
    let raised = (0..EVENTS).map(|_| {
        let mut client = client.clone();
        async move { raise(&mut client, "i", "e", "x".repeat(4 << 10)).await }
    });
    futures_util::future::join_all(raised).await;
    let request = v1::GetHistoryRequest { instance_id: "i".into(), ..Default::default() };
    let mut stream = server.narrow_client().await.get_history(request).await.expect("a history").into_inner();
    let watched = v1::WatchStatusRequest { instance_id: "i".into(), ..Default::default() };
    let mut watch = client.watch_status(watched).await.expect("a watch").into_inner();
    server.signal("TERM");
    while let Ok(Some(_)) = watch.message().await {}
    let first = stream.message().await.expect("it was on its way").expect("a message");
    assert!(first.events.len() < EVENTS);
    let ended = stream.message().await.expect_err("it ends");
    // Behind its last word the server closes the connection. A client that is just writing to it hears of that first.
    let was_cut = ended.code() == Code::Unknown && ended.message().contains("reading a body from connection");
    if !was_cut {
        assert_eq!((ended.code(), error_info(&ended).reason.as_str()), (Code::Unavailable, "DRAINING"));
    }
    let (status, said) = server.wait().await;
    assert!(status.success(), "{said}");
}

/// The oldest are forgotten, not the newest, and not the beginning.
#[tokio::test]
async fn a_long_history_loses_its_oldest_events() {
    const EVENTS: u64 = 1_200;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let request = v1::StartSingletonRequest { input: Some("in".into()), ..start("unserved", "i") };
    client.start_singleton(request).await.expect("it is free");
    for _ in 0..EVENTS / 2 {
        suspend_and_resume(&mut client, "i").await;
    }
    let events = history(&mut client, "i").await;
    let numbers: Vec<u64> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(numbers, [0].into_iter().chain(EVENTS - 999..=EVENTS).collect::<Vec<_>>());
    assert_eq!(events[0].input.as_deref(), Some("in"));
}

/// An instance that is replaced again and again: each history is of one execution, from its beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_of_one_execution() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let begin = |n: usize| {
        let replace = v1::ConflictPolicy::Replace.into();
        v1::StartSingletonRequest { conflict_policy: replace, input: Some(n.to_string()), ..start("f", "i") }
    };
    client.start_singleton(begin(0)).await.expect("it is free");
    let mut writer = server.client().await;
    let writing = tokio::spawn(async move {
        for n in 1..300 {
            raise(&mut writer, "i", &(n - 1).to_string(), (n - 1).to_string()).await;
            writer.start_singleton(begin(n)).await.expect("it is replaced");
        }
    });
    let mut told = 0;
    while !writing.is_finished() || told == 0 {
        match try_history(&mut client, "i", "").await {
            Ok(events) => {
                told += 1;
                let which = events[0].input.clone();
                assert!(events.iter().all(|event| event.input == which), "{events:?}");
                assert_eq!(events[0].r#type(), Type::ExecutionStarted);
            }
            Err(refused) => assert_eq!(refused.code(), Code::Unavailable),
        }
    }
    writing.await.expect("the writer does not panic");
}
