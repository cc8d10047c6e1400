//! Ended is decided, not stopped: the next execution waits until the worker of the last one has stopped.

use soloist::proto::v1::{self, CancelReason, RuntimeStatus, work_request::Message as Say};
use tonic::Code;

use super::{Heard, LONG, assert_accepted, assert_cancelled, has_ended, replaced, started, terminated};
use crate::support::{Client, RawWorker, Server, error_info, start, status, until};

/// A run of `i` that `old` has taken on, and `new` with nothing to do.
async fn held(server: &Server) -> (Client, RawWorker, v1::Run, RawWorker) {
    let mut client = server.client().await;
    let mut old = RawWorker::join(server, "old", &["f"], 1).await;
    started(&mut client, "i").await;
    let run = old.take().await;
    let new = RawWorker::join(server, "new", &["f"], 1).await;
    (client, old, run, new)
}

#[tokio::test]
async fn a_replacement_waits_for_the_old_worker_and_is_handed_out_when_it_has_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let (mut client, mut old, run, mut new) = held(&server).await;
    let response = replaced(&mut client, "i").await;
    assert_eq!(response.outcome(), v1::StartOutcome::Replaced);
    assert_ne!(response.execution_id, run.execution_id);
    let reason = "waiting for the lease of worker 'old' on the former execution to be released or to expire";
    let waiting = response.status.expect("a status");
    assert_eq!((waiting.runtime_status(), waiting.pending_reason.as_str()), (RuntimeStatus::Pending, reason));

    let cancel = old.cancel().await;
    assert_eq!((cancel.reason(), cancel.claim.as_ref()), (CancelReason::Replaced, run.claim.as_ref()));
    // What the old one still says changes nothing, and does not keep the lease.
    assert_cancelled(&old.complete(&run, "too late").await, CancelReason::Replaced);
    assert_eq!(old.heartbeat(&[run.claim.clone().expect("a claim")]).await, []);
    let still = status(&mut client, "i").await;
    assert_eq!((still.worker.as_str(), still.pending_reason.as_str()), ("old", reason));
    assert!(still.lease_expires_at.is_some());
    // A further replacement waits as well, and the old one is not told again.
    let second = replaced(&mut client, "i").await;

    assert_accepted(&old.give_back(&run).await);
    let next = tokio::select! { run = new.run() => run, run = old.run() => run };
    assert_eq!((next.execution_id, next.attempt), (second.execution_id, 1));
    assert!(next.claim.map(|claim| claim.fencing_token) > run.claim.map(|claim| claim.fencing_token));
}

#[tokio::test]
async fn a_replacement_is_handed_out_at_the_end_of_a_lease_that_can_not_be_renewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut old, run, mut new) = held(&server).await;
    let response = replaced(&mut client, "i").await;
    assert_eq!(old.cancel().await.reason(), CancelReason::Replaced);
    // The old one goes on, and says so several times a second; in vain.
    let claim = run.claim.clone().expect("a claim");
    let mut pulse = tokio::time::interval(std::time::Duration::from_millis(100));
    let next = loop {
        tokio::select! {
            next = new.run() => break next,
            _ = pulse.tick() => {
                old.say(Say::Heartbeat(v1::Heartbeat { claims: vec![claim.clone()] })).await;
            }
            heard = old.hear() => match heard {
                Heard::HeartbeatAcked(acked) => assert_eq!(acked.renewed, []),
                Heard::Cancel(cancel) => assert_eq!(cancel.claim.as_ref(), Some(&claim)),
                other => panic!("{other:?}"),
            },
        }
    };
    assert_eq!(next.execution_id, response.execution_id);
    assert!(next.claim.map_or(0, |claim| claim.fencing_token) > claim.fencing_token);
}

#[tokio::test]
async fn a_terminated_run_stays_visible_until_its_lease_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut old, run, _new) = held(&server).await;
    let ended = terminated(&mut client, "i").await;
    assert_eq!((ended.runtime_status(), ended.worker.as_str()), (RuntimeStatus::Terminated, "old"));
    assert_eq!(ended.termination_reason, "enough");
    assert!(ended.lease_expires_at.is_some());
    assert_eq!(old.cancel().await.reason(), CancelReason::Terminated);
    assert_eq!(status(&mut client, "i").await.worker, "old", "told, not stopped");
    // It never says that it has stopped.
    let lost = old.cancel().await;
    assert_eq!((lost.reason(), lost.claim.as_ref()), (CancelReason::LeaseLost, run.claim.as_ref()));
    let after = status(&mut client, "i").await;
    assert_eq!((after.worker.as_str(), after.lease_expires_at), ("", None));
    assert_eq!(after.runtime_status(), RuntimeStatus::Terminated);
}

#[tokio::test]
async fn the_next_start_waits_for_the_worker_of_a_terminated_run_over_a_restart_too() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let (mut client, mut old, run, mut new) = held(&server).await;
        terminated(&mut client, "i").await;
        let next = started(&mut client, "i").await;
        assert_eq!(next.status.expect("a status").runtime_status(), RuntimeStatus::Pending);
        if restart {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
            new = RawWorker::join(&server, "new", &["f"], 1).await;
            let held = run.claim.clone().into_iter().collect();
            old = RawWorker::come_back(&server, "old", &["f"], 1, held).await;
            assert_eq!(old.registered.continued, [], "it was cancelled");
        }
        assert_eq!(old.cancel().await.reason(), CancelReason::Terminated);
        let waiting = status(&mut client, "i").await;
        assert_eq!((waiting.runtime_status(), waiting.worker.as_str()), (RuntimeStatus::Pending, "old"));
        assert_accepted(&old.give_back(&run).await);
        let handed_out = tokio::select! { run = new.run() => run, run = old.run() => run };
        assert_eq!(handed_out.execution_id, next.execution_id);
    }
}

#[tokio::test]
async fn whichever_of_completed_and_terminate_commits_first_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    // One after the other, both ways.
    started(&mut client, "a").await;
    let run = worker.take().await;
    assert_accepted(&worker.complete(&run, "done").await);
    let request = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    let refused = client.terminate_instance(request).await.expect_err("it has ended");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::FailedPrecondition, "INSTANCE_NOT_LIVE"));
    assert_eq!(status(&mut client, "a").await.output.as_deref(), Some("done"));

    started(&mut client, "b").await;
    let run = worker.take().await;
    terminated(&mut client, "b").await;
    assert_eq!(worker.cancel().await.reason(), CancelReason::Terminated);
    assert_cancelled(&worker.complete(&run, "done").await, CancelReason::Terminated);
    let ended = status(&mut client, "b").await;
    assert_eq!((ended.runtime_status(), ended.output), (RuntimeStatus::Terminated, None));
    assert_accepted(&worker.give_back(&run).await);

    // And at the same moment: one wins, both are told so.
    for round in 0..30 {
        let id = format!("race-{round}");
        started(&mut client, &id).await;
        let run = worker.take().await;
        let report = Say::Completed(v1::Completed { claim: run.claim.clone(), output: Some("done".into()) });
        let request = v1::TerminateInstanceRequest { instance_id: id.clone(), ..Default::default() };
        let mut terminator = client.clone();
        let (ended, sequence) = tokio::join!(terminator.terminate_instance(request), worker.say(report));
        let is_answer = |heard: &Heard| match heard {
            Heard::Accepted(accepted) => accepted.sequence == sequence,
            Heard::Cancel(cancel) => cancel.sequence == sequence,
            _ => false,
        };
        let mut heard = worker.hear().await;
        while !is_answer(&heard) {
            assert_cancelled(&heard, CancelReason::Terminated);
            heard = worker.hear().await;
        }
        let ended_as = until(&mut client, &id, has_ended).await.runtime_status();
        match heard {
            Heard::Accepted(_) => {
                assert_eq!(ended_as, RuntimeStatus::Completed);
                assert_eq!(ended.expect_err("it was too late").code(), Code::FailedPrecondition);
            }
            _ => {
                assert_eq!(ended_as, RuntimeStatus::Terminated);
                ended.expect("it came first");
                // The order to stop may still be on its way.
                worker.say(Say::Stopped(v1::Stopped { claim: run.claim })).await;
                while !matches!(worker.hear().await, Heard::Accepted(_)) {}
            }
        }
    }
}

/// A start that was replaced before its input was read used to leave its worker out of the offers until it said
/// something, and an idle worker has nothing to say: the replacement waited for ever.
#[tokio::test]
async fn a_worker_whose_run_was_overtaken_on_its_way_is_given_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for round in 0..20 {
        let id = format!("i-{round}");
        let mut last = String::new();
        for _ in 0..5 {
            let mut request = v1::StartSingletonRequest { input: Some("x".repeat(100_000)), ..start("f", &id) };
            request.set_conflict_policy(v1::ConflictPolicy::Replace);
            last = client.start_singleton(request).await.expect("it takes the place").into_inner().execution_id;
        }
        // Whatever it was given on the way was cancelled; then comes the last one.
        let mut given: Vec<v1::Run> = Vec::new();
        loop {
            match worker.hear().await {
                Heard::Run(run) => {
                    let is_last = run.execution_id == last;
                    given.push(run);
                    if is_last {
                        break;
                    }
                }
                Heard::Cancel(cancel) if given.iter().any(|run| run.claim == cancel.claim) => {
                    worker.say(Say::Stopped(v1::Stopped { claim: cancel.claim })).await;
                }
                // Of a run that never came, or the answer to what was given back.
                Heard::Cancel(_) | Heard::Accepted(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let run = given.pop().expect("the last one");
        worker.say(Say::Completed(v1::Completed { claim: run.claim, output: None })).await;
        let done = until(&mut client, &id, has_ended).await;
        assert_eq!((done.runtime_status(), done.execution_id), (RuntimeStatus::Completed, last));
    }
}
