//! One instance without an engine around it: time and ids come from the test, and everything that happens is kept.

use std::{collections::BTreeMap, sync::Arc};

use soloist::core::{
    command::{
        Command, Grant, Purge, RaiseEvent, Report, ReportBody, Restart, Resume, Signal, Start, Suspend, Target,
        Terminate,
    },
    decide::{Answer, Found, decide},
    effect::{Effect, Outlook, effects},
    event::{Event, LeaseEnd},
    ids::{Arrival, ClaimId, ExecutionId, InstanceId, InstanceKey, Name, PayloadRow, Revision, TaskHub},
    instance::Instance,
    lease::{NotHeld, Proof},
    policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
    rejection::Rejection,
    request::Request,
    status::{Failure, News, Spec, Status, Told, Transition},
    time::{Now, Span, Steady, Timestamp},
};

pub const TTL: Span = Span::from_secs(15);
pub const BACKOFF: Span = Span::from_secs(2);
pub const START_DEADLINE: Span = Span::from_secs(100);
pub const RUN_TIMEOUT: Span = Span::from_secs(1_000);
/// How long request ids are remembered.
pub const MEMORY: Span = Span::from_secs(24 * 3600);

/// An instance id, what it names, and the time.
#[derive(Clone, Debug)]
pub struct World {
    pub key: InstanceKey,
    pub instance: Option<Instance>,
    pub now: Now,
    pub revision: Revision,
    /// What the worker of the newest grant shows.
    pub proof: Proof,
    drawn: u8,
}

/// What one command did.
#[derive(Clone, Debug)]
pub struct Done {
    pub answer: Answer,
    pub events: Vec<(Event, Revision)>,
    pub news: Vec<News>,
    pub effects: Vec<Effect>,
}

impl World {
    pub fn new() -> World {
        let id = InstanceId::parse("i").expect("a valid id");
        World {
            key: InstanceKey::new(&TaskHub::default(), &id),
            instance: None,
            now: Now { wall: Timestamp::from_micros(1_000_000_000), steady: Steady::from_micros(1_000_000_000) },
            revision: Revision(100),
            proof: Proof { token: Revision(0), claim: ClaimId([0; 16]) },
            drawn: 0,
        }
    }

    /// Sixteen bytes that were not drawn before.
    pub fn draw(&mut self) -> [u8; 16] {
        self.drawn = self.drawn.wrapping_add(1);
        [self.drawn; 16]
    }

    /// Both clocks go on.
    pub fn pass(&mut self, span: Span) {
        self.now.steady = self.now.steady + span;
        self.now.wall = Timestamp::from_micros(self.now.wall.as_micros() + span.as_micros());
    }

    /// Decides, and applies what happens, as a partition does.
    pub fn submit(&mut self, command: &Command) -> Result<Done, Rejection> {
        let found = Found { key: &self.key, instance: self.instance.as_ref(), now: self.now };
        let decision = decide(found, command)?;
        let before = self.instance.as_ref().map(Outlook::of).unwrap_or_default();
        let mut done = Done { answer: decision.answer, events: Vec::new(), news: Vec::new(), effects: Vec::new() };
        for event in &decision.events {
            self.revision = Revision(self.revision.0 + 1);
            done.news.extend(self.instance.as_ref().and_then(|before| last_news(&self.key, before, event, self.now)));
            self.instance = Some(apply(self.instance.take(), event, self.revision, self.now));
            done.events.push((event.clone(), self.revision));
            if let Event::RunGranted { claim, .. } = event {
                self.proof = Proof { token: self.revision, claim: *claim };
            }
            let instance = self.instance();
            if event.is_transition() {
                let view = instance.view(&self.key, self.now);
                let told = Told::Transition(Transition { sequence: instance.sequence, view });
                done.news.push(News { arrival: instance.arrival, told, left: None });
            }
        }
        if let Some(after) = &self.instance
            && !decision.events.is_empty()
        {
            done.effects = effects(before, &decision.events, done.news.clone(), after);
        }
        if self.instance.as_ref().is_some_and(Instance::is_forgotten) {
            self.instance = None;
        }
        Ok(done)
    }

    /// The same, for a command that is taken.
    pub fn must(&mut self, command: &Command) -> Done {
        self.submit(command).unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"))
    }

    pub fn instance(&self) -> &Instance {
        self.instance.as_ref().expect("it was started")
    }

    // What can be asked.

    pub fn start(&mut self) -> Start {
        Start {
            execution: ExecutionId(self.draw()),
            spec: spec("f", 2),
            input: Some("in".into()),
            conflict_policy: ConflictPolicy::Fail,
            replaceable: Replaceable::ALL,
            max_queue: 2,
            signal: None,
            request: None,
        }
    }

    /// The same with a policy.
    pub fn start_as(&mut self, conflict_policy: ConflictPolicy) -> Start {
        Start { conflict_policy, ..self.start() }
    }

    pub fn restart(&mut self, expected_execution: Option<ExecutionId>, request: Option<Request>) -> Command {
        Command::Restart(Restart { execution: ExecutionId(self.draw()), expected_execution, request })
    }

    pub fn grant(&mut self) -> Command {
        let execution = self.instance.as_ref().map_or(ExecutionId([0; 16]), |instance| instance.execution.id);
        let claim = ClaimId(self.draw());
        Command::Grant(Grant { execution, claim, worker: name("w"), ttl: TTL })
    }

    pub fn report(&self, body: ReportBody) -> Command {
        Command::Report(Report { proof: self.proof, body })
    }

    // Ways to get somewhere.

    pub fn pending() -> World {
        let mut world = World::new();
        let start = world.start();
        world.must(&Command::Start(start));
        world
    }

    pub fn granted() -> World {
        let mut world = World::pending();
        let grant = world.grant();
        world.must(&grant);
        world
    }

    pub fn running() -> World {
        World::granted().after(ReportBody::Accept)
    }

    /// After a report of the worker that holds the lease.
    pub fn after(mut self, body: ReportBody) -> World {
        let report = self.report(body);
        self.must(&report);
        self
    }

    /// Some time later, nothing having happened.
    pub fn later(mut self, span: Span) -> World {
        self.pass(span);
        self
    }

    /// A heartbeat comes.
    pub fn renew(&mut self) -> Result<(), NotHeld> {
        let (proof, now) = (self.proof, self.now.steady);
        self.instance.as_mut().ok_or(NotHeld::Lost)?.renew(proof, now)
    }

    pub fn then(mut self, command: &Command) -> World {
        self.must(command);
        self
    }

    pub fn replaced(mut self) -> World {
        let start = self.start_as(ConflictPolicy::Replace);
        self.then(&Command::Start(start))
    }

    /// One more start waits.
    pub fn queued(mut self, conflict_policy: ConflictPolicy) -> World {
        let start = self.start_as(conflict_policy);
        self.then(&Command::Start(start))
    }
}

/// The instance after one more event.
pub fn apply(before: Option<Instance>, event: &Event, revision: Revision, now: Now) -> Instance {
    match (before, event) {
        (None, Event::ExecutionStarted { execution, spec, input }) => {
            Instance::create(Arrival(7), *execution, spec, PayloadRow::of(input.as_ref(), revision), revision, now)
        }
        (None, other) => panic!("no instance begins with {other:?}"),
        (Some(mut instance), event) => {
            instance.apply(event, revision, now);
            instance
        }
    }
}

/// What watchers are told of a start that is withdrawn, or of an instance that is purged.
fn last_news(key: &InstanceKey, before: &Instance, event: &Event, now: Now) -> Option<News> {
    match event {
        Event::StartWithdrawn { execution, .. } => {
            let mut view = before.view_of(*execution, key, now)?;
            view.execution.status = Status::Terminated;
            Some(News { arrival: before.arrival, told: Told::Withdrawn(view), left: None })
        }
        Event::InstancePurged { .. } => {
            let last = Transition { sequence: before.sequence, view: before.view(key, now) };
            Some(News { arrival: before.arrival, told: Told::Purged(last), left: None })
        }
        _ => None,
    }
}

pub fn name(text: &str) -> Name {
    Name::parse(text).expect("a valid name")
}

pub fn spec(function: &str, max_attempts: u32) -> Arc<Spec> {
    Arc::new(Spec {
        function: name(function),
        version: Some("v1".into()),
        tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        worker_kind: WorkerKind::Any,
        retry: RetryPolicy {
            max_attempts,
            initial_backoff: BACKOFF,
            max_backoff: Span::from_secs(60),
            multiplier: 3.0,
        },
        start_deadline: Some(START_DEADLINE),
        run_timeout: Some(RUN_TIMEOUT),
        start_at: None,
        parent: None,
        trace: None,
    })
}

pub fn terminate(expected_execution: Option<ExecutionId>) -> Command {
    let target = expected_execution.map_or(Target::Latest, Target::Expected);
    Command::Terminate(Terminate {
        reason: "enough".into(),
        output: Some("what there is".into()),
        target,
        recurse: false,
    })
}

/// Ends the latest execution, or withdraws one that waits.
pub fn withdraw(execution: ExecutionId) -> Command {
    Command::Terminate(Terminate {
        reason: "no longer wanted".into(),
        output: None,
        target: Target::Exactly(execution),
        recurse: false,
    })
}

pub fn suspend(expected_execution: Option<ExecutionId>) -> Command {
    Command::Suspend(Suspend { reason: "a pause".into(), expected_execution })
}

pub fn resume(expected_execution: Option<ExecutionId>) -> Command {
    Command::Resume(Resume { reason: "go on".into(), expected_execution })
}

pub fn purge(expected_execution: Option<ExecutionId>) -> Command {
    Command::Purge(Purge { expected_execution, ended_before: None, remember: MEMORY })
}

pub fn raise(expected_execution: Option<ExecutionId>) -> Command {
    Command::RaiseEvent(RaiseEvent { signal: signal(), expected_execution })
}

pub fn signal() -> Signal {
    Signal { name: name("e"), input: Some("1".into()) }
}

pub fn request(id: &str, digest: u128) -> Request {
    Request { id: id.into(), digest, remember: MEMORY }
}

pub fn failed(non_retriable: bool) -> ReportBody {
    let failure = Failure { non_retriable, ..Failure::declared("Oops", "it broke".into()) };
    ReportBody::Failed { failure }
}

pub fn completed() -> ReportBody {
    ReportBody::Completed { output: Some("out".into()) }
}

/// What happened, in a line: the events, or `!` and the rejection.
pub fn told(result: &Result<Done, Rejection>) -> String {
    let variant = |debug: String| debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    match result {
        Err(rejection) => format!("! {}", variant(format!("{rejection:?}"))),
        Ok(done) if done.events.is_empty() => "nothing".into(),
        Ok(done) => {
            let names = done.events.iter().map(|(event, _)| match event {
                Event::LeaseEnded(LeaseEnd::Reported(_)) => "LeaseReported".into(),
                Event::LeaseEnded(LeaseEnd::Expired) => "LeaseExpired".into(),
                Event::LeaseEnded(LeaseEnd::TakenBack) => "LeaseTakenBack".into(),
                other => variant(format!("{other:?}")),
            });
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Plays a table: each line is `state | command => what happens`. All lines that differ are shown at once.
pub fn play(table: &str, state: impl Fn(&str) -> World, command: impl Fn(&str, &mut World) -> Command) {
    let mut wrong = Vec::new();
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines {
        let (case, expected) = line.split_once("=>").expect("a line says what happens");
        let (from, asked) = case.split_once('|').expect("a line names a state and a command");
        let mut world = state(from.trim());
        let command = command(asked.trim(), &mut world);
        let found = told(&world.submit(&command));
        if found != expected.trim() {
            wrong.push(format!("{} | {} => {found}, not {}", from.trim(), asked.trim(), expected.trim()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
