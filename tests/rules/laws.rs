//! Laws that hold over every life of an instance: random commands, random lapses of time, new owners in between.

mod board;
mod steps;

use std::collections::HashMap;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use soloist::{
    core::{
        command::{Command, Grant, Report, ReportBody, Restart, Start},
        decide::Answer,
        effect::{Effect, outstanding},
        event::{Event, LeaseEnd},
        ids::{ClaimId, ExecutionId, InstanceKey, Revision},
        instance::Instance,
        lease::Proof,
        policy::ConflictPolicy,
        queue::Queue,
        request::{Outcome, Request},
        status::{Spec, Status, Told},
        time::{Now, Span, Steady, Timestamp},
    },
    store::record,
};

use self::{
    board::Board,
    steps::{Action, Body, By, Expected, Lapse, Step, Which, steps},
};
use crate::world::{
    Done, MEMORY, World, apply, completed, failed, name, purge, raise, request, resume, signal, spec, suspend,
    terminate, withdraw,
};

/// A life, with everything that the laws speak of.
struct Life {
    world: World,
    proofs: Vec<Proof>,
    /// What was last accepted under each request id: what it asked for, what it got, and when.
    requests: HashMap<String, (u128, ExecutionId, Steady)>,
    history: Vec<(Event, Revision, Now)>,
    /// By the events alone: which executions are live, and which wait, the next one first.
    live: Vec<ExecutionId>,
    queue: Vec<ExecutionId>,
    /// By the events alone: it was purged.
    purged: bool,
    /// By the events and heartbeats alone: the lease that stands, and when it ends.
    lease: Option<(Proof, Span, Steady)>,
    tokens: Vec<Revision>,
    /// The newest since nothing was left of the instance.
    newest_token: Revision,
    sequence: u64,
    last_updated: Timestamp,
    board: Board,
}

impl Life {
    fn new() -> Life {
        Life {
            world: World::new(),
            proofs: Vec::new(),
            requests: HashMap::new(),
            history: Vec::new(),
            live: Vec::new(),
            queue: Vec::new(),
            purged: false,
            lease: None,
            tokens: Vec::new(),
            newest_token: Revision(0),
            sequence: 0,
            last_updated: Timestamp::from_micros(i64::MIN),
            board: Board::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step.lapse {
            Lapse::Micros(micros) => self.world.pass(Span::from_micros(micros)),
            Lapse::UntilDue(off) => {
                let due = self.world.instance.as_ref().and_then(Instance::next_due);
                let wait = due.map_or(0, |due| due.as_micros() - self.world.now.steady.as_micros());
                self.world.pass(Span::from_micros(wait + off));
            }
            Lapse::WallSet(by) => self.world.now.wall = Timestamp::from_micros(self.world.now.wall.as_micros() + by),
        }
        match &step.action {
            Action::Renew(by) => self.renew(*by),
            Action::Fire => self.fire(),
            Action::TakeOver => self.take_over(),
            other => {
                let command = self.command(other);
                self.submit(&command);
            }
        }
        self.check();
    }

    fn command(&mut self, action: &Action) -> Command {
        match action {
            Action::Start { policy, replaceable, request, function, max_queue, signals, ahead } => {
                let start_at = ahead.map(|ahead| Timestamp::from_micros(self.world.now.wall.as_micros() + ahead));
                let spec = spec(if *function == 0 { "f" } else { "g" }, 1 + u32::from(*function));
                Command::Start(Start {
                    spec: Spec { start_at, ..Spec::clone(&spec) }.into(),
                    replaceable: *replaceable,
                    max_queue: *max_queue,
                    signal: (*signals && *policy == ConflictPolicy::UseExisting).then(signal),
                    request: asked(*request),
                    ..self.world.start_as(*policy)
                })
            }
            Action::Restart { expected, request } => {
                let expected = self.expected(*expected);
                self.world.restart(expected, asked(*request))
            }
            Action::Raise(expected) => raise(self.expected(*expected)),
            Action::Suspend(expected) => suspend(self.expected(*expected)),
            Action::Resume(expected) => resume(self.expected(*expected)),
            Action::Terminate(expected) => terminate(self.expected(*expected)),
            Action::Withdraw(which) => withdraw(self.named(*which)),
            Action::Purge(expected) => purge(self.expected(*expected)),
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
            Action::Tick | Action::Fire | Action::TakeOver | Action::Renew(_) => Command::Tick,
        }
    }

    fn expected(&self, expected: Expected) -> Option<ExecutionId> {
        match expected {
            Expected::Any => None,
            Expected::Current => self.world.instance.as_ref().map(|instance| instance.execution.id),
            Expected::Other => Some(ExecutionId([255; 16])),
        }
    }

    fn named(&self, which: Which) -> ExecutionId {
        let other = ExecutionId([255; 16]);
        match which {
            Which::Current => self.expected(Expected::Current).unwrap_or(other),
            Which::Waiting(n) => self.queue.get(n).copied().unwrap_or(other),
            Which::Other => other,
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
        if matches!(command, Command::Tick) {
            let due = before.as_ref().and_then(Instance::next_due);
            let is_due = due.is_some_and(|due| due <= self.world.now.steady);
            assert_eq!(!done.events.is_empty(), is_due, "what time alone does was foreseen, and is done: {due:?}");
        }
        self.tell(command, &done);
        self.board.carry_out(&done.effects, self.world.instance.as_ref());
        self.answer(command, &done);
        if self.world.instance.is_none() && !done.events.is_empty() {
            self.forgotten();
        }
    }

    /// What a start is told agrees with what it did, and with what its request was told before.
    fn answer(&mut self, command: &Command, done: &Done) {
        let Answer::Start { outcome, deduplicated, execution, queue_position } = done.answer else { return };
        let place = self.queue.iter().position(|waits| *waits == execution).map_or(0, |at| at as u32 + 1);
        assert_eq!(queue_position, place);
        let (Command::Start(Start { request, .. }) | Command::Restart(Restart { request, .. })) = command else {
            return;
        };
        if !deduplicated {
            let live = self.live == [execution];
            match outcome {
                Outcome::Started | Outcome::Replaced | Outcome::Joined => assert!(live && place == 0, "{outcome:?}"),
                Outcome::Queued | Outcome::Coalesced => assert!(!live && place > 0, "{outcome:?}"),
            }
        }
        let Some(asked) = request else { return };
        let now = self.world.now.steady;
        let known = self.requests.get(&asked.id).filter(|(_, _, at)| now - *at < MEMORY);
        assert_eq!(
            deduplicated.then_some((asked.digest, execution)),
            known.map(|(digest, first, _)| (*digest, *first))
        );
        if !deduplicated {
            self.requests.insert(asked.id.clone(), (asked.digest, execution, now));
        }
    }

    /// Nothing is left of the instance: nobody needs anything of it.
    fn forgotten(&mut self) {
        assert!(self.purged && self.live.is_empty() && self.queue.is_empty());
        assert_eq!(self.lease, None, "its worker may still be at it");
        let now = self.world.now.steady;
        let needed = self.requests.iter().find(|(_, (_, _, at))| now - *at < MEMORY);
        assert_eq!(needed, None, "it is remembered for its time");
        (self.purged, self.sequence, self.last_updated) = (false, 0, Timestamp::from_micros(i64::MIN));
        (self.newest_token, self.board) = (Revision(0), Board::default());
        self.history.clear();
    }

    /// What the events alone say, beside the laws of each.
    fn tell(&mut self, command: &Command, done: &Done) {
        let now = self.world.now;
        let mut ended = false;
        for (event, revision) in &done.events {
            self.history.push((event.clone(), *revision, now));
            let just_ended = std::mem::replace(&mut ended, event.is_end());
            match event {
                Event::ExecutionStarted { execution, .. } | Event::ExecutionRestarted { execution } => {
                    assert_eq!(self.live, [], "no second live execution: {command:?}");
                    assert!(just_ended || self.queue.is_empty(), "only a replacement goes before those who wait");
                    self.live.push(*execution);
                    if std::mem::take(&mut self.purged) {
                        self.sequence = 0;
                    }
                }
                Event::StartQueued { execution, .. } => {
                    assert_eq!(self.live.len(), 1, "only what is live keeps anybody waiting");
                    self.queue.push(*execution);
                }
                Event::StartCoalesced { execution, .. } => assert!(self.queue.contains(execution)),
                Event::StartWithdrawn { execution, .. } => {
                    let at = self.queue.iter().position(|waits| waits == execution);
                    self.queue.remove(at.expect("only what waits is withdrawn"));
                }
                Event::ExecutionDequeued => {
                    assert!(just_ended, "the next one begins in the step in which the live one ends: {command:?}");
                    assert_eq!(self.live, []);
                    self.live.push(self.queue.remove(0));
                }
                Event::ExecutionSuspended { .. } | Event::ExecutionResumed { .. } | Event::EventRaised { .. } => {
                    assert_eq!(self.live.len(), 1, "only what is live is held back or told");
                }
                Event::InstancePurged { .. } => {
                    assert_eq!((self.live.len(), self.queue.len(), self.purged), (0, 0, false));
                    self.purged = true;
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
                    self.newest_token = *revision;
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
        assert!(self.queue.is_empty() || self.live.len() == 1, "nobody waits for nothing: {command:?}");
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
    fn take_over(&mut self) {
        let Some(before) = self.world.instance.take() else { return };
        let now = self.world.now;
        let instance = through_rows(&self.world.key, &before, now);
        assert_eq!(without_soft_state(&instance), without_soft_state(&before), "all but soft state is durable");
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
        assert!(!instance.is_forgotten(), "what nobody needs is not kept");
        assert_eq!(instance.is_there(), !self.purged);
        let waiting: Vec<ExecutionId> = instance.queue.iter().map(|start| start.execution).collect();
        assert_eq!(waiting, self.queue);
        let places = waiting.iter().map(|execution| instance.queue.position(*execution));
        assert!(places.eq(1..=instance.queue.len()));
        let live: Vec<ExecutionId> = execution.status.is_live().then_some(execution.id).into_iter().collect();
        assert_eq!(live, self.live);
        assert_eq!(instance.sequence, self.sequence);
        assert_eq!(instance.lease.as_ref().map(|lease| (lease.proof(), lease.ttl, lease.expires_at)), self.lease);
        assert_eq!(instance.fencing_token, self.newest_token);
        assert_eq!(execution.status.is_live(), execution.completed_at.is_none());
        assert!(execution.status != Status::Pending || execution.started_at.is_none());
        assert!(execution.last_updated_at >= self.last_updated);
        assert!(!instance.is_grantable() || (instance.lease.is_none() && !instance.is_suspended()));
        self.board.check(instance);
    }

    /// The same events over rows that are read anew after each one lead to the same instance.
    fn replay(&self) {
        let mut replayed = None;
        for (event, revision, now) in &self.history {
            let instance = apply(replayed.take(), event, *revision, *now);
            replayed = Some(through_rows(&self.world.key, &instance, *now));
        }
        let (replayed, lived) = (replayed.as_ref(), self.world.instance.as_ref());
        assert_eq!(replayed.map(without_soft_state), lived.map(without_soft_state));
    }
}

fn asked(request: Option<(u8, u8)>) -> Option<Request> {
    request.map(|(id, digest)| self::request(&id.to_string(), digest.into()))
}

/// To the disk and back: the record, and a row for each start that waits.
fn through_rows(key: &InstanceKey, instance: &Instance, now: Now) -> Instance {
    let bytes = record::encode_instance(key, instance);
    let read = record::decode_instance(instance.arrival, &bytes, now).expect("what was written can be read");
    assert_eq!(read.key, *key);
    let mut queue = Queue::default();
    for start in instance.queue.iter() {
        let row = record::encode_queued(start);
        queue.push(record::decode_queued(start.ticket, &row).expect("what was written can be read"));
    }
    Instance { memory: instance.memory.clone(), queue, ..read.instance }
}

fn without_soft_state(instance: &Instance) -> Instance {
    let mut instance = instance.clone();
    if let Some(lease) = &mut instance.lease {
        lease.expires_at = Steady::from_micros(0);
    }
    instance
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
