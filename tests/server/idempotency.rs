//! Retries: a request id is answered once and for all, and a late one hits nobody else.

mod content;
mod hubs;
mod late;

use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::Code;

use crate::support::{Client, Crowd, RawWorker, Server, error_info, start, status, until};

/// A start with a request id.
fn request(function: &str, id: &str, request_id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { request_id: request_id.into(), ..start(function, id) }
}

async fn told(client: &mut Client, request: &v1::StartSingletonRequest) -> v1::StartSingletonResponse {
    client.start_singleton(request.clone()).await.expect("accepted").into_inner()
}

/// Asserts that a retry of `request` is told what the first was told, with the status of now.
async fn assert_deduplicated(
    client: &mut Client,
    request: &v1::StartSingletonRequest,
    first: (StartOutcome, &str),
    now: (RuntimeStatus, &str),
) {
    let again = told(client, request).await;
    assert_eq!(again.outcome(), StartOutcome::Deduplicated);
    assert_eq!((again.first_outcome(), again.execution_id.as_str()), first);
    let current = again.status.expect("a status");
    assert_eq!((current.runtime_status(), current.execution_id.as_str()), now);
}

#[tokio::test]
async fn a_retried_start_is_told_what_the_first_was_told_whatever_has_happened_since() {
    use RuntimeStatus::{Completed, Pending, Running};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let first = request("f", "a", "r-1");

    let started = told(&mut client, &first).await;
    assert_eq!((started.outcome(), started.first_outcome()), (StartOutcome::Started, StartOutcome::Unspecified));
    let one = started.execution_id.as_str();
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, one), (Pending, one)).await;

    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, one), (Running, one)).await;
    worker.complete(&run, "1").await;
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, one), (Completed, one)).await;

    let second = request("g", "a", "r-2");
    let started = told(&mut client, &second).await;
    assert_eq!(started.outcome(), StartOutcome::Started);
    let two = started.execution_id.as_str();
    assert_ne!(one, two);
    let before = status(&mut client, "a").await;

    // Neither a stop nor a kill makes the server forget, and a retry changes nothing.
    server.stop().await;
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, one), (Pending, two)).await;
    assert_deduplicated(&mut client, &second, (StartOutcome::Started, two), (Pending, two)).await;
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, one), (Pending, two)).await;
    assert_deduplicated(&mut client, &second, (StartOutcome::Started, two), (Pending, two)).await;
    assert_eq!(status(&mut client, "a").await.revision, before.revision);
}

#[tokio::test]
async fn joining_and_replacing_are_remembered_too() {
    use RuntimeStatus::{Pending, Terminated};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let policy =
        |request, policy: ConflictPolicy| v1::StartSingletonRequest { conflict_policy: policy.into(), ..request };
    let one = told(&mut client, &start("f", "a")).await.execution_id;
    let join = policy(request("f", "a", "join"), ConflictPolicy::UseExisting);
    let joined = told(&mut client, &join).await;
    assert_eq!((joined.outcome(), &joined.execution_id), (StartOutcome::Joined, &one));
    let replace = policy(request("f", "a", "replace"), ConflictPolicy::Replace);
    let replaced = told(&mut client, &replace).await;
    assert_eq!(replaced.outcome(), StartOutcome::Replaced);
    let two = replaced.execution_id;

    // A retry joins nothing new, and above all replaces nothing again.
    assert_deduplicated(&mut client, &join, (StartOutcome::Joined, &one), (Pending, &two)).await;
    assert_deduplicated(&mut client, &replace, (StartOutcome::Replaced, &two), (Pending, &two)).await;
    let end = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    client.terminate_instance(end).await.expect("terminated");
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_deduplicated(&mut client, &join, (StartOutcome::Joined, &one), (Terminated, &two)).await;
    assert_deduplicated(&mut client, &replace, (StartOutcome::Replaced, &two), (Terminated, &two)).await;
}

#[tokio::test]
async fn a_rejection_is_not_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, &start("f", "a")).await;
    let conflict = client.start_singleton(request("f", "a", "r")).await.expect_err("it is live");
    assert_eq!(conflict.code(), Code::AlreadyExists);
    let malformed = v1::StartSingletonRequest { version: "v".repeat(65), ..request("f", "a", "r") };
    let malformed = client.start_singleton(malformed).await.expect_err("it is malformed");
    assert_eq!(error_info(&malformed).reason, "INVALID_FIELD");

    let end = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    client.terminate_instance(end).await.expect("terminated");
    // The same request id, and even other content than that of the rejected ones.
    let other = v1::StartSingletonRequest { input: Some("1".into()), ..request("f", "a", "r") };
    assert_eq!(told(&mut client, &other).await.outcome(), StartOutcome::Started);
    assert_eq!(told(&mut client, &other).await.outcome(), StartOutcome::Deduplicated);
}

#[tokio::test]
async fn a_request_id_outlives_continue_as_new() {
    use soloist::proto::v1::work_request::Message as Say;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let first = request("f", "a", "r");
    let one = told(&mut client, &first).await.execution_id;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    worker.ask(Say::ContinueAsNew(v1::ContinueAsNew { claim: run.claim, input: None })).await;
    let now = until(&mut client, "a", |status| status.execution_id != one && status.attempt == 1).await;
    let two = now.execution_id.as_str();
    assert_deduplicated(&mut client, &first, (StartOutcome::Started, &one), (RuntimeStatus::Running, two)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_retries_at_once_one_is_carried_out() {
    const ROUNDS: usize = 15;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, 200, 16).await;
    let policies = [
        (ConflictPolicy::Fail, false, StartOutcome::Started),
        (ConflictPolicy::UseExisting, true, StartOutcome::Joined),
        (ConflictPolicy::Replace, true, StartOutcome::Replaced),
    ];
    for round in 0..ROUNDS {
        let (policy, live, outcome) = policies[round % policies.len()];
        let id = format!("round-{round}");
        if live {
            told(&mut client, &start("f", &id)).await;
        }
        let request = v1::StartSingletonRequest { conflict_policy: policy.into(), ..request("f", &id, "r") };
        let answers = crowd.at_once(|_, mut client| {
            let request = request.clone();
            async move { told(&mut client, &request).await }
        });
        let (again, first): (Vec<_>, Vec<_>) =
            answers.await.into_iter().partition(|answer| answer.outcome() == StartOutcome::Deduplicated);
        assert_eq!((first.len(), again.len()), (1, 199), "{id}");
        assert_eq!(first[0].outcome(), outcome, "{id}");
        for again in again {
            assert_eq!((again.first_outcome(), &again.execution_id), (outcome, &first[0].execution_id), "{id}");
        }
    }
}
