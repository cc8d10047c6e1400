//! Whatever the end, the next one begins: but not before the lease of the one that ended is over.

use soloist::proto::v1::{
    self, CancelReason, ConflictPolicy, RuntimeStatus, work_request::Message as Say, work_response::Message as Heard,
};

use super::{asking, queued, told, waiting};
use crate::support::{Client, RawWorker, Server, start, status, until};

async fn stage() -> (tempfile::TempDir, Server, Client, RawWorker) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let client = server.client().await;
    let worker = RawWorker::join(&server, "w", &["f"], 9).await;
    (folder, server, client, worker)
}

/// A run with two behind it.
async fn run_with_queue(client: &mut Client, worker: &mut RawWorker, id: &str) -> (v1::Run, [String; 2]) {
    told(client, start("f", id)).await;
    let run = worker.take().await;
    let behind = [queued(client, id, "1").await, queued(client, id, "2").await];
    (run, behind)
}

/// Plays the queue to its end.
async fn run_the_queue(client: &mut Client, worker: &mut RawWorker, id: &str, behind: &[String]) {
    for execution in behind {
        let run = worker.take().await;
        assert_eq!(run.execution_id, *execution);
        worker.complete(&run, "").await;
    }
    let last = status(client, id).await;
    assert_eq!((Some(&last.execution_id), last.runtime_status()), (behind.last(), RuntimeStatus::Completed));
}

/// The execution that has ended is still held: the next one is there, and is not handed out before it is let go of.
async fn let_go(client: &mut Client, worker: &mut RawWorker, run: v1::Run, reason: CancelReason, next: &str) {
    let id = run.claim.as_ref().expect("a claim").instance_id.clone();
    let cancel = worker.cancel().await;
    assert_eq!((cancel.claim.as_ref(), cancel.reason()), (run.claim.as_ref(), reason));
    let held = status(client, &id).await;
    assert_eq!((held.execution_id.as_str(), held.runtime_status()), (next, RuntimeStatus::Pending));
    assert!(held.pending_reason.starts_with("waiting for the lease of worker 'w'"), "{}", held.pending_reason);
    let answer = worker.give_back(&run).await;
    assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");
}

#[tokio::test]
async fn a_failure_lets_the_next_one_begin() {
    let (_folder, _server, mut client, mut worker) = stage().await;
    let (run, behind) = run_with_queue(&mut client, &mut worker, "a").await;
    worker.fail(&run, "it broke", true).await;
    run_the_queue(&mut client, &mut worker, "a", &behind).await;
}

#[tokio::test]
async fn a_termination_lets_the_next_one_begin_once_the_worker_has_stopped() {
    let (_folder, _server, mut client, mut worker) = stage().await;
    let (run, behind) = run_with_queue(&mut client, &mut worker, "a").await;
    let end = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    let ended = client.terminate_instance(end).await.expect("it runs").into_inner().status.expect("a status");
    assert_eq!((&ended.execution_id, ended.runtime_status()), (&run.execution_id, RuntimeStatus::Terminated));
    let_go(&mut client, &mut worker, run, CancelReason::Terminated, &behind[0]).await;
    run_the_queue(&mut client, &mut worker, "a", &behind).await;
}

#[tokio::test]
async fn a_timeout_lets_the_next_one_begin_once_the_worker_has_stopped() {
    let (_folder, _server, mut client, mut worker) = stage().await;
    let timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    told(&mut client, v1::StartSingletonRequest { run_timeout: timeout, ..start("f", "a") }).await;
    let run = worker.take().await;
    let behind = [queued(&mut client, "a", "1").await];
    let_go(&mut client, &mut worker, run, CancelReason::TimedOut, &behind[0]).await;
    run_the_queue(&mut client, &mut worker, "a", &behind).await;
}

#[tokio::test]
async fn a_replacement_goes_before_those_who_wait_and_leaves_them_waiting() {
    let (_folder, _server, mut client, mut worker) = stage().await;
    let (run, behind) = run_with_queue(&mut client, &mut worker, "a").await;
    let replacing = told(&mut client, asking(ConflictPolicy::Replace, "a", "r")).await;
    assert_eq!(waiting(&mut client, "a").await, behind);
    let_go(&mut client, &mut worker, run, CancelReason::Replaced, &replacing.execution_id).await;
    let order = [&[replacing.execution_id], behind.as_slice()].concat();
    run_the_queue(&mut client, &mut worker, "a", &order).await;
}

#[tokio::test]
async fn who_continues_as_new_has_not_ended() {
    let (_folder, _server, mut client, mut worker) = stage().await;
    let (run, behind) = run_with_queue(&mut client, &mut worker, "a").await;
    let again = v1::ContinueAsNew { claim: run.claim.clone(), input: Some("again".into()) };
    worker.ask(Say::ContinueAsNew(again)).await;
    let again = worker.take().await;
    assert_eq!(again.input.as_deref(), Some("again"));
    assert_eq!(waiting(&mut client, "a").await, behind);
    worker.complete(&again, "").await;
    run_the_queue(&mut client, &mut worker, "a", &behind).await;
}

#[tokio::test]
async fn a_lost_worker_lets_the_next_one_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    let mut first = RawWorker::join(&server, "first", &["f"], 1).await;
    let (run, behind) = run_with_queue(&mut client, &mut first, "a").await;
    // It is not heard of any more, and its lease runs out.
    let mut second = RawWorker::join(&server, "second", &["f"], 1).await;
    let next = second.take().await;
    assert_eq!(next.execution_id, behind[0]);
    let lost = super::of(&mut client, "a", &run.execution_id).await.expect("it is still known");
    let failure = lost.failure.expect("it failed");
    assert_eq!(failure.error_type, "WorkerLost");
    second.complete(&next, "").await;
    let next = second.take().await;
    second.complete(&next, "").await;
    let last = until(&mut client, "a", super::has_ended).await;
    assert_eq!(last.execution_id, behind[1]);
}

#[tokio::test]
async fn nobody_waits_behind_what_nobody_took() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let deadline = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    told(&mut client, v1::StartSingletonRequest { start_deadline: deadline, ..start("nobody's", "a") }).await;
    let behind = [queued(&mut client, "a", "1").await];
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    run_the_queue(&mut client, &mut worker, "a", &behind).await;
}

/// A watcher who came late to an execution that had been continued as new was shown what it had been before, as if it
/// were running still, and nothing after that.
#[tokio::test]
async fn who_watches_an_execution_follows_it_where_it_continues_as_new() {
    use RuntimeStatus::{Completed, Running};
    let (_folder, _server, mut client, mut worker) = stage().await;
    told(&mut client, start("f", "a")).await;
    let first = worker.take().await;
    let mut run = first.clone();
    for _ in 0..2 {
        let again = v1::ContinueAsNew { claim: run.claim.clone(), input: None };
        worker.ask(Say::ContinueAsNew(again)).await;
        run = worker.take().await;
    }
    let mut late = super::watch(&mut client, "a", &first.execution_id).await;
    let now = super::next(&mut late).await.expect("it goes on");
    assert_eq!((&now.execution_id, now.runtime_status()), (&run.execution_id, Running));
    worker.complete(&run, "").await;
    let shown = super::to_the_end(late).await;
    assert_eq!(super::statuses(&shown), [Completed]);
}
