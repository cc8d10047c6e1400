//! Once more after this one, however many ask.

use soloist::proto::v1::{ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::Code;

use super::{asking, of, queued, statuses, to_the_end, told, waiting, watch};
use crate::support::{Crowd, RawWorker, Server, error_info, start, status, value};

const ASKERS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_ask_it_runs_once_more_with_the_newest_input() {
    const ROUNDS: usize = 12;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, ASKERS, 8).await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        told(&mut client, start("f", &id)).await;
        let first = worker.take().await;
        let answers = crowd.at_once(|caller, mut client| {
            let request = asking(ConflictPolicy::Coalesce, &id, &caller.to_string());
            async move { (caller, told(&mut client, request).await) }
        });
        let answers = answers.await;
        let (queued, coalesced): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(_, answer)| answer.outcome() == StartOutcome::Queued);
        assert_eq!((queued.len(), coalesced.len()), (1, ASKERS - 1), "{id}");
        let execution = &queued[0].1.execution_id;
        for (_, answer) in &answers {
            assert!([StartOutcome::Queued, StartOutcome::Coalesced].contains(&answer.outcome()));
            assert_eq!((&answer.execution_id, answer.queue_position), (execution, 1));
        }
        let revision = |answer: &soloist::proto::v1::StartSingletonResponse| answer.status.as_ref().map(|s| s.revision);
        let newest = answers.iter().max_by_key(|(_, answer)| revision(answer)).expect("answers").0.to_string();
        assert_eq!(of(&mut client, &id, execution).await.expect("it waits").input.as_ref(), Some(&newest));
        let watching = tokio::spawn(to_the_end(watch(&mut client, &id, execution).await));

        worker.complete(&first, "").await;
        let again = worker.take().await;
        assert_eq!((&again.execution_id, again.input.as_ref()), (execution, Some(&newest)), "{id}");
        worker.complete(&again, "").await;
        let last = status(&mut client, &id).await;
        assert_eq!(
            (&last.execution_id, last.runtime_status(), last.queued_starts),
            (execution, RuntimeStatus::Completed, 0)
        );
        let mut shown = statuses(&watching.await.expect("a watcher does not panic"));
        shown.dedup();
        assert_eq!(shown, [RuntimeStatus::Pending, RuntimeStatus::Running, RuntimeStatus::Completed]);
    }
}

#[tokio::test]
async fn what_has_begun_serves_nobody_who_asks_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    told(&mut client, start("f", "a")).await;
    let first = worker.take().await;
    let once_more = told(&mut client, asking(ConflictPolicy::Coalesce, "a", "1")).await;
    worker.complete(&first, "").await;
    let second = worker.take().await;
    assert_eq!(second.execution_id, once_more.execution_id);
    let later = told(&mut client, asking(ConflictPolicy::Coalesce, "a", "2")).await;
    assert_eq!(later.outcome(), StartOutcome::Queued);
    assert_ne!(later.execution_id, once_more.execution_id);
    assert_eq!(second.input.as_deref(), Some("1"));
    worker.complete(&second, "").await;
    let third = worker.take().await;
    assert_eq!((third.execution_id, third.input.as_deref()), (later.execution_id, Some("2")));
}

#[tokio::test]
async fn it_keeps_its_place_among_those_who_wait_and_fills_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    let one = queued(&mut client, "a", "1").await;
    let two = told(&mut client, asking(ConflictPolicy::Coalesce, "a", "2")).await;
    assert_eq!((two.outcome(), two.queue_position), (StartOutcome::Queued, 2));
    let three = queued(&mut client, "a", "3").await;
    let again = told(&mut client, asking(ConflictPolicy::Coalesce, "a", "4")).await;
    assert_eq!((again.outcome(), again.queue_position), (StartOutcome::Coalesced, 2));
    assert_eq!(waiting(&mut client, "a").await, [one, two.execution_id, three]);
}

#[tokio::test]
async fn another_function_does_not_coalesce() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    // What waits may be of another function than what is live: ids are not a function's own.
    let mut other = asking(ConflictPolicy::Coalesce, "a", "1");
    other.function_name = "g".into();
    let waits = told(&mut client, other).await;
    assert_eq!(waits.outcome(), StartOutcome::Queued);
    let refused = client.start_singleton(asking(ConflictPolicy::Coalesce, "a", "2")).await.expect_err("it is another");
    let info = error_info(&refused);
    assert_eq!((refused.code(), info.reason.as_str()), (Code::AlreadyExists, "FUNCTION_MISMATCH"));
    let told = ["function_name", "requested_function_name", "execution_id"].map(|key| value(&info, key));
    assert_eq!(told, ["g", "f", &waits.execution_id]);
    assert_eq!(of(&mut client, "a", &waits.execution_id).await.expect("it waits").input.as_deref(), Some("1"));
}
