//! A crash at every commit of a script: before it is applied, and after.

use std::collections::{BTreeMap, BTreeSet};

use soloist::{
    core::{
        command::{RaiseEvent, Report, ReportBody, Signal, Start, Target, Terminate},
        ids::{ExecutionId, InstanceKey, Revision},
        request::Outcome,
        status::Status,
    },
    engine::Refusal,
    store::memory::Fault,
};

use crate::{
    ledger::{Fact, Known, Ledger},
    player::Player,
    seed::Seed,
    stage::{LEASE, MOMENT, Stage, just_before, key, name, settle},
};

const STEPS: usize = 36;

fn keys() -> Vec<InstanceKey> {
    ["a", "b", "c"].map(key).into()
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_or_seen_survives_a_crash_at_any_commit() {
    let seed = Seed::print("what_was_acknowledged_or_seen_survives_a_crash_at_any_commit");
    let mut rehearsal = Player::begin(Stage::new(), "first", keys()).await;
    rehearsal.play(seed.clone(), STEPS).await;
    assert!(rehearsal.unknown.is_empty() && !rehearsal.stage.has_fallen());
    let commits = rehearsal.stage.memory.commits();
    assert!(commits as usize > STEPS / 4, "a script of {commits} commits");
    let awaited = rehearsal.awaited_commits.clone();
    // Without a failure first: a crash between two commits.
    crash_and_check(rehearsal, false).await;

    for commit in 1..=commits {
        for (fault, applied) in
            [(Fault::BeforeApplied { commits: commit }, false), (Fault::AfterApplied { commits: commit }, true)]
        {
            println!("{fault:?} of {commits}");
            let stage = Stage::new();
            stage.memory.plan(fault);
            let mut player = Player::begin(stage, "first", keys()).await;
            player.play(seed.clone(), STEPS).await;
            assert!(!player.stage.engine.fallen().await.is_empty(), "why it failed is told");
            assert_eq!(player.unknown.len(), usize::from(awaited.contains(&commit)), "{:?}", player.unknown);
            nothing_goes_on(&player).await;
            crash_and_check(player, applied).await;
        }
    }
}

/// Once the store has failed, nothing is begun any more.
async fn nothing_goes_on(player: &Player) {
    let (engine, stage) = (&player.stage.engine, &player.stage);
    for key in &player.keys {
        let started = engine.start(key, stage.start()).await.map(|_| ());
        let raise = RaiseEvent { signal: Signal { name: name("go"), input: None }, expected_execution: None };
        let raised = engine.raise_event(key, raise).await.map(|_| ());
        let terminate = Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
        let ended = engine.terminate(key, terminate).await.map(|_| ());
        for refused in [started, raised, ended] {
            assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
        }
    }
    for run in &player.runs {
        let report = Report { proof: run.proof, body: ReportBody::Completed { output: None } };
        let reported = engine.report(run.key.clone(), report).await;
        assert!(matches!(reported, Err(Refusal::Unavailable(_))), "{reported:?}");
    }
}

async fn crash_and_check(player: Player, applied: bool) {
    // Whoever is to be told of what is durable has been told.
    settle().await;
    let held = player.held();
    let Player { stage, mut ledger, keys, unknown, lost, .. } = player;
    ledger.close();
    let stage = stage.crash().await;
    ledger.check(&stage, &keys).await;
    let known = transitions(&stage, &keys).await;
    for fact in unknown.iter().flatten().filter(|fact| is_seen(fact)) {
        assert_eq!(fact.holds(&known), applied, "of the failed commit: {fact:?}");
    }
    let acknowledged = unknown.into_iter().flatten().filter(|fact| matches!(fact, Fact::EventsAcked { .. }));
    ledger.told.extend(acknowledged);
    leases_are_respected(&stage, &keys, &held, ledger, &known).await;
    if let Some((key, start)) = lost {
        a_retry_is_not_done_again(&stage, &key, start, applied).await;
    }
    stage.end().await;
}

/// Whether it leaves a transition that is its own.
fn is_seen(fact: &Fact) -> bool {
    matches!(fact, Fact::Started { .. } | Fact::Ended { .. } | Fact::Progressed { .. } | Fact::Continued { .. })
}

async fn transitions(stage: &Stage, keys: &[InstanceKey]) -> Known {
    let mut known = Known::new();
    for key in keys {
        known.insert(key.clone(), stage.transitions(key).await);
    }
    known
}

/// A start whose answer was lost is found again if it was applied, and is done if it was not.
async fn a_retry_is_not_done_again(stage: &Stage, key: &InstanceKey, start: Start, applied: bool) {
    let first = start.execution;
    let version = start.spec.version.clone();
    let retry = Start { execution: stage.engine.draw_execution_id(), ..start };
    match (stage.engine.start(key, retry).await, applied) {
        (Ok(started), true) => {
            assert!(started.deduplicated, "{started:?}");
            assert!(started.outcome == Outcome::Joined || started.execution == first, "{started:?}, not {first}");
        }
        (Ok(started), false) => assert!(!started.deduplicated, "{started:?}"),
        (Err(Refusal::Rejected(_)), false) => {}
        (other, _) => panic!("{other:?}"),
    }
    let transitions = stage.transitions(key).await;
    let executions = transitions.iter().map(|transition| &transition.view.execution);
    // What continues an execution has its version too, but does not begin as Pending.
    let begun = executions.filter(|e| e.status == Status::Pending && e.spec.version == version).map(|e| e.id);
    let begun: BTreeSet<ExecutionId> = begun.collect();
    assert!(begun.len() <= 1, "one request, two executions: {begun:?}");
}

/// Another worker gets what is free at once, and what was held one full lease after the restart, not before; with
/// every event that nobody has confirmed.
async fn leases_are_respected(
    stage: &Stage,
    keys: &[InstanceKey],
    held: &BTreeMap<InstanceKey, Revision>,
    ledger: Ledger,
    known: &Known,
) {
    let waiting = ledger.waiting_events(known);
    let mut rival = Player::join(stage.clone(), "rival", keys.to_vec(), ledger).await;
    rival.catch_up().await;
    stage.clock.pass(just_before(LEASE));
    settle().await;
    rival.catch_up().await;
    for (key, token) in held {
        let view = stage.engine.status(key, None, false).await.expect("it was granted").status.view;
        assert_eq!((view.fencing_token, view.worker), (*token, Some(name("first"))), "{key:?}, within its lease");
    }
    // The rival is heard of, so that what it has stays its own.
    for run in &rival.runs {
        assert!(!held.contains_key(&run.key), "{held:?}, {run:?}");
        stage.engine.renew(&run.key, run.proof).expect("a lease of its own");
    }
    stage.clock.pass(MOMENT);
    for key in keys {
        until_let_go(stage, key, "first").await;
    }
    rival.catch_up().await;
    for key in keys {
        let Ok(status) = stage.engine.status(key, None, false).await else { continue };
        if !status.status.view.execution.status.is_live() {
            continue;
        }
        assert_eq!(status.status.view.worker, Some(name("rival")), "{key:?}");
        let delivered = rival.delivered.get(key).cloned().unwrap_or_default();
        let waiting = waiting.get(key).cloned().unwrap_or_default();
        assert!(waiting.is_subset(&delivered), "{key:?}: {waiting:?} wait, {delivered:?} were delivered");
    }
    rival.ledger.check(stage, keys).await;
}

/// Waits until this worker has no lease of the instance any more.
async fn until_let_go(stage: &Stage, key: &InstanceKey, worker: &str) {
    const ROUNDS: usize = 10_000;
    for _ in 0..ROUNDS {
        match stage.engine.status(key, None, false).await {
            Ok(status) if status.status.view.worker == Some(name(worker)) => settle().await,
            _ => return,
        }
    }
    panic!("{key:?} stays with {worker}");
}
