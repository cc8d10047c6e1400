//! Laws that hold over every life of an instance: random commands, random lapses of time, restarts in between.

use std::collections::HashMap;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    core::{
        command::{Command, Grant, Report, ReportBody, Start},
        effect::{Effect, outstanding},
        event::{Event, LeaseEnd},
        ids::{ClaimId, ExecutionId, Revision},
        instance::Instance,
        lease::{Cancellation, Proof},
        policy::{ConflictPolicy, Replaceable},
        status::{Status, Told},
        time::{Now, Span, Steady, Timestamp},
    },
    store::record,
};

use crate::world::{Done, World, apply, completed, failed, name, raise, request, spec, terminate};

/// A step of a life: how long it takes, and what happens then.
#[derive(Clone, Debug)]
struct Step {
    lapse: Lapse,
    action: Action,
}

#[derive(Clone, Debug)]
enum Lapse {
    Micros(i64),
    /// Until something is due, and so many microseconds more or less.
    UntilDue(i64),
    /// The wall clock is set by so much.
    WallSet(i64),
}

#[derive(Clone, Debug)]
enum Action {
    Start {
        policy: ConflictPolicy,
        replaceable: Replaceable,
        request: Option<(u8, u8)>,
        function: u8,
    },
    Raise(Expected),
    Terminate(Expected),
    Grant {
        other: bool,
        ttl: i64,
    },
    Report {
        by: By,
        body: Body,
    },
    Renew(By),
    TakeBack(By),
    Lengthen(i64),
    Tick,
    /// The timers do what is due.
    Fire,
    /// Another server takes over.
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    Current,
    Other,
}

/// Whose proof is shown: that of the n-th newest grant, perhaps with another secret.
#[derive(Clone, Copy, Debug)]
struct By {
    grants_ago: usize,
    forged: bool,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Accept,
    Progress(bool),
    Acked(u64),
    Completed,
    Failed { non_retriable: bool },
    Continue,
    Stopped,
}

/// A life, with everything that the laws speak of.
struct Life {
    world: World,
    proofs: Vec<Proof>,
    requests: HashMap<u8, ExecutionId>,
    history: Vec<(Event, Revision, Now)>,
    /// By the events alone: which executions are live.
    live: Vec<ExecutionId>,
    /// By the events and heartbeats alone: the lease that stands, and when it ends.
    lease: Option<(Proof, Span, Steady)>,
    tokens: Vec<Revision>,
    sequence: u64,
    last_updated: Timestamp,
    board: Board,
}

/// What an engine that carried out all effects has before it.
#[derive(Debug, Default)]
struct Board {
    offer: Option<ExecutionId>,
    cancel: Option<(ClaimId, Cancellation)>,
    /// Who was told that there are events, and up to which.
    events: Option<(ClaimId, u64)>,
    armed: Option<Steady>,
    handed_out: Option<ClaimId>,
}

impl Life {
    fn new() -> Life {
        Life {
            world: World::new(),
            proofs: Vec::new(),
            requests: HashMap::new(),
            history: Vec::new(),
            live: Vec::new(),
            lease: None,
            tokens: Vec::new(),
            sequence: 0,
            last_updated: Timestamp(i64::MIN),
            board: Board::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step.lapse {
            Lapse::Micros(micros) => self.world.pass(Span::from_micros(micros)),
            Lapse::UntilDue(off) => {
                let due = self.world.instance.as_ref().and_then(Instance::next_due);
                let wait = due.map_or(0, |due| due.0 - self.world.now.steady.0);
                self.world.pass(Span::from_micros(wait + off));
            }
            Lapse::WallSet(by) => self.world.now.wall.0 += by,
        }
        match &step.action {
            Action::Renew(by) => self.renew(*by),
            Action::Fire => self.fire(),
            Action::Restart => self.restart(),
            other => {
                let command = self.command(other);
                self.submit(&command);
            }
        }
        self.check();
    }

    fn command(&mut self, action: &Action) -> Command {
        match action {
            Action::Start { policy, replaceable, request: id, function } => {
                let request = id.map(|(id, digest)| request(&id.to_string(), digest.into()));
                let spec = spec(if *function == 0 { "f" } else { "g" }, 1 + u32::from(*function));
                let start = self.world.start();
                let (conflict_policy, replaceable) = (*policy, *replaceable);
                Command::Start(Start { spec, conflict_policy, replaceable, request, ..start })
            }
            Action::Raise(expected) => raise(self.expected(*expected)),
            Action::Terminate(expected) => terminate(self.expected(*expected)),
            Action::Grant { other, ttl } => match self.world.grant() {
                Command::Grant(grant) => {
                    let execution = if *other { ExecutionId([255; 16]) } else { grant.execution };
                    Command::Grant(Grant { execution, ttl: Span::from_micros(*ttl), worker: name("w"), ..grant })
                }
                other => other,
            },
            Action::Report { by, body } => {
                let body = match *body {
                    Body::Accept => ReportBody::Accept,
                    Body::Progress(some) => ReportBody::Progress { custom_status: some.then(|| "half".into()) },
                    Body::Acked(through) => ReportBody::EventsAcked { through },
                    Body::Completed => completed(),
                    Body::Failed { non_retriable } => failed(non_retriable),
                    Body::Continue => {
                        ReportBody::ContinueAsNew { input: None, execution: ExecutionId(self.world.draw()) }
                    }
                    Body::Stopped => ReportBody::Stopped,
                };
                Command::Report(Report { proof: self.proof(*by), body })
            }
            Action::TakeBack(by) => Command::TakeBack(self.proof(*by)),
            Action::Lengthen(ttl) => Command::Lengthen(Span::from_micros(*ttl)),
            Action::Tick | Action::Fire | Action::Restart | Action::Renew(_) => Command::Tick,
        }
    }

    fn expected(&self, expected: Expected) -> Option<ExecutionId> {
        match expected {
            Expected::Any => None,
            Expected::Current => self.world.instance.as_ref().map(|instance| instance.execution.id),
            Expected::Other => Some(ExecutionId([255; 16])),
        }
    }

    fn proof(&self, by: By) -> Proof {
        let none = Proof { token: Revision(1), claim: ClaimId([254; 16]) };
        let proof = self.proofs.iter().rev().nth(by.grants_ago).copied().unwrap_or(none);
        if by.forged { Proof { claim: ClaimId([253; 16]), ..proof } } else { proof }
    }

    fn submit(&mut self, command: &Command) {
        let before = self.world.instance.clone();
        let Ok(done) = self.world.submit(command) else {
            assert_eq!(self.world.instance, before, "a rejection changes nothing");
            return;
        };
        if let (Command::Tick, false) = (command, done.events.is_empty()) {
            let due = before.as_ref().and_then(Instance::next_due);
            assert!(due.is_some_and(|due| due <= self.world.now.steady), "what time alone does was foreseen: {due:?}");
        }
        self.tell(command, &done);
        self.board.carry_out(&done.effects, self.world.instance.as_ref());
        if let Command::Start(Start { request: Some(asked), .. }) = command
            && let soloist::core::decide::Answer::Start { execution, deduplicated, .. } = done.answer
            && let Ok(id) = asked.id.parse()
        {
            let first = self.requests.insert(id, execution);
            assert!(!deduplicated || first == Some(execution), "the first answer to the request id stands");
        }
    }

    /// What the events alone say, beside the laws of each.
    fn tell(&mut self, command: &Command, done: &Done) {
        let now = self.world.now;
        for (event, revision) in &done.events {
            self.history.push((event.clone(), *revision, now));
            match event {
                Event::ExecutionStarted { execution, .. } => {
                    assert_eq!(self.live, [], "no second live execution: {command:?}");
                    self.live.push(*execution);
                }
                Event::ExecutionContinued { execution, .. } => {
                    assert_eq!(self.live.len(), 1);
                    self.live = vec![*execution];
                }
                Event::ExecutionCompleted { .. }
                | Event::ExecutionFailed { .. }
                | Event::ExecutionTerminated { .. } => {
                    assert_eq!(self.live.len(), 1, "only what is live ends: {command:?}");
                    self.live.clear();
                }
                Event::RunGranted { claim, ttl, .. } => {
                    assert_eq!(self.lease, None, "no grant while a lease stands");
                    assert_eq!(self.live.len(), 1, "no grant of what has ended");
                    assert!(self.tokens.last().is_none_or(|last| last < revision), "tokens rise");
                    self.tokens.push(*revision);
                    let proof = Proof { token: *revision, claim: *claim };
                    self.proofs.push(proof);
                    self.lease = Some((proof, *ttl, now.steady + *ttl));
                }
                Event::RunAccepted => {
                    let (_, ttl, ends) = self.lease.as_mut().expect("only who holds the lease accepts");
                    assert!(now.steady < *ends, "not after its end");
                    *ends = now.steady + *ttl;
                }
                Event::LeaseLengthened { ttl: longer } => {
                    let (_, ttl, ends) = self.lease.as_mut().expect("only a lease that stands is made longer");
                    assert!(longer > ttl && now.steady < *ends);
                    (*ttl, *ends) = (*longer, now.steady + *longer);
                }
                Event::LeaseEnded(end) => {
                    let (proof, _, ends) = self.lease.take().expect("only a lease that stands ends");
                    match end {
                        LeaseEnd::Reported(report) => assert_eq!(report.proof, proof, "by its own worker"),
                        LeaseEnd::Expired => assert!(now.steady >= ends, "not before its time"),
                        LeaseEnd::TakenBack => {}
                    }
                }
                _ => {}
            }
        }
        let transitions = done.news.iter().filter_map(|news| match &news.told {
            Told::Transition(transition) => Some(transition),
            Told::Withdrawn(_) | Told::Purged(_) => None,
        });
        for transition in transitions {
            assert_eq!(transition.sequence, self.sequence + 1, "no gap");
            self.sequence = transition.sequence;
            let execution = &transition.view.execution;
            assert!(execution.last_updated_at > self.last_updated, "time goes on");
            assert!(execution.created_at <= execution.last_updated_at);
            self.last_updated = execution.last_updated_at;
            let row = record::encode_transition(&transition.view);
            let read = record::decode_transition(&self.world.key, transition.sequence, &row);
            assert_eq!(read.as_ref(), Ok(transition));
        }
        let published = done.effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count();
        assert_eq!(published, done.news.len(), "watchers hear of all of them");
    }

    fn renew(&mut self, by: By) {
        let proof = self.proof(by);
        let now = self.world.now.steady;
        let held = self.lease.filter(|(held, _, ends)| *held == proof && now < *ends);
        let Some(instance) = &mut self.world.instance else { return };
        let cancelled = instance.lease.as_ref().is_some_and(|lease| lease.cancelled.is_some());
        let renewed = instance.renew(proof, now).is_ok();
        assert_eq!(renewed, held.is_some() && !cancelled, "only who holds a lease renews it");
        if let (true, Some((_, ttl, ends))) = (renewed, &mut self.lease) {
            *ends = now + *ttl;
        }
    }

    /// As the engine's timers: what is armed fires once, and is armed anew where time will change more.
    fn fire(&mut self) {
        let now = self.world.now.steady;
        while self.board.armed.is_some_and(|armed| armed <= now) {
            self.board.armed = None;
            self.submit(&Command::Tick);
            if let Some(due) = self.world.instance.as_ref().and_then(Instance::next_due) {
                self.board.arm(due);
            }
        }
    }

    /// A fresh owner: rows instead of memory, full leases, and what is outstanding as its state says.
    fn restart(&mut self) {
        let Some(before) = self.world.instance.take() else { return };
        let now = self.world.now;
        let bytes = record::encode_instance(&self.world.key, &before);
        let (key, mut instance) =
            record::decode_instance(before.arrival, &bytes, now).expect("what was written can be read");
        assert_eq!(key, self.world.key);
        instance.memory = before.memory.clone();
        let (mut after, mut before) = (instance.clone(), before);
        for lease in [&mut after.lease, &mut before.lease].into_iter().flatten() {
            lease.expires_at = now.steady;
        }
        assert_eq!(after, before, "all but soft state is durable");
        if let Some((_, ttl, ends)) = &mut self.lease {
            *ends = now.steady + *ttl;
        }
        self.board = Board::default();
        self.board.carry_out(&outstanding(&instance), Some(&instance));
        self.world.instance = Some(instance);
    }

    /// What holds at every moment.
    fn check(&self) {
        let Some(instance) = &self.world.instance else { return };
        let execution = &instance.execution;
        let live: Vec<ExecutionId> = execution.status.is_live().then_some(execution.id).into_iter().collect();
        assert_eq!(live, self.live);
        assert_eq!(instance.sequence, self.sequence);
        assert_eq!(instance.lease.as_ref().map(|lease| (lease.proof(), lease.ttl, lease.expires_at)), self.lease);
        assert_eq!(instance.fencing_token, self.tokens.last().copied().unwrap_or_default());
        assert_eq!(execution.status.is_live(), execution.completed_at.is_none());
        assert!(execution.status != Status::Pending || execution.started_at.is_none());
        assert!(execution.last_updated_at >= self.last_updated);
        assert!(!instance.is_grantable() || instance.lease.is_none());
        self.board.check(instance);
    }

    /// The same events over rows that are read anew after each one lead to the same instance.
    fn replay(&self) {
        let mut replayed = None;
        for (event, revision, now) in &self.history {
            let instance = apply(replayed.take(), event, *revision, *now);
            let bytes = record::encode_instance(&self.world.key, &instance);
            let read = record::decode_instance(instance.arrival, &bytes, *now).expect("what was written can be read");
            replayed = Some(Instance { memory: instance.memory, ..read.1 });
        }
        let without_soft_state = |instance: &Instance| {
            let mut instance = instance.clone();
            if let Some(lease) = &mut instance.lease {
                lease.expires_at = Steady(0);
            }
            instance
        };
        let (replayed, lived) = (replayed.as_ref(), self.world.instance.as_ref());
        assert_eq!(replayed.map(without_soft_state), lived.map(without_soft_state));
    }
}

impl Board {
    fn carry_out(&mut self, effects: &[Effect], after: Option<&Instance>) {
        for effect in effects {
            match effect {
                Effect::Publish(_) | Effect::Pace { .. } => {}
                Effect::EndClaim { claim, .. } => {
                    self.cancel = self.cancel.filter(|(cancelled, _)| cancelled != claim);
                    self.events = self.events.filter(|(told, _)| told != claim);
                    self.handed_out = self.handed_out.filter(|held| held != claim);
                }
                Effect::Cancel { claim, why } => self.cancel = Some((*claim, *why)),
                Effect::HandOut(run) => {
                    let instance = after.expect("a run is of an instance");
                    assert_eq!(Some(run.proof), instance.lease.as_ref().map(|lease| lease.proof()));
                    assert_eq!(self.offer.take(), Some(run.execution), "only what was offered is handed out");
                    assert_eq!(self.handed_out.replace(run.proof.claim), None, "one worker at a time");
                }
                Effect::DeliverEvents { claim } => {
                    self.events = after.map(|instance| (*claim, instance.inbox_last));
                }
                Effect::Withdraw => assert!(self.offer.take().is_some(), "only what was offered is withdrawn"),
                Effect::Offer(offer) => self.offer = Some(offer.execution),
                Effect::Arm(due) => self.arm(*due),
            }
        }
    }

    /// A later time than the one that is armed changes nothing.
    fn arm(&mut self, due: Steady) {
        self.armed = Some(self.armed.map_or(due, |armed| armed.min(due)));
    }

    /// What was carried out so far leaves what the state calls for, and so does what a fresh owner begins with.
    fn check(&self, instance: &Instance) {
        let held = instance.lease.as_ref().filter(|lease| lease.cancelled.is_none()).map(|lease| lease.claim);
        let due = instance.next_due();
        let offer = instance.is_grantable().then_some(instance.execution.id);
        let cancel = instance.lease.as_ref().and_then(|lease| Some((lease.claim, lease.cancelled?)));
        let events = held.map(|claim| (claim, instance.inbox_last)).filter(|(_, last)| *last > instance.inbox_after);
        let mut fresh = Board::default();
        fresh.carry_out(&outstanding(instance), Some(instance));
        assert_eq!((fresh.offer, fresh.cancel, fresh.events, fresh.armed), (offer, cancel, events, due));

        let told = self.events.filter(|(claim, last)| held == Some(*claim) && *last > instance.inbox_after);
        assert_eq!((self.offer, self.cancel, told), (offer, cancel, events));
        // A lease that was renewed is looked at too early, never too late.
        assert!(due.is_none_or(|due| self.armed.is_some_and(|armed| armed <= due)), "{self:?}, due {due:?}");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (lapse(), action()).prop_map(|(lapse, action)| Step { lapse, action });
    proptest::collection::vec(step, 1..60)
}

fn lapse() -> impl Strategy<Value = Lapse> {
    prop_oneof![
        6 => (0..100_000_i64).prop_map(Lapse::Micros),
        2 => (0..20_000_000_i64).prop_map(Lapse::Micros),
        1 => (0..90_000_000_000_i64).prop_map(Lapse::Micros),
        4 => (-1..2_i64).prop_map(Lapse::UntilDue),
        1 => (-10_000_000_000..10_000_000_000_i64).prop_map(Lapse::WallSet),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let by = || {
        let grants_ago = prop_oneof![8 => Just(0_usize), 1 => 1..4_usize];
        (grants_ago, prop::bool::weighted(0.1)).prop_map(|(grants_ago, forged)| By { grants_ago, forged })
    };
    let policy = prop_oneof![
        2 => Just(ConflictPolicy::Fail),
        1 => Just(ConflictPolicy::UseExisting),
        3 => Just(ConflictPolicy::Replace),
    ];
    let replaceable = prop_oneof![4 => Just(Replaceable::ALL), 1 => Just(Replaceable::NONE)];
    let ids = proptest::option::weighted(0.4, (0..4_u8, 0..2_u8));
    let start = (policy, replaceable, ids, 0..3_u8)
        .prop_map(|(policy, replaceable, request, function)| Action::Start { policy, replaceable, request, function });
    let body = prop_oneof![
        4 => Just(Body::Accept),
        1 => any::<bool>().prop_map(Body::Progress),
        2 => (0..12_u64).prop_map(Body::Acked),
        1 => Just(Body::Completed),
        2 => prop::bool::weighted(0.2).prop_map(|non_retriable| Body::Failed { non_retriable }),
        1 => Just(Body::Continue),
        2 => Just(Body::Stopped),
    ];
    let expected = || prop_oneof![4 => Just(Expected::Any), 1 => Just(Expected::Current), 1 => Just(Expected::Other)];
    let grant = (prop::bool::weighted(0.1), 1..20_000_000_i64).prop_map(|(other, ttl)| Action::Grant { other, ttl });
    prop_oneof![
        4 => start,
        2 => expected().prop_map(Action::Raise),
        1 => expected().prop_map(Action::Terminate),
        6 => grant,
        8 => (by(), body).prop_map(|(by, body)| Action::Report { by, body }),
        2 => by().prop_map(Action::Renew),
        1 => by().prop_map(Action::TakeBack),
        1 => (1..30_000_000_i64).prop_map(Action::Lengthen),
        2 => Just(Action::Tick),
        5 => Just(Action::Fire),
        1 => Just(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_life_keeps_the_laws(steps in steps()) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step);
        }
        life.replay();
    }
}
