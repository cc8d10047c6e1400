//! Two hundred who would wait: as many as there is room for, each in its turn.

use std::collections::BTreeMap;

use soloist::proto::v1::{self, ConflictPolicy, RuntimeStatus, StartOutcome};
use tonic::Code;
use tonic_types::StatusExt;

use super::{asking, of, statuses, to_the_end, waiting, watch};
use crate::support::{Crowd, RawWorker, Server, error_info, status, value};

const CALLERS: usize = 200;
const CONNECTIONS: usize = 16;
/// What there is room for where the start does not say.
const ROOM: usize = 16;

/// Everybody asks to wait, each with its own number as input; what each was told.
async fn all_queue(crowd: &Crowd, id: &str, max_queue: u32) -> Vec<Result<v1::StartSingletonResponse, tonic::Status>> {
    let told = crowd.at_once(|caller, mut client| {
        let request = asking(ConflictPolicy::Queue, id, &caller.to_string());
        let request = v1::StartSingletonRequest { max_queue, ..request };
        async move { client.start_singleton(request).await.map(tonic::Response::into_inner) }
    });
    told.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_one_starts_as_many_wait_as_there_is_room_and_each_runs_in_its_turn() {
    const ROUNDS: usize = 8;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        // By place, the one that started at 0: the caller and the execution.
        let mut accepted = BTreeMap::new();
        let mut refused = 0;
        for (caller, told) in all_queue(&crowd, &id, 0).await.into_iter().enumerate() {
            match told {
                Ok(answer) => {
                    let outcome = if answer.queue_position == 0 { StartOutcome::Started } else { StartOutcome::Queued };
                    assert_eq!(answer.outcome(), outcome);
                    let other = accepted.insert(answer.queue_position as usize, (caller, answer.execution_id));
                    assert_eq!(other, None, "{id}: two at place {}", answer.queue_position);
                }
                Err(status) => {
                    assert_eq!(
                        (status.code(), error_info(&status).reason.as_str()),
                        (Code::ResourceExhausted, "QUEUE_FULL")
                    );
                    let info = error_info(&status);
                    let told = ["instance_id", "queued_starts", "max_queue"].map(|key| value(&info, key).to_owned());
                    assert_eq!(told, [id.as_str(), "16", "16"]);
                    assert!(status.get_error_details().retry_info().is_some(), "it says when to try again");
                    refused += 1;
                }
            }
        }
        assert!(accepted.keys().copied().eq(0..=ROOM), "{id}: {accepted:?}");
        assert_eq!(refused, CALLERS - ROOM - 1);
        let executions: Vec<&String> = accepted.values().map(|(_, execution)| execution).collect();
        assert!(waiting(&mut client, &id).await.iter().eq(executions[1..].iter().copied()));

        // Each caller finds its own, and watches it from the queue to its end.
        let mut watching = Vec::new();
        for (place, (caller, execution)) in &accepted {
            let found = of(&mut client, &id, execution).await.expect("it is known");
            assert_eq!((&found.execution_id, found.input.clone()), (execution, Some(caller.to_string())));
            assert_eq!((found.runtime_status(), found.queued_starts as usize), (RuntimeStatus::Pending, ROOM - place));
            let why = format!("at place {place}, ");
            assert!(*place == 0 || found.pending_reason.contains(&why), "{}", found.pending_reason);
            watching.push(tokio::spawn(to_the_end(watch(&mut client, &id, execution).await)));
        }
        let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
        for (caller, execution) in accepted.values() {
            let run = worker.take().await;
            assert_eq!((&run.execution_id, run.input.clone()), (execution, Some(caller.to_string())));
            worker.complete(&run, &caller.to_string()).await;
        }
        let last = status(&mut client, &id).await;
        assert_eq!((&last.execution_id, last.runtime_status()), (executions[ROOM], RuntimeStatus::Completed));
        for (execution, watching) in executions.into_iter().zip(watching) {
            let shown = watching.await.expect("a watcher does not panic");
            assert!(shown.iter().all(|status| status.execution_id == *execution));
            let mut shown = statuses(&shown);
            // The first is the current status, be it in the queue; who waited sees it begin as Pending too.
            shown.dedup();
            assert_eq!(shown, [RuntimeStatus::Pending, RuntimeStatus::Running, RuntimeStatus::Completed], "{id}");
        }
    }
}

/// While a worker takes from the queue what others put there, nobody overtakes anybody: the revision at which a start
/// was accepted is its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overtakes_anybody() {
    const ROUNDS: usize = 3;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let working = async {
            let mut ran = Vec::new();
            while ran.len() < CALLERS {
                let run = worker.take().await;
                worker.complete(&run, "").await;
                ran.push(run.execution_id);
            }
            ran
        };
        let (told, ran) = tokio::join!(all_queue(&crowd, &id, 1_000), working);
        let revision = |answer: &v1::StartSingletonResponse| answer.status.as_ref().map(|status| status.revision);
        let mut accepted: Vec<_> = told.into_iter().map(|told| told.expect("there is room for all")).collect();
        accepted.sort_by_key(revision);
        assert!(ran.iter().eq(accepted.iter().map(|answer| &answer.execution_id)), "{id}");
    }
}
