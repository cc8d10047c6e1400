//! Who is given what: room, fairness, preference, and runs that never got to their worker.

use std::collections::HashMap;

use soloist::proto::v1::{self, RuntimeStatus, work_request::Message as Say};

use super::{Heard, LONG, assert_accepted, started};
use crate::support::{RawWorker, Server, start, status, until};

fn id_of(run: &v1::Run) -> String {
    run.claim.as_ref().expect("a claim").instance_id.clone()
}

#[tokio::test]
async fn a_worker_is_given_no_more_than_it_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        started(&mut client, id).await;
    }
    let mut held = vec![worker.run().await, worker.run().await];
    // In the order in which they were started, each as soon as there is room, and never more.
    for next in 2..=ids.len() {
        for (place, id) in ids.iter().enumerate() {
            let status = status(&mut client, id).await;
            let (expected, reason) = match place {
                _ if place + 2 < next => (RuntimeStatus::Completed, ""),
                _ if place < next => (RuntimeStatus::Running, ""),
                _ => (RuntimeStatus::Pending, "waiting for a worker of function 'f' that has room"),
            };
            assert_eq!((status.runtime_status(), status.pending_reason.as_str()), (expected, reason), "{id} of {next}");
        }
        let first = held.remove(0);
        assert_eq!(id_of(&first), ids[next - 2]);
        assert_accepted(&worker.complete(&first, "done").await);
        if next < ids.len() {
            held.push(worker.take().await);
        }
    }
}

#[tokio::test]
async fn workers_of_one_function_take_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut workers =
        [RawWorker::join(&server, "a", &["f"], 100).await, RawWorker::join(&server, "b", &["f"], 100).await];
    for id in 0..40 {
        started(&mut client, &id.to_string()).await;
    }
    let mut runs = HashMap::new();
    let [a, b] = &mut workers;
    while runs.len() < 40 {
        let (who, run) = tokio::select! { run = a.run() => ("a", run), run = b.run() => ("b", run) };
        assert_eq!(runs.insert(id_of(&run), who), None, "each is given once");
    }
    let of_a = runs.values().filter(|who| **who == "a").count();
    assert_eq!(of_a, 20, "both have room all the time, so they take turns");
}

#[tokio::test]
async fn a_function_that_nobody_serves_waits_for_a_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let _other = RawWorker::join(&server, "other", &["g"], 1).await;
    let response = started(&mut client, "i").await.status.expect("a status");
    assert_eq!(response.pending_reason, "no worker has registered function 'f'");
    // One that serves it in another hub is none.
    let mut request = tonic::Request::new(v1::GetStatusRequest { instance_id: "i".into(), ..Default::default() });
    request.metadata_mut().insert("taskhub", "another".parse().expect("a value"));
    assert_eq!(client.get_status(request).await.expect_err("not there").code(), tonic::Code::NotFound);
    let mut worker = RawWorker::join(&server, "w", &["g", "f"], 1).await;
    assert_eq!(id_of(&worker.take().await), "i");
    assert_eq!(status(&mut client, "i").await.pending_reason, "");
}

#[tokio::test]
async fn runs_that_never_left_are_another_worker_s_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    // It takes a hundred runs and reads none: most of them don't fit on the way to it.
    let deaf = RawWorker::join(&server, "deaf", &["f"], 100).await;
    let input = "x".repeat(600_000);
    for id in 0..50 {
        let request = v1::StartSingletonRequest { input: Some(input.clone()), ..start("f", &id.to_string()) };
        client.start_singleton(request).await.expect("it is free");
    }
    until(&mut client, "49", |status| status.runtime_status() == RuntimeStatus::Running).await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 100).await;
    drop(deaf);
    // What is in the stream's window, or was taken by the transport, may have reached it; the rest never left.
    let mut taken = HashMap::new();
    while taken.len() < 25 {
        let run = worker.run().await;
        assert_eq!((run.attempt, run.input.as_ref()), (1, Some(&input)));
        let token = run.claim.as_ref().map(|claim| claim.fencing_token);
        assert_eq!(taken.insert(id_of(&run), token), None);
    }
    for (id, token) in taken {
        let status = status(&mut client, &id).await;
        assert_eq!((status.worker.as_str(), Some(status.fencing_token)), ("w", token));
    }
}

#[tokio::test]
async fn a_continued_run_stays_with_its_worker_under_a_new_execution_and_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    started(&mut client, "i").await;
    let mut run = worker.take().await;
    let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
    let request = v1::WatchStatusRequest { instance_id: "i".into(), ..Default::default() };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    watch.message().await.expect("the current status");
    for round in 1..=5 {
        let input = Some(round.to_string());
        let report = Say::ContinueAsNew(v1::ContinueAsNew { claim: run.claim.clone(), input: input.clone() });
        assert_accepted(&worker.ask(report).await);
        let next = tokio::select! {
            run = worker.run() => run,
            run = other.run() => panic!("its own worker has room, but another one was given {run:?}"),
        };
        worker.accept(&next).await;
        assert_ne!(next.execution_id, run.execution_id);
        assert_eq!((next.attempt, &next.input), (1, &input));
        assert!(next.claim.as_ref().map(|c| c.fencing_token) > run.claim.as_ref().map(|c| c.fencing_token));
        // It never looks ended: the new execution, then its grant.
        for attempt in [0, 1] {
            let item = watch.message().await.expect("the watch goes on").expect("it does not end");
            let status = item.status.expect("a status");
            assert_eq!(status.runtime_status(), RuntimeStatus::Running);
            assert_eq!((&status.execution_id, status.attempt), (&next.execution_id, attempt));
        }
        run = next;
    }
    assert_accepted(&worker.complete(&run, "done").await);
    // The other one is as good as ever.
    started(&mut client, "j").await;
    started(&mut client, "k").await;
    let (one, two) = (worker.take().await, other.take().await);
    assert_ne!(id_of(&one), id_of(&two));
}

#[tokio::test]
async fn a_drain_is_announced_and_a_report_under_way_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    started(&mut client, "i").await;
    worker.take().await;
    server.signal("TERM");
    assert!(matches!(worker.hear().await, Heard::Drain(_)));
    let ended = worker.try_hear().await.expect_err("the stream ends");
    assert_eq!(ended.code(), tonic::Code::Unavailable);
    server.wait().await;
}
