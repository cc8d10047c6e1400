//! Replacing at the same moment: one execution after the other, for callers, watchers and the worker.

use std::collections::{HashMap, HashSet};

use soloist::proto::v1::{
    self, ConflictPolicy, RuntimeStatus, StartOutcome, work_request::Message as Say, work_response::Message as Heard,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tonic::Streaming;

use super::{CALLERS, CONNECTIONS, all_start, sorted};
use crate::support::{Client, Crowd, RawWorker, Server, start, status, until};

fn replacing(id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { conflict_policy: ConflictPolicy::Replace.into(), ..start("race", id) }
}

async fn watch(client: &mut Client, id: &str) -> Streaming<v1::WatchStatusResponse> {
    let request = v1::WatchStatusRequest { instance_id: id.into(), wait_for_start: true, ..Default::default() };
    client.watch_status(request).await.expect("a watch").into_inner()
}

async fn next(watch: &mut Streaming<v1::WatchStatusResponse>) -> (v1::InstanceStatus, v1::WatchStatusResponse) {
    loop {
        let mut item = watch.message().await.expect("the watch goes on").expect("the watch does not end");
        if let Some(status) = item.status.take() {
            return (*status, item);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_replace_leave_two_hundred_executions_behind_each_other() {
    const ROUNDS: usize = 25;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let mut watch = watch(&mut client, &id).await;
        let (started, replaced, refused) = sorted(all_start(&crowd, &replacing(&id)).await);
        assert_eq!((started.len(), replaced.len()), (1, CALLERS - 1), "round {round}: {refused:?}");
        assert!(replaced.iter().all(|answer| answer.outcome() == StartOutcome::Replaced));

        let answers: Vec<_> = started.iter().chain(&replaced).collect();
        let executions: HashSet<_> = answers.iter().map(|answer| answer.execution_id.as_str()).collect();
        assert_eq!(executions.len(), CALLERS, "each start has an execution of its own");
        let statuses = || answers.iter().filter_map(|answer| answer.status.as_ref());
        let revisions: HashSet<_> = statuses().map(|status| status.revision).collect();
        assert_eq!(revisions.len(), CALLERS, "each start was a step of its own");
        let last = statuses().max_by_key(|status| status.revision).expect("answers");
        let current = status(&mut client, &id).await;
        assert_eq!((&current.execution_id, current.revision), (&last.execution_id, last.revision));

        // So many transitions at once overrun a watcher's buffer: then it is told so, and never misses one silently.
        // It was also told so when all that it had missed was older than the state that it had been shown meanwhile.
        let mut sequence = 0;
        loop {
            let (status, item) = next(&mut watch).await;
            let in_order = if item.resync { item.sequence > sequence } else { item.sequence == sequence + 1 };
            assert!(in_order, "round {round}: {} after {sequence}, resync {}", item.sequence, item.resync);
            sequence = item.sequence;
            if status.revision == last.revision {
                break;
            }
        }
        assert_eq!(sequence, 2 * CALLERS as u64 - 1, "a begin for each, an end for all but the last");
    }
}

/// Fewer callers: their transitions and the grants between them fit into a watcher's buffer, so that it sees them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_execution_ends_before_the_next_begins_and_its_lease_before_the_next_is_granted() {
    const FEW: usize = 16;
    const ROUNDS: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let crowd = Crowd::gather(&server, FEW, FEW).await;
    // It has room for more: only the lease keeps the next execution from it.
    let (release, released) = mpsc::channel(1);
    let worker = stop_when_told(RawWorker::join(&server, "w", &["race"], 2 * ROUNDS as u32).await, released);
    for round in 0..ROUNDS {
        let prompt = round % 2 == 0;
        let id = format!("{}{round}", if prompt { PROMPT } else { SLOW });
        let mut watch = watch(&mut client, &id).await;
        let (started, replaced, refused) = sorted(all_start(&crowd, &replacing(&id)).await);
        assert_eq!((started.len(), replaced.len()), (1, FEW - 1), "round {round}: {refused:?}");
        if prompt {
            // One execution at least is granted in such a round: the last one, once the leases before it have ended.
            until(&mut client, &id, |status| status.runtime_status() == RuntimeStatus::Running).await;
        }
        let request = v1::TerminateInstanceRequest { instance_id: id.clone(), ..Default::default() };
        client.terminate_instance(request).await.expect("the last one is terminated");
        if !prompt {
            // All has happened that could have: now the lease may end.
            let _ = release.send(()).await;
        }

        let (mut before, mut sequence, mut token) = (None::<v1::InstanceStatus>, 0, 0);
        let mut begun = Vec::new();
        while begun.len() < FEW || before.as_ref().is_some_and(is_live) {
            let (now, item) = next(&mut watch).await;
            assert!(item.sequence == sequence + 1 && !item.resync, "{} after {sequence}: {item:?}", item.sequence);
            sequence = item.sequence;
            match before.as_ref().filter(|before| is_live(before)) {
                Some(before) => assert_eq!(now.execution_id, before.execution_id, "it had not ended"),
                None => {
                    assert_eq!(now.runtime_status(), RuntimeStatus::Pending, "a new execution begins");
                    begun.push(now.execution_id.clone());
                }
            }
            if now.runtime_status() == RuntimeStatus::Running {
                assert!(now.fencing_token > token, "token {} after {token}", now.fencing_token);
                token = now.fencing_token;
            }
            before = Some(now);
        }
        let told: HashSet<_> = started.iter().chain(&replaced).map(|answer| answer.execution_id.clone()).collect();
        assert_eq!(begun.iter().cloned().collect::<HashSet<_>>(), told);
        assert_eq!(begun.len(), FEW, "none begins twice");
    }
    let (ended, _) = server.stop().await;
    assert!(ended.success());
    let granted = worker.await.expect("the worker saw no two leases at once");
    assert!(granted >= ROUNDS / 2, "the worker was granted {granted} runs");
}

fn is_live(status: &v1::InstanceStatus) -> bool {
    matches!(status.runtime_status(), RuntimeStatus::Pending | RuntimeStatus::Running)
}

/// Ids whose runs the worker stops as soon as it is told, and such that it goes on with until they are released.
const PROMPT: &str = "prompt-";
const SLOW: &str = "slow-";

/// A worker that takes what it is given and stops only when it is told to. Panics at two leases of one instance, or at
/// a token that does not rise. Answers how many runs it was given.
fn stop_when_told(mut worker: RawWorker, mut released: mpsc::Receiver<()>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut held: HashMap<String, v1::Claim> = HashMap::new();
        let mut tokens: HashMap<String, u64> = HashMap::new();
        let mut granted = 0;
        loop {
            let heard = tokio::select! {
                heard = worker.try_hear() => heard,
                Some(()) = released.recv() => {
                    let slow: Vec<String> = held.keys().filter(|id| id.starts_with(SLOW)).cloned().collect();
                    for claim in slow.iter().filter_map(|id| held.remove(id)) {
                        worker.say(Say::Stopped(v1::Stopped { claim: Some(claim) })).await;
                    }
                    continue;
                }
            };
            match heard.expect("the stream goes on").expect("the stream does not end") {
                Heard::Run(run) => {
                    let claim = run.claim.expect("a claim");
                    granted += 1;
                    let before = tokens.insert(claim.instance_id.clone(), claim.fencing_token).unwrap_or(0);
                    assert!(claim.fencing_token > before, "token {} after {before}", claim.fencing_token);
                    let other = held.insert(claim.instance_id.clone(), claim.clone());
                    assert!(other.is_none(), "two leases at once: {other:?} and {claim:?}");
                    worker.say(Say::Accept(v1::Accept { claim: Some(claim) })).await;
                }
                Heard::Cancel(cancel) => {
                    let claim = cancel.claim.expect("a claim");
                    // A run that was cancelled before its Accept came is told twice.
                    if held.get(&claim.instance_id) == Some(&claim) && claim.instance_id.starts_with(PROMPT) {
                        held.remove(&claim.instance_id);
                        worker.say(Say::Stopped(v1::Stopped { claim: Some(claim) })).await;
                    }
                }
                Heard::Accepted(_) => {}
                Heard::Drain(_) => break granted,
                other => panic!("not expected: {other:?}"),
            }
        }
    })
}
