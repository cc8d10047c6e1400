//! Callers: they start, look, raise, suspend, resume, terminate, purge, hang up, and ask again when they have no answer.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use soloist::{
    checker::history::{self, Answer, Call},
    core::{
        command::{RaiseEvent, Restart, Resume, Signal, Start, Suspend, Target, Terminate},
        ids::{ExecutionId, InstanceKey},
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        rejection::Rejection,
        request::{Digest, Outcome, Request},
        status::{Spec, View},
        time::{Span, Timestamp},
    },
    engine::{Engine, Refusal, Started},
};

use crate::{
    house::Reply,
    stage::{MILLI, SECOND},
    witness::{self, Called},
    world::{World, name},
};

/// Tries of one start.
const TRIES: u64 = 4;

struct Client {
    world: Rc<World>,
    name: String,
    /// The starts that it made, to make them again.
    made: Vec<(InstanceKey, Asked)>,
}

/// A start as the caller means it.
#[derive(Clone)]
pub struct Asked {
    spec: Arc<Spec>,
    input: Option<Arc<str>>,
    policy: ConflictPolicy,
    replaceable: Replaceable,
    max_queue: u32,
    signals: bool,
    request: Option<String>,
}

/// Calls until it gets calm.
pub async fn client(world: Rc<World>, number: u64) {
    let pace = *world.dice.pick(&[500 * MILLI, 3 * SECOND, 15 * SECOND]);
    let mut client = Client { world, name: format!("client {number}"), made: Vec::new() };
    loop {
        client.world.rest(pace).await;
        if client.world.calm.get() {
            return;
        }
        let key = client.world.any_key();
        match client.world.dice.below(100) {
            0..40 => client.start_until_answered(key).await,
            40..52 => client.status(&key).await,
            52..60 => client.status_of(&key).await,
            60..66 => client.terminate(key).await,
            66..73 => client.terminate_one(key).await,
            73..81 => client.raise(key).await,
            81..86 => client.suspend(key).await,
            86..91 => client.resume(key).await,
            91..96 => client.purge(key).await,
            _ => client.restart(key).await,
        }
    }
}

impl Client {
    async fn start_until_answered(&mut self, key: InstanceKey) {
        let dice = &self.world.dice;
        let again = (dice.percent(15) && !self.made.is_empty()).then(|| dice.pick(&self.made).clone());
        let (key, asked) = match again {
            Some((key, mut asked)) => {
                if dice.percent(20) {
                    asked.input = Some("another content".into());
                }
                (key, asked)
            }
            None => (key, self.ask()),
        };
        self.made.push((key.clone(), asked.clone()));
        self.world.asked.borrow_mut().push((key.clone(), asked.clone()));
        for _ in 0..1 + dice.below(TRIES) {
            if start(&self.world, &self.name, &key, &asked).await || asked.request.is_none() {
                return;
            }
            self.world.rest(2 * SECOND).await;
        }
    }

    fn ask(&self) -> Asked {
        let dice = &self.world.dice;
        let some = |percent, low, high| dice.percent(percent).then(|| Span::from_micros(dice.between(low, high)));
        let retry = RetryPolicy {
            max_attempts: 1 + dice.below(3) as u32,
            initial_backoff: Span::from_micros(dice.between(MILLI, 3 * SECOND)),
            max_backoff: Span::from_secs(5),
            multiplier: 2.0,
        };
        let spec = Spec {
            function: dice.pick(&self.world.functions).clone(),
            version: None,
            tags: BTreeMap::new(),
            worker_kind: WorkerKind::Any,
            retry,
            start_deadline: some(15, 10 * MILLI, 20 * SECOND),
            run_timeout: some(20, 100 * MILLI, 40 * SECOND),
            start_at: dice
                .percent(12)
                .then(|| Timestamp::from_micros(self.world.stage.now() + dice.between(-SECOND, 20 * SECOND))),
            parent: None,
            trace: None,
        };
        let all = Replaceable::ALL;
        let (completed, failed, terminated) = (dice.percent(50), dice.percent(50), dice.percent(50));
        Asked {
            spec: Arc::new(spec),
            input: dice.percent(50).then(|| format!("{}", dice.below(1000)).into()),
            policy: *dice.pick(&[
                ConflictPolicy::Fail,
                ConflictPolicy::UseExisting,
                ConflictPolicy::Replace,
                ConflictPolicy::Queue,
                ConflictPolicy::Queue,
                ConflictPolicy::Coalesce,
            ]),
            max_queue: 1 + dice.below(3) as u32,
            signals: dice.percent(40),
            replaceable: if dice.percent(90) {
                all
            } else {
                Replaceable { completed, failed, terminated, ..Replaceable::LIVE }
            },
            request: dice.percent(60).then(|| format!("r{:x}", dice.below(1 << 32))),
        }
    }

    async fn status(&self, key: &InstanceKey) {
        let called = self.world.witness().called(key, &self.name, Call::GetStatus);
        let with_payloads = self.world.dice.percent(30);
        let reply =
            self.world.house.call(self.patience(), async |engine| engine.status(key, None, with_payloads).await);
        let reply = reply.await;
        conclude(&self.world, called, key, reply, |witness, seen| {
            Answer::Status(witness.view(called, &seen.status.view))
        });
    }

    async fn status_of(&self, key: &InstanceKey) {
        let Some(execution) = self.world.any_execution(key) else { return };
        let call = Call::GetExecution { execution: execution.to_string() };
        let called = self.world.witness().called(key, &self.name, call);
        let with_payloads = self.world.dice.percent(30);
        let status = async |engine: Engine| engine.status(key, Some(execution), with_payloads).await;
        let reply = self.world.house.call(self.patience(), status).await;
        conclude(&self.world, called, key, reply, |witness, seen| {
            let view = &seen.status.view;
            match view.queue_position {
                0 => Answer::Status(witness.former(view)),
                position => Answer::Waiting { position, seen: witness.view(called, view) },
            }
        });
    }

    async fn terminate(&self, key: InstanceKey) {
        let expected = self.expects(&key, 50);
        let call = Call::Terminate { expected: expected.map(|execution| execution.to_string()) };
        let target = expected.map_or(Target::Latest, Target::Expected);
        end(&self.world, &self.name, &key, call, target, self.patience()).await;
    }

    /// Ends one execution, or withdraws it from the queue.
    async fn terminate_one(&self, key: InstanceKey) {
        let Some(execution) = self.world.any_execution(&key) else { return };
        let call = Call::TerminateExecution { execution: execution.to_string() };
        end(&self.world, &self.name, &key, call, Target::Exactly(execution), self.patience()).await;
    }

    async fn raise(&self, key: InstanceKey) {
        let expected = self.expects(&key, 30);
        let call = Call::RaiseEvent { expected: expected.map(|execution| execution.to_string()) };
        let called = self.world.witness().called(&key, &self.name, call);
        let raise = RaiseEvent { signal: go(), expected_execution: expected };
        let reply = self.world.house.call(self.patience(), async |engine| engine.raise_event(&key, raise).await).await;
        conclude(&self.world, called, &key, reply, |_, (execution, sequence)| Answer::EventRaised {
            execution: execution.to_string(),
            sequence,
        });
    }

    async fn suspend(&self, key: InstanceKey) {
        let expected_execution = self.expects(&key, 30);
        let call = Call::Suspend { expected: expected_execution.map(|execution| execution.to_string()) };
        let called = self.world.witness().called(&key, &self.name, call);
        let suspend = Suspend { reason: "a pause".into(), expected_execution };
        let reply = self.world.house.call(self.patience(), async |engine| engine.suspend(&key, suspend).await).await;
        conclude(&self.world, called, &key, reply, |witness, description| Answer::Suspended {
            seen: Some(witness.view(called, &description.view)),
        });
    }

    async fn resume(&self, key: InstanceKey) {
        resume(&self.world, &self.name, &key, self.expects(&key, 30), self.patience()).await;
    }

    async fn purge(&self, key: InstanceKey) {
        let expected = self.expects(&key, 30);
        let call = Call::Purge { expected: expected.map(|execution| execution.to_string()) };
        let called = self.world.witness().called(&key, &self.name, call);
        let reply = self.world.house.call(self.patience(), async |engine| engine.purge(&key, expected).await).await;
        conclude(&self.world, called, &key, reply, |_, ()| Answer::Purged);
    }

    async fn restart(&self, key: InstanceKey) {
        let dice = &self.world.dice;
        let expected_execution = self.expects(&key, 30);
        let id = dice.percent(60).then(|| format!("s{:x}", dice.below(1 << 32)));
        let content = format!("{expected_execution:?}");
        let digest = Digest::default().part(b"restart").part(content.as_bytes()).finish();
        let expected = expected_execution.map(|execution| execution.to_string());
        let request = id.as_ref().map(|id| history::Request { id: id.clone(), digest: digest as u64 });
        for _ in 0..1 + dice.below(TRIES) {
            let call = Call::Restart { expected: expected.clone(), request: request.clone() };
            let called = self.world.witness().called(&key, &self.name, call);
            let remember = self.world.house.memory;
            let remembered = id.as_ref().map(|id| Request { id: id.clone(), digest, remember });
            let restart = async |engine: Engine| {
                let execution = engine.draw_execution_id();
                engine.restart(&key, Restart { execution, expected_execution, request: remembered }).await
            };
            let reply = self.world.house.call(self.patience(), restart).await;
            let named = id.as_deref().map(|id| (id, digest as u64));
            let is_answered = conclude(&self.world, called, &key, reply, |witness, started| {
                heard(&self.world, &key, started.execution);
                told(witness, called, &key, named, &started)
            });
            if is_answered || id.is_none() {
                return;
            }
            self.world.rest(2 * SECOND).await;
        }
    }

    /// An execution of which it has heard, as the one that it expects.
    fn expects(&self, key: &InstanceKey, percent: u64) -> Option<ExecutionId> {
        self.world.any_execution(key).filter(|_| self.world.dice.percent(percent))
    }

    /// Until when it waits for an answer.
    fn patience(&self) -> i64 {
        patience(&self.world)
    }
}

fn patience(world: &World) -> i64 {
    if world.dice.percent(5) { world.stage.now() + world.dice.between(0, SECOND) } else { i64::MAX }
}

/// What a live instance is told.
fn go() -> Signal {
    Signal { name: name("go"), input: None }
}

fn heard(world: &World, key: &InstanceKey, execution: ExecutionId) {
    world.heard.borrow_mut().push((key.clone(), execution));
}

async fn end(world: &World, caller: &str, key: &InstanceKey, call: Call, target: Target, patience: i64) {
    let is_of_one = call.execution().is_some();
    let called = world.witness().called(key, caller, call);
    let output = Some("what there is".into());
    let terminate = Terminate { reason: "enough".into(), output, target, recurse: false };
    let reply = world.house.call(patience, async |engine| engine.terminate(key, terminate).await).await;
    conclude(world, called, key, reply, |witness, description| {
        let View { execution, .. } = &description.view;
        if let Target::Exactly(wanted) = target
            && is_of_one
            && wanted != execution.id
        {
            witness.object(format!("{key:?}: {wanted} was to end, and {} did", execution.id));
        }
        Answer::Ended { seen: Some(witness.view(called, &description.view)) }
    });
}

/// Goes on with what is suspended.
pub async fn resume(world: &World, caller: &str, key: &InstanceKey, expected: Option<ExecutionId>, patience: i64) {
    let call = Call::Resume { expected: expected.map(|execution| execution.to_string()) };
    let called = world.witness().called(key, caller, call);
    let resume = Resume { reason: "go on".into(), expected_execution: expected };
    let reply = world.house.call(patience, async |engine| engine.resume(key, resume).await).await;
    conclude(world, called, key, reply, |witness, description| Answer::Resumed {
        seen: Some(witness.view(called, &description.view)),
    });
}

/// Starts; answers whether there was an answer.
pub async fn start(world: &Rc<World>, caller: &str, key: &InstanceKey, asked: &Asked) -> bool {
    let short = digest(asked) as u64;
    let named = asked.request.as_deref().map(|id| (id, short));
    let call = history::Start {
        policy: match asked.policy {
            ConflictPolicy::Fail => history::Policy::Fail,
            ConflictPolicy::UseExisting => history::Policy::UseExisting,
            ConflictPolicy::Replace => history::Policy::Replace,
            ConflictPolicy::Queue => history::Policy::Queue,
            ConflictPolicy::Coalesce => history::Policy::Coalesce,
        },
        function: asked.spec.function.to_string(),
        replaceable: replaceable(asked.replaceable),
        max_queue: asked.max_queue,
        signal: asked.signals(),
        request: asked.request.as_ref().map(|id| history::Request { id: id.clone(), digest: short }),
    };
    let called = world.witness().called(key, caller, Call::Start(call));
    let memory = world.house.memory;
    let start = async |engine: Engine| engine.start(key, asked.command(engine.draw_execution_id(), memory)).await;
    let reply = world.house.call(patience(world), start).await;
    conclude(world, called, key, reply, |witness, started| {
        heard(world, key, started.execution);
        told(witness, called, key, named, &started)
    })
}

/// What an accepted start was told.
fn told(
    witness: &mut witness::Witness,
    called: Called,
    key: &InstanceKey,
    named: Option<(&str, u64)>,
    started: &Started,
) -> Answer {
    let Started { outcome, deduplicated, execution, queue_position: position, status } = started;
    let made = !deduplicated && matches!(outcome, Outcome::Started | Outcome::Replaced | Outcome::Queued);
    witness.accepted(called, key, named, made, *deduplicated, *execution);
    let seen = witness.started(called, &status.view);
    let (execution, position) = (execution.to_string(), *position);
    let first = match outcome {
        Outcome::Started => history::Outcome::Started,
        Outcome::Joined => history::Outcome::Joined,
        Outcome::Replaced => history::Outcome::Replaced,
        Outcome::Queued => history::Outcome::Queued,
        Outcome::Coalesced => history::Outcome::Coalesced,
    };
    match outcome {
        _ if *deduplicated => Answer::Deduplicated { first, execution, seen },
        Outcome::Started => Answer::Started { execution, seen },
        Outcome::Joined => Answer::Joined { execution, seen },
        Outcome::Replaced => Answer::Replaced { execution, seen },
        Outcome::Queued => Answer::Queued { execution, position, seen },
        Outcome::Coalesced => Answer::Coalesced { execution, position, seen },
    }
}

impl Asked {
    fn signals(&self) -> bool {
        self.signals && self.policy == ConflictPolicy::UseExisting
    }

    fn command(&self, execution: ExecutionId, remember: Span) -> Start {
        let digest = digest(self);
        Start {
            execution,
            spec: self.spec.clone(),
            input: self.input.clone(),
            conflict_policy: self.policy,
            replaceable: self.replaceable,
            max_queue: self.max_queue,
            signal: self.signals().then(go),
            request: self.request.as_ref().map(|id| Request { id: id.clone(), digest, remember }),
        }
    }
}

/// The content, as a number: the spec, the input, the policies.
fn digest(asked: &Asked) -> u128 {
    let Asked { spec, policy, replaceable, max_queue, signals, .. } = asked;
    let spec = format!("{spec:?} {policy:?} {replaceable:?} {max_queue} {signals}");
    Digest::default().part(spec.as_bytes()).optional(asked.input.as_deref()).finish()
}

fn replaceable(replaceable: Replaceable) -> Vec<history::Status> {
    let all = [
        (replaceable.completed, history::Status::Completed),
        (replaceable.failed, history::Status::Failed),
        (replaceable.terminated, history::Status::Terminated),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, status)| status).collect()
}

/// Notes what became of a call; answers whether there was an answer.
fn conclude<T>(
    world: &World,
    called: Called,
    key: &InstanceKey,
    reply: Reply<Result<T, Refusal>>,
    answer: impl FnOnce(&mut witness::Witness, T) -> Answer,
) -> bool {
    let mut witness = world.witness();
    match reply {
        Reply::Lost | Reply::Answered(Err(Refusal::OutcomeUnknown(_))) => {
            witness.given_up(called);
            return false;
        }
        Reply::Refused | Reply::Answered(Err(Refusal::Unavailable(_) | Refusal::TooMany(_))) => {
            witness.answered(called, Answer::Refused);
            return false;
        }
        Reply::Answered(Err(Refusal::Damaged(what))) => {
            witness.object(format!("the store is damaged: {what}"));
            return false;
        }
        Reply::Answered(Err(Refusal::Rejected(rejection))) => {
            let answer = rejected(&mut witness, called, key, &rejection);
            witness.answered(called, answer);
        }
        Reply::Answered(Ok(accepted)) => {
            let answer = answer(&mut witness, accepted);
            witness.answered(called, answer);
        }
    }
    true
}

fn rejected(witness: &mut witness::Witness, called: Called, key: &InstanceKey, rejection: &Rejection) -> Answer {
    match rejection {
        Rejection::AlreadyRunning(view) => Answer::AlreadyExists { seen: Some(witness.view(called, view)) },
        Rejection::StatusNotReplaceable(view) => Answer::NotReplaceable { seen: Some(witness.view(called, view)) },
        Rejection::FunctionMismatch { existing, .. } => {
            Answer::FunctionMismatch { seen: Some(witness.view(called, existing)) }
        }
        Rejection::RequestIdReused { .. } => Answer::RequestIdReused,
        Rejection::NotFound { .. } => {
            witness.absent(called, key);
            Answer::NotFound
        }
        Rejection::NotLive(view) => Answer::NotLive { seen: Some(witness.view(called, view)) },
        Rejection::ExecutionMismatch { current, .. } => {
            Answer::ExecutionMismatch { seen: Some(witness.view(called, current)) }
        }
        Rejection::StillLive(view) => Answer::StillLive { seen: Some(witness.view(called, view)) },
        Rejection::ExecutionNotFound { .. } => Answer::ExecutionNotFound,
        Rejection::QueueFull { waiting, .. } => Answer::QueueFull { waiting: *waiting },
        Rejection::InboxFull { .. } => Answer::Refused,
        Rejection::Cancelled(_)
        | Rejection::StaleFencingToken { .. }
        | Rejection::StaleCompletionToken
        | Rejection::NotGrantable => {
            witness.object(format!("{key:?}: a caller was told {rejection}"));
            Answer::Refused
        }
    }
}

/// The start with this request id and content, as it was made.
pub fn recall(world: &World, key: &InstanceKey, id: &str, short: u64) -> Option<Asked> {
    let asked = world.asked.borrow();
    let same = |(of, asked): &&(InstanceKey, Asked)| {
        of == key && asked.request.as_deref() == Some(id) && digest(asked) as u64 == short
    };
    asked.iter().find(same).map(|(_, asked)| asked.clone())
}

/// Makes it once more.
pub async fn again(world: &World, key: &InstanceKey, asked: Asked) -> Reply<Result<Started, Refusal>> {
    let memory = world.house.memory;
    let start = async |engine: Engine| engine.start(key, asked.command(engine.draw_execution_id(), memory)).await;
    world.house.call(i64::MAX, start).await
}
