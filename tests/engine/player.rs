//! One worker and its callers, who play a seeded script and note what they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use futures_util::FutureExt;
use soloist::{
    clock::Clock,
    core::{
        command::{RaiseEvent, Report, ReportBody, Signal, Start, Target, Terminate},
        ids::{ClaimId, ExecutionId, InstanceKey, Revision},
        lease::Proof,
        policy::ConflictPolicy,
        status::{Failure, Spec, Status},
    },
    engine::{Connection, Refusal, workers::Mail},
};

use crate::{
    ledger::{Fact, Ledger},
    seed::Seed,
    stage::{Stage, request, settle, spec},
};

/// What the waits of a player are bounded by: each ends after a few rounds, or is a bug.
const PATIENCE_ROUNDS: usize = 10_000;

pub struct Player {
    pub stage: Stage,
    connection: Connection,
    pub keys: Vec<InstanceKey>,
    pub runs: Vec<HeldRun>,
    pub ledger: Ledger,
    /// The events that the worker was given.
    pub delivered: BTreeMap<InstanceKey, BTreeSet<u64>>,
    /// How often the progress of an execution was acknowledged, over all its attempts.
    progressed: BTreeMap<ExecutionId, usize>,
    /// What was asked for by the calls that were told that the outcome is unknown; nothing where that is no fact.
    pub unknown: Vec<Option<Fact>>,
    /// Starts with a request id whose outcome is unknown, to be tried again.
    pub lost: Option<(InstanceKey, Start)>,
    /// The commits, counted from the store's making, that callers waited for.
    pub awaited_commits: BTreeSet<u64>,
}

/// A run that the worker was given and has said no last word about.
#[derive(Clone, Debug)]
pub struct HeldRun {
    pub key: InstanceKey,
    pub proof: Proof,
    pub execution: ExecutionId,
}

impl Player {
    /// A worker of all these instances, and a watcher of each.
    pub async fn begin(stage: Stage, name: &str, keys: Vec<InstanceKey>) -> Player {
        let mut ledger = Ledger::default();
        for key in &keys {
            ledger.watch(&stage.engine, key).await;
        }
        Player::join(stage, name, keys, ledger).await
    }

    /// Another worker, who goes on with the ledger of the first one.
    pub async fn join(stage: Stage, name: &str, keys: Vec<InstanceKey>, ledger: Ledger) -> Player {
        let connection = stage.worker(name).await;
        Player {
            stage,
            connection,
            keys,
            ledger,
            runs: Vec::new(),
            delivered: BTreeMap::new(),
            progressed: BTreeMap::new(),
            unknown: Vec::new(),
            lost: None,
            awaited_commits: BTreeSet::new(),
        }
    }

    /// Plays so many steps, or until the store has failed.
    pub async fn play(&mut self, mut seed: Seed, steps: usize) {
        for step in 0..steps {
            if self.stage.has_fallen() {
                return;
            }
            let key = self.keys[seed.below(self.keys.len() as u64) as usize].clone();
            let dice = seed.below(12);
            match dice {
                0..=2 => self.start(key, step, &mut seed).await,
                3 | 4 => self.raise(key).await,
                5 => self.terminate(key).await,
                _ if self.runs.is_empty() => self.start(key, step, &mut seed).await,
                _ => self.report(step, &mut seed).await,
            }
            self.catch_up().await;
        }
    }

    async fn start(&mut self, key: InstanceKey, step: usize, seed: &mut Seed) {
        let id = format!("request {step}");
        let with_id = seed.below(2) == 0;
        let start = Start {
            conflict_policy: match seed.below(3) {
                0 => ConflictPolicy::Fail,
                1 => ConflictPolicy::UseExisting,
                _ => ConflictPolicy::Replace,
            },
            // Named in the version too, so that its execution can be found.
            spec: Arc::new(Spec { version: Some(id.clone()), ..spec() }),
            request: with_id.then(|| request(&id)),
            ..self.stage.start()
        };
        let engine = self.stage.engine.clone();
        let started = self.ask(engine.start(&key, start.clone())).await;
        match started {
            Ok(started) => self.ledger.told.push(Fact::Started { key, execution: started.execution }),
            Err(Refusal::OutcomeUnknown(_)) => {
                let joined = start.conflict_policy == ConflictPolicy::UseExisting;
                self.unknown.push((!joined).then(|| Fact::Started { key: key.clone(), execution: start.execution }));
                self.lost = start.request.is_some().then_some((key, start));
            }
            Err(_) => {}
        }
    }

    async fn raise(&mut self, key: InstanceKey) {
        let raise =
            RaiseEvent { signal: Signal { name: crate::stage::name("go"), input: None }, expected_execution: None };
        let engine = self.stage.engine.clone();
        match self.ask(engine.raise_event(&key, raise)).await {
            Ok((execution, sequence)) => self.ledger.told.push(Fact::Raised { key, execution, sequence }),
            Err(Refusal::OutcomeUnknown(_)) => self.unknown.push(None),
            Err(_) => {}
        }
    }

    async fn terminate(&mut self, key: InstanceKey) {
        let engine = self.stage.engine.clone();
        // One caller: what it finds is what it ends.
        let Ok(found) = engine.status(&key, None, false).await else { return };
        let execution = found.status.view.execution.id;
        let terminate =
            Terminate { reason: "enough".into(), output: None, target: Target::Expected(execution), recurse: false };
        let ended = Fact::Ended { key: key.clone(), execution, status: Status::Terminated };
        match self.ask(engine.terminate(&key, terminate)).await {
            Ok(_) => self.ledger.told.push(ended),
            Err(Refusal::OutcomeUnknown(_)) => self.unknown.push(Some(ended)),
            Err(_) => {}
        }
    }

    async fn report(&mut self, step: usize, seed: &mut Seed) {
        let at = seed.below(self.runs.len() as u64) as usize;
        let HeldRun { key, proof, execution } = self.runs[at].clone();
        let progressed = self.progressed.get(&execution).copied().unwrap_or_default();
        let delivered = self.delivered.get(&key).and_then(|delivered| delivered.last()).copied();
        let released = Fact::Released { key: key.clone(), token: proof.token };
        let (body, fact, is_final) = match (seed.below(9), delivered) {
            (0 | 1, _) => (ReportBody::Accept, Fact::Accepted, false),
            (2 | 3, _) => {
                let body = ReportBody::Progress { custom_status: Some(format!("\"{step}\"").into()) };
                (body, Fact::Progressed { key: key.clone(), execution, times: progressed + 1 }, false)
            }
            (4, Some(through)) => {
                (ReportBody::EventsAcked { through }, Fact::EventsAcked { key: key.clone(), through }, false)
            }
            (4 | 5, _) => {
                let ended = Fact::Ended { key: key.clone(), execution, status: Status::Completed };
                (ReportBody::Completed { output: Some("\"out\"".into()) }, ended, true)
            }
            (6, _) => {
                let body = ReportBody::ContinueAsNew { input: None, execution: self.stage.engine.draw_execution_id() };
                (body, Fact::Continued { key: key.clone(), execution }, true)
            }
            (7, _) => {
                let failure = Failure { non_retriable: false, ..Failure::declared("Oops", "try again".into()) };
                (ReportBody::Failed { failure }, released, true)
            }
            _ => (ReportBody::Stopped, released, true),
        };
        let engine = self.stage.engine.clone();
        let answer = self.ask(engine.report(key, Report { proof, body })).await;
        if is_final && !matches!(answer, Err(Refusal::Rejected(_))) {
            self.runs.remove(at);
        } else if matches!((&answer, &fact), (Ok(()), Fact::Progressed { .. })) {
            self.progressed.insert(execution, progressed + 1);
        }
        match answer {
            Ok(()) => self.ledger.told.push(fact),
            Err(Refusal::OutcomeUnknown(_)) => self.unknown.push(Some(fact)),
            Err(_) => {}
        }
    }

    /// Asks the engine, and notes whether the answer waited for a commit.
    async fn ask<T>(&mut self, question: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let before = self.stage.memory.commits();
        let answer = question.await;
        if answer.is_ok() && self.stage.memory.commits() > before {
            self.awaited_commits.insert(before + 1);
        }
        match &answer {
            Ok(_) | Err(Refusal::Rejected(_)) => {}
            Err(Refusal::OutcomeUnknown(_) | Refusal::Unavailable(_)) => assert!(self.stage.has_fallen()),
            Err(other) => panic!("{other}"),
        }
        answer
    }

    /// Waits until every grant that the engine decided has come to the worker, and every event.
    pub async fn catch_up(&mut self) {
        for key in self.keys.clone() {
            self.catch_up_with(&key).await;
        }
    }

    async fn catch_up_with(&mut self, key: &InstanceKey) {
        for _ in 0..PATIENCE_ROUNDS {
            self.open_mail().await;
            // The grant is queued before the start is answered, and a status waits for what is queued.
            let Ok(status) = self.stage.engine.status(key, None, false).await else { return };
            let execution = &status.status.view.execution;
            let due = execution.due.value().retry_at.is_none_or(|at| at <= self.stage.clock.now().steady);
            let known =
                self.ledger.tokens.get(key).and_then(|tokens| tokens.last()) == Some(&status.status.view.fencing_token);
            let waits = match &status.status.view.worker {
                Some(worker) => *worker == self.connection.session.worker && !known,
                None => execution.status.is_live() && due,
            };
            if !waits {
                return;
            }
            settle().await;
        }
        panic!("{key:?} was not granted: {:?}", self.stage.engine.status(key, None, false).await);
    }

    async fn open_mail(&mut self) {
        while let Some(mail) = self.connection.session.next_mail().now_or_never() {
            match mail {
                Mail::Run(key, run) => {
                    self.ledger.granted(&key, run.proof.token);
                    self.runs.push(HeldRun { key, proof: run.proof, execution: run.execution });
                }
                Mail::Events(claim) => self.take_events(claim).await,
                Mail::Pace(_) | Mail::Cancel(..) => {}
            }
        }
    }

    async fn take_events(&mut self, claim: ClaimId) {
        loop {
            let events = self.stage.engine.events_for(&self.connection.session, claim).await;
            let (Ok(events), Some(held)) = (events, self.connection.session.held(claim)) else { return };
            let Some(last) = events.last() else { return };
            self.connection.session.events_sent(claim, last.sequence);
            self.delivered.entry(held.key).or_default().extend(events.iter().map(|event| event.sequence));
        }
    }

    /// The instances whose lease the worker has, as far as it knows: it was given the run and has not let go of it.
    pub fn held(&self) -> BTreeMap<InstanceKey, Revision> {
        self.runs.iter().map(|run| (run.key.clone(), run.proof.token)).collect()
    }
}
