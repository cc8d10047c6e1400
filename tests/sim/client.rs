//! Callers: they start, look, raise, terminate, hang up, and ask again when they have no answer.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use soloist::{
    checker::history::{self, Answer, Call},
    core::{
        command::{RaiseEvent, Signal, Start, Target, Terminate},
        ids::{ExecutionId, InstanceKey},
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        rejection::Rejection,
        request::{Digest, Outcome, Request},
        status::Spec,
        time::Span,
    },
    engine::{Refusal, Started},
};

use crate::{
    house::Reply,
    stage::{MILLI, SECOND},
    witness::{self, Called},
    world::{World, name},
};

/// Tries of one start.
const TRIES: u64 = 4;
const REQUEST_MEMORY: Span = Span::from_secs(24 * 3600);

struct Client {
    world: Rc<World>,
    name: String,
    /// The starts that it made, to make them again.
    made: Vec<(InstanceKey, Asked)>,
    /// An execution that it has heard of.
    heard: Option<ExecutionId>,
}

/// A start as the caller means it.
#[derive(Clone)]
pub struct Asked {
    spec: Arc<Spec>,
    input: Option<Arc<str>>,
    policy: ConflictPolicy,
    replaceable: Replaceable,
    request: Option<String>,
}

/// Calls until it gets calm.
pub async fn client(world: Rc<World>, number: u64) {
    let pace = *world.dice.pick(&[500 * MILLI, 3 * SECOND, 15 * SECOND]);
    let mut client = Client { world, name: format!("client {number}"), made: Vec::new(), heard: None };
    loop {
        client.world.rest(pace).await;
        if client.world.calm.get() {
            return;
        }
        let key = client.world.any_key();
        match client.world.dice.below(20) {
            0..9 => client.start_until_answered(key).await,
            9..13 => client.status(&key).await,
            13..15 => client.terminate(key).await,
            _ => client.raise(key).await,
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
            if start(&self.world, &self.name, &key, &asked, &mut self.heard).await || asked.request.is_none() {
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
            version: String::new(),
            tags: BTreeMap::new(),
            worker_kind: WorkerKind::Any,
            retry,
            start_deadline: some(15, 10 * MILLI, 20 * SECOND),
            run_timeout: some(20, 100 * MILLI, 40 * SECOND),
            start_at: None,
        };
        let all = Replaceable::ALL;
        let (completed, failed, terminated) = (dice.percent(50), dice.percent(50), dice.percent(50));
        Asked {
            spec: Arc::new(spec),
            input: dice.percent(50).then(|| format!("{}", dice.below(1000)).into()),
            policy: *dice.pick(&[ConflictPolicy::Fail, ConflictPolicy::UseExisting, ConflictPolicy::Replace]),
            replaceable: if dice.percent(90) { all } else { Replaceable { completed, failed, terminated } },
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

    async fn terminate(&self, key: InstanceKey) {
        let expected = self.heard.filter(|_| self.world.dice.percent(50));
        let call = Call::Terminate { expected: expected.map(|execution| execution.to_string()) };
        let called = self.world.witness().called(&key, &self.name, call);
        let terminate =
            Terminate { reason: "enough".into(), target: expected.map_or(Target::Latest, Target::Expected) };
        let reply =
            self.world.house.call(self.patience(), async |engine| engine.terminate(&key, terminate).await).await;
        conclude(&self.world, called, &key, reply, |witness, description| Answer::Ended {
            seen: Some(witness.view(called, &description.view)),
        });
    }

    async fn raise(&self, key: InstanceKey) {
        let expected = self.heard.filter(|_| self.world.dice.percent(30));
        let call = Call::RaiseEvent { expected: expected.map(|execution| execution.to_string()) };
        let called = self.world.witness().called(&key, &self.name, call);
        let raise = RaiseEvent { signal: Signal { name: name("go"), input: None }, expected_execution: expected };
        let reply = self.world.house.call(self.patience(), async |engine| engine.raise_event(&key, raise).await).await;
        conclude(&self.world, called, &key, reply, |witness, (execution, sequence)| {
            witness.raised(&key, sequence, execution);
            Answer::EventRaised { execution: execution.to_string(), sequence }
        });
    }

    /// Until when it waits for an answer.
    fn patience(&self) -> i64 {
        patience(&self.world)
    }
}

fn patience(world: &World) -> i64 {
    if world.dice.percent(5) { world.stage.now() + world.dice.between(0, SECOND) } else { i64::MAX }
}

/// Starts; answers whether there was an answer.
pub async fn start(
    world: &Rc<World>,
    caller: &str,
    key: &InstanceKey,
    asked: &Asked,
    heard: &mut Option<ExecutionId>,
) -> bool {
    let short = digest(asked) as u64;
    let named = asked.request.as_deref().map(|id| (id, short));
    let call = history::Start {
        policy: match asked.policy {
            ConflictPolicy::Fail => history::Policy::Fail,
            ConflictPolicy::UseExisting => history::Policy::UseExisting,
            ConflictPolicy::Replace => history::Policy::Replace,
            ConflictPolicy::Queue | ConflictPolicy::Coalesce => unreachable!("not asked for"),
        },
        function: asked.spec.function.to_string(),
        replaceable: replaceable(asked.replaceable),
        request: asked.request.as_ref().map(|id| history::Request { id: id.clone(), digest: short }),
    };
    let called = world.witness().called(key, caller, Call::Start(call));
    let reply = world
        .house
        .call(patience(world), async |engine| engine.start(key, asked.command(engine.draw_execution_id())).await);
    let reply = reply.await;
    conclude(world, called, key, reply, |witness, started| {
        let Started { outcome, deduplicated, execution, status, .. } = started;
        *heard = Some(execution);
        let made = !deduplicated && outcome != Outcome::Joined;
        witness.accepted(called, key, named, made, execution);
        let seen = Some(witness.view(called, &status.view));
        let execution = execution.to_string();
        let first = match outcome {
            Outcome::Started => history::Outcome::Started,
            Outcome::Joined => history::Outcome::Joined,
            Outcome::Replaced => history::Outcome::Replaced,
            Outcome::Queued | Outcome::Coalesced => unreachable!("not asked for"),
        };
        match first {
            _ if deduplicated => Answer::Deduplicated { first, execution, seen },
            history::Outcome::Joined => Answer::Joined { execution, seen },
            history::Outcome::Replaced => Answer::Replaced { execution, seen },
            _ => Answer::Started { execution, seen },
        }
    })
}

impl Asked {
    fn command(&self, execution: ExecutionId) -> Start {
        let digest = digest(self);
        Start {
            execution,
            spec: self.spec.clone(),
            input: self.input.clone(),
            conflict_policy: self.policy,
            replaceable: self.replaceable,
            max_queue: 2,
            signal: None,
            request: self.request.as_ref().map(|id| Request { id: id.clone(), digest, remember: REQUEST_MEMORY }),
        }
    }
}

/// The content, as a number: the spec, the input, the policies.
fn digest(asked: &Asked) -> u128 {
    let spec = format!("{:?} {:?} {:?}", asked.spec, asked.policy, asked.replaceable);
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
        Rejection::InboxFull { .. } => Answer::Refused,
        Rejection::StillLive(_)
        | Rejection::ExecutionNotFound { .. }
        | Rejection::QueueFull { .. }
        | Rejection::Cancelled(_)
        | Rejection::StaleFencingToken { .. }
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
    world.house.call(i64::MAX, async |engine| engine.start(key, asked.command(engine.draw_execution_id())).await).await
}
