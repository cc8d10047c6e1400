//! Whatever callers and a worker do, and however often the server dies: the history that is told of the latest
//! execution is what was acknowledged of it, event by event.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::FutureExt;
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    clock::Clock,
    core::{
        command::{
            Payload, RaiseEvent, Report, ReportBody, Restart, Resume, Signal, Start, Suspend, Target, Terminate,
        },
        history::{EventInput, Happened},
        ids::{ExecutionId, InstanceKey, TaskHub},
        lease::Proof,
        limits,
        policy::{ConflictPolicy, Replaceable, RetryPolicy},
        rejection::Rejection,
        request::Outcome,
        status::{Failure, Spec},
        time::{Span, Timestamp},
    },
    engine::{Connection, Refusal, Started, history::What, workers::Mail},
    store::memory::Memory,
};

use crate::{
    hand::Hand,
    stage::{FUNCTION, LEASE, MOMENT, just_before, key, name, spec},
};

const BACKOFF: Span = Span::from_secs(2);
const MAX_ATTEMPTS: u32 = 3;

#[derive(Clone, Debug)]
enum Action {
    Start(ConflictPolicy, Option<usize>),
    Restart,
    /// With an input of so many bytes.
    Raise(Option<usize>),
    Suspend,
    Resume,
    /// It is suspended and resumed so often.
    Toggle(usize),
    Terminate,
    /// The last one in the queue never begins.
    Withdraw,
    Purge,
    Report(Body),
    /// The worker goes on, and so much time passes.
    Pass(Span),
    /// The worker is not heard of until its lease is over.
    Lose,
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Accept,
    Progress,
    Completed(Option<usize>),
    Failed { non_retriable: bool },
    Continue(Option<usize>),
    Stopped,
}

/// What is known of the latest execution, by what callers and the worker were told.
struct Known {
    input: Option<String>,
    is_suspended: bool,
    happened: Vec<What>,
    has_ended: bool,
}

struct Waiting {
    execution: ExecutionId,
    input: Option<String>,
}

struct Held {
    proof: Proof,
    attempt: u32,
    is_accepted: bool,
}

struct Play {
    memory: Arc<Memory>,
    hand: Hand,
    key: InstanceKey,
    worker: Connection,
    held: Option<Held>,
    known: Option<Known>,
    queue: Vec<Waiting>,
}

fn text(bytes: Option<usize>) -> Option<String> {
    bytes.map(|bytes| "x".repeat(bytes))
}

fn payload(text: Option<&String>) -> Option<Payload> {
    text.map(|text| text.as_str().into())
}

fn retrying() -> Spec {
    let retry =
        RetryPolicy { max_attempts: MAX_ATTEMPTS, initial_backoff: BACKOFF, max_backoff: BACKOFF, multiplier: 1.0 };
    Spec { retry, ..spec() }
}

impl Known {
    fn begun(input: Option<String>, is_suspended: bool) -> Known {
        let started = What::Started { function: name(FUNCTION), input: input.clone() };
        Known { input, is_suspended, happened: vec![started], has_ended: false }
    }
}

impl Play {
    fn begin() -> Play {
        let memory = Arc::new(Memory::new());
        let hand = Hand::over(memory.clone()).expect("an empty store");
        let worker = connect(&hand, BTreeMap::new());
        Play { memory, hand, key: key("i"), worker, held: None, known: None, queue: Vec::new() }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Start(policy, input) => self.start(*policy, text(*input)),
            Action::Restart => self.restart(),
            Action::Raise(input) => self.raise(text(*input)),
            Action::Suspend => self.suspend(),
            Action::Resume => self.resume(),
            Action::Toggle(times) => {
                for _ in 0..*times {
                    self.suspend();
                    self.resume();
                    // What was taken back before is granted again as soon as it is no longer suspended.
                    self.open_mail();
                }
            }
            Action::Terminate => self.terminate(),
            Action::Withdraw => self.withdraw(),
            Action::Purge => self.purge(),
            Action::Report(body) => self.report(*body),
            Action::Pass(span) => self.pass(*span),
            Action::Lose => self.lose(),
            Action::Crash => self.crash(),
        }
        self.open_mail();
    }

    fn start(&mut self, conflict_policy: ConflictPolicy, input: Option<String>) {
        let start = Start {
            execution: self.hand.engine.draw_execution_id(),
            spec: Arc::new(retrying()),
            input: payload(input.as_ref()),
            conflict_policy,
            replaceable: Replaceable::ALL,
            max_queue: 3,
            signal: None,
            request: None,
        };
        let Some(Started { outcome, execution, .. }) = self.ask(|hand, key| hand.finish(hand.engine.start(key, start)))
        else {
            return;
        };
        match outcome {
            Outcome::Started | Outcome::Replaced => self.known = Some(Known::begun(input, false)),
            Outcome::Queued => self.queue.push(Waiting { execution, input }),
            Outcome::Coalesced => {
                let waiting = self.queue.iter_mut().find(|waiting| waiting.execution == execution);
                waiting.expect("it waits").input = input;
            }
            Outcome::Joined => {}
        }
    }

    fn restart(&mut self) {
        let execution = self.hand.engine.draw_execution_id();
        let restart = Restart { execution, expected_execution: None, request: None };
        if self.ask(|hand, key| hand.finish(hand.engine.restart(key, restart))).is_some() {
            let input = self.known.as_ref().and_then(|known| known.input.clone());
            self.known = Some(Known::begun(input, false));
        }
    }

    fn raise(&mut self, input: Option<String>) {
        let signal = Signal { name: name("e"), input: payload(input.as_ref()) };
        let raise = RaiseEvent { signal, expected_execution: None };
        let raised = self.ask(|hand, key| hand.finish(hand.engine.raise_event(key, raise)));
        let Some((_, sequence)) = raised else { return };
        let kept = match input {
            Some(input) if input.len() > limits::HISTORY_INPUT_BYTES_MAX => {
                EventInput::Omitted { bytes: input.len() as u64 }
            }
            input => EventInput::Kept(input.map(Into::into)),
        };
        self.note(Happened::EventRaised { sequence, name: name("e"), input: kept });
    }

    fn suspend(&mut self) {
        let suspend = Suspend { reason: "a pause".into(), expected_execution: None };
        let is_done = self.ask(|hand, key| hand.finish(hand.engine.suspend(key, suspend))).is_some();
        let was_suspended = self.known.as_mut().map(|known| std::mem::replace(&mut known.is_suspended, is_done));
        if is_done && was_suspended == Some(false) {
            self.note(Happened::ExecutionSuspended { reason: "a pause".into() });
        }
    }

    fn resume(&mut self) {
        let resume = Resume { reason: "go on".into(), expected_execution: None };
        if self.ask(|hand, key| hand.finish(hand.engine.resume(key, resume))).is_none() {
            return;
        }
        let was_suspended = self.known.as_mut().map(|known| std::mem::take(&mut known.is_suspended));
        if was_suspended == Some(true) {
            self.note(Happened::ExecutionResumed { reason: "go on".into() });
        }
    }

    fn terminate(&mut self) {
        let terminate = Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
        if self.ask(|hand, key| hand.finish(hand.engine.terminate(key, terminate))).is_some() {
            self.ended(What::Terminated { reason: "enough".into(), output: None });
        }
    }

    fn withdraw(&mut self) {
        let Some(last) = self.queue.pop() else { return };
        let terminate = Terminate {
            reason: "no longer".into(),
            output: None,
            target: Target::Exactly(last.execution),
            recurse: false,
        };
        self.ask(|hand, key| hand.finish(hand.engine.terminate(key, terminate))).expect("it waits");
    }

    fn purge(&mut self) {
        if self.ask(|hand, key| hand.finish(hand.engine.purge(key, None))).is_some() {
            self.known = None;
        }
    }

    fn report(&mut self, body: Body) {
        let Some(Held { proof, attempt, is_accepted }) = self.held.take() else { return };
        let failure = |non_retriable| Failure { non_retriable, ..Failure::declared("Oops", "it broke".into()) };
        let said = match body {
            Body::Accept => ReportBody::Accept,
            Body::Progress => ReportBody::Progress { custom_status: Some("half".into()) },
            Body::Completed(output) => ReportBody::Completed { output: payload(text(output).as_ref()) },
            Body::Failed { non_retriable } => ReportBody::Failed { failure: failure(non_retriable) },
            Body::Continue(input) => {
                let execution = self.hand.engine.draw_execution_id();
                ReportBody::ContinueAsNew { input: payload(text(input).as_ref()), execution }
            }
            Body::Stopped => ReportBody::Stopped,
        };
        let key = self.key.clone();
        let report = self.hand.engine.report(key, Report { proof, body: said });
        self.hand.finish(report).expect("it is held");
        match body {
            Body::Accept | Body::Progress => self.held = Some(Held { proof, attempt, is_accepted: true }),
            Body::Completed(output) => self.ended(What::Completed { output: text(output) }),
            Body::Failed { non_retriable } => self.failed(attempt, failure(non_retriable)),
            Body::Continue(input) => {
                let is_suspended = self.known.as_ref().is_some_and(|known| known.is_suspended);
                self.known = Some(Known::begun(text(input), is_suspended));
            }
            Body::Stopped if is_accepted => {
                self.failed(attempt, lost(attempt, "gave the run back before it had ended"))
            }
            Body::Stopped => {
                let due_at = self.after(limits::DECLINED_BACKOFF);
                self.note(Happened::RetryScheduled { attempt, failure: None, due_at });
            }
        }
    }

    /// Time passes, and the worker is heard of.
    fn pass(&mut self, span: Span) {
        self.hand.clock.pass(span);
        self.hand.engine.heard(&self.worker.session);
        if let Some(held) = &self.held {
            self.hand.engine.renew(&self.key, held.proof).expect("it is held");
        }
    }

    fn lose(&mut self) {
        self.hand.clock.pass(just_before(LEASE));
        self.hand.engine.heard(&self.worker.session);
        self.hand.settle();
        self.hand.clock.pass(MOMENT);
        // What is due now is decided at this moment.
        let Some(Held { attempt, is_accepted, .. }) = self.held.take() else { return };
        // An attempt that nobody took on is none.
        if is_accepted {
            self.failed(attempt, lost(attempt, "let its lease run out"));
        }
    }

    /// The server dies and comes back, and so does the worker.
    fn crash(&mut self) {
        self.memory = Arc::new(self.memory.reopen());
        self.hand = Hand::at(self.hand.clock.clone(), self.memory.clone()).expect("a store that can be read");
        let held = self.held.iter().map(|held| (held.proof, self.key.clone())).collect();
        self.worker = connect(&self.hand, held);
    }

    /// Everything becomes durable; the worker takes what it is given, and stops what it is told to stop.
    fn open_mail(&mut self) {
        loop {
            self.hand.settle();
            let Some(mail) = self.worker.session.next_mail().now_or_never() else { return };
            match mail {
                Mail::Run(_, run) => {
                    let (attempt, proof) = (run.attempt, run.proof);
                    self.held = Some(Held { proof, attempt, is_accepted: false });
                    self.note(Happened::RunGranted { worker: name("w"), attempt, token: proof.token });
                }
                Mail::Cancel(key, proof, _) => {
                    self.held = None;
                    let stopped = Report { proof, body: ReportBody::Stopped };
                    // It may have been lost already.
                    let _ = self.hand.finish(self.hand.engine.report(key, stopped));
                }
                Mail::Events(_) | Mail::Pace(_) => {}
            }
        }
    }

    /// What was answered; nothing if it was rejected.
    fn ask<T>(&self, ask: impl FnOnce(&Hand, &InstanceKey) -> Result<T, Refusal>) -> Option<T> {
        match ask(&self.hand, &self.key) {
            Ok(answer) => Some(answer),
            Err(Refusal::Rejected(_)) => None,
            Err(other) => panic!("{other}"),
        }
    }

    fn after(&self, span: Span) -> Timestamp {
        Timestamp::from_micros(self.hand.clock.now().wall.as_micros() + span.as_micros())
    }

    fn note(&mut self, happened: Happened) {
        self.known.as_mut().expect("it is there").happened.push(What::Happened(happened));
    }

    fn failed(&mut self, attempt: u32, failure: Failure) {
        if failure.non_retriable || attempt >= MAX_ATTEMPTS {
            self.ended(What::Failed { failure: Some(Arc::new(failure)) });
        } else {
            let due_at = self.after(BACKOFF);
            self.note(Happened::RetryScheduled { attempt, failure: Some(Arc::new(failure)), due_at });
        }
    }

    /// It has ended; the first that waits begins.
    fn ended(&mut self, how: What) {
        if self.queue.is_empty() {
            let known = self.known.as_mut().expect("it is there");
            known.happened.push(how);
            known.has_ended = true;
        } else {
            self.known = Some(Known::begun(self.queue.remove(0).input, false));
        }
    }

    /// The history as it is told is what is known.
    fn check(&self) {
        let told = self.hand.finish(self.hand.engine.history(&self.key, None));
        let (mut told, known) = match (told, &self.known) {
            (Ok(told), Some(known)) => (told, known),
            (Err(Refusal::Rejected(rejection)), None) if matches!(*rejection, Rejection::NotFound { .. }) => return,
            (told, known) => panic!("{:?}, known is {:?}", told.err(), known.as_ref().map(|known| &known.happened)),
        };
        let mut found = Vec::new();
        while let Some(chapter) = self.hand.finish(told.next()).expect("a history") {
            found.push(chapter);
        }
        assert!(found.is_sorted_by_key(|chapter| chapter.at), "{found:?}");
        let found: Vec<(u64, What)> = found.into_iter().map(|chapter| (chapter.number, chapter.what)).collect();
        // Of those between the beginning and the end, the newest.
        let events = (known.happened.len() - 1 - usize::from(known.has_ended)) as u64;
        let forgotten = events.saturating_sub(limits::HISTORY_KEPT);
        let numbered = (0..).zip(known.happened.iter().cloned());
        let expected: Vec<(u64, What)> = numbered.filter(|(n, _)| *n == 0 || *n > forgotten).collect();
        assert_eq!(found, expected);
    }
}

fn lost(attempt: u32, how: &str) -> Failure {
    let message = format!("worker 'w' {how} (attempt {attempt})");
    Failure { non_retriable: false, ..Failure::declared("WorkerLost", message) }
}

fn connect(hand: &Hand, held: BTreeMap<Proof, InstanceKey>) -> Connection {
    let is_held = !held.is_empty();
    let connected = hand.engine.connect(TaskHub::default(), name("w"), vec![name(FUNCTION)], 1, held);
    let connected = hand.finish(connected).expect("a place for a worker");
    assert_eq!(connected.continued.len(), usize::from(is_held), "its lease stands");
    connected.connection
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let bytes = || proptest::option::of(prop_oneof![9 => 0..50_usize, 1 => 4_000..5_000_usize]);
    let policy = prop_oneof![
        2 => Just(ConflictPolicy::Fail),
        1 => Just(ConflictPolicy::UseExisting),
        1 => Just(ConflictPolicy::Replace),
        2 => Just(ConflictPolicy::Queue),
        2 => Just(ConflictPolicy::Coalesce),
    ];
    let body = prop_oneof![
        6 => Just(Body::Accept),
        2 => Just(Body::Progress),
        1 => bytes().prop_map(Body::Completed),
        3 => prop::bool::weighted(0.1).prop_map(|non_retriable| Body::Failed { non_retriable }),
        1 => bytes().prop_map(Body::Continue),
        2 => Just(Body::Stopped),
    ];
    let action = prop_oneof![
        30 => (policy, bytes()).prop_map(|(policy, input)| Action::Start(policy, input)),
        5 => Just(Action::Restart),
        30 => bytes().prop_map(Action::Raise),
        12 => Just(Action::Suspend),
        20 => Just(Action::Resume),
        1 => (450..550_usize).prop_map(Action::Toggle),
        4 => Just(Action::Terminate),
        5 => Just(Action::Withdraw),
        4 => Just(Action::Purge),
        60 => body.prop_map(Action::Report),
        30 => (0..14_000_000_i64).prop_map(|micros| Action::Pass(Span::from_micros(micros))),
        6 => Just(Action::Lose),
        12 => Just(Action::Crash),
    ];
    proptest::collection::vec(action, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_history_is_what_happened(actions in actions()) {
        let mut play = Play::begin();
        for action in &actions {
            play.act(action);
            play.check();
        }
    }
}
