//! Many callers, one id, the same moment: who is told what.

mod replaced;
mod terminal;

use std::collections::HashSet;

use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Crowd, RawWorker, Server, error_info, start, value};

const CALLERS: usize = 200;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 100;

/// What a start was told.
type Told = Result<v1::StartSingletonResponse, Status>;

async fn all_start(crowd: &Crowd, request: &v1::StartSingletonRequest) -> Vec<Told> {
    let told = crowd.at_once(|_, mut client| {
        let request = request.clone();
        async move { client.start_singleton(request).await.map(tonic::Response::into_inner) }
    });
    told.await
}

/// The answers by outcome, and the refusals.
fn sorted(told: Vec<Told>) -> (Vec<v1::StartSingletonResponse>, Vec<v1::StartSingletonResponse>, Vec<Status>) {
    let (mut started, mut others, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for told in told {
        match told {
            Ok(answer) if answer.outcome() == StartOutcome::Started => started.push(answer),
            Ok(answer) => others.push(answer),
            Err(status) => refused.push(status),
        }
    }
    (started, others, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_starters_one_starts_and_the_others_hear_that_it_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let (started, others, refused) = sorted(all_start(&crowd, &start("race", &id)).await);
        assert_eq!((started.len(), others.len(), refused.len()), (1, 0, CALLERS - 1), "round {round}");
        let won = started[0].status.as_ref().expect("a status");
        assert_eq!((&won.execution_id, won.runtime_status()), (&started[0].execution_id, RuntimeStatus::Pending));
        for status in &refused {
            assert_eq!(status.code(), Code::AlreadyExists);
            assert_eq!(status.message(), format!("An instance with ID '{id}' already exists."));
            let info = error_info(status);
            assert_eq!(info.reason, "INSTANCE_ALREADY_RUNNING");
            let told = ["instance_id", "function_name", "status", "execution_id", "revision"].map(|k| value(&info, k));
            assert_eq!(told, [&id, "race", "Pending", &won.execution_id, &won.revision.to_string()]);
            let resource = status.get_error_details().resource_info().cloned().expect("a ResourceInfo");
            assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("instance", id.as_str()));
        }
    }
}

#[tokio::test]
async fn who_is_refused_hears_who_runs_it_and_since_when() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "first chair", &["race"], 1).await;
    let started = client.start_singleton(start("race", "a")).await.expect("started").into_inner();
    let run = worker.take().await;
    assert_eq!(run.execution_id, started.execution_id);

    let refused = client.start_singleton(start("race", "a")).await.expect_err("it runs");
    let info = error_info(&refused);
    assert_eq!((value(&info, "status"), value(&info, "worker")), ("Running", "first chair"));
    let running = crate::support::status(&mut client, "a").await;
    assert_eq!(value(&info, "started_at"), running.started_at.expect("it has begun").to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_who_use_the_existing_one_starts_and_the_others_join_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    let mut executions = HashSet::new();
    for round in 0..ROUNDS {
        let mut request = start("race", &format!("round-{round}"));
        request.set_conflict_policy(ConflictPolicy::UseExisting);
        let (started, joined, refused) = sorted(all_start(&crowd, &request).await);
        assert_eq!((started.len(), joined.len(), refused.len()), (1, CALLERS - 1, 0), "round {round}: {refused:?}");
        for answer in &joined {
            assert_eq!(answer.outcome(), StartOutcome::Joined);
            assert_eq!(answer.execution_id, started[0].execution_id);
            assert_eq!(answer.status, started[0].status);
        }
        assert!(executions.insert(started[0].execution_id.clone()), "an execution id came twice");
    }
}
