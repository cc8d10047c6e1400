//! An engine that is moved by hand, its worker, and three parents that live for ever with children that don't.

use std::{
    pin::Pin,
    slice,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use soloist::{
    core::{
        command::{Ending, RaiseEvent, Restart, Resume, Signal, Start, Suspend, Target, Terminate},
        ids::{InstanceKey, TaskHub},
        partitioning::PartitionId,
        policy::{ConflictPolicy, Replaceable},
        time::Span,
    },
    engine::{
        Refusal,
        committer::Committed,
        work_items::{Assignment, Attendance, Content, Wishes, Work},
    },
    store::memory::{Fault, Memory},
};

use super::{
    book::{Book, Fact},
    player::{durable, soon},
    rows,
};
use crate::{
    clock::HandClock,
    hand::Hand,
    stage::{key, name},
};

pub const PARENTS: [&str; 3] = ["p0", "p1", "p2"];
pub const CHILDREN: [&str; 3] = ["c0", "c1", "c2"];
/// A house that does not come to rest in so many rounds never will.
const ROUNDS: usize = 300;

#[derive(Clone, Debug)]
pub enum Op {
    /// The worker makes something of a turn, by this seed.
    Turn(u64),
    /// The worker ends one of its activities.
    Activity(u16),
    /// Everything that waits becomes durable.
    Flush,
    /// Some of what is durable is carried out.
    CarryOut(u8),
    Settle,
    Pass(u8),
    Suspend(u8),
    Resume(u8),
    Abandon(u16),
    /// The worker never answers for a turn that it has.
    Forget(u16),
    /// The worker's stream ends, another comes.
    Leave,
    Raise(u8),
    /// A child ends.
    Terminate(u8),
    Purge(u8),
    /// A client starts a child, under one of the policies, or anew.
    Start(u8),
    Crash,
    /// The store fails, with or without having written what it was to write.
    Fail(bool),
}

type Asked = Pin<Box<dyn Future<Output = Result<(), Refusal>>>>;

pub struct House {
    pub hand: Hand,
    pub memory: Arc<Memory>,
    pub clock: Arc<HandClock>,
    attendance: Option<Attendance>,
    /// What the worker has.
    pub held: Vec<Assignment>,
    /// Durable, and not carried out yet.
    committed: Option<Committed>,
    asked: Vec<(Asked, Fact)>,
    pub book: Book,
    /// Ids and texts that were not used before.
    next: u32,
}

impl House {
    pub fn new() -> House {
        let (memory, clock) = (Arc::new(Memory::new()), Arc::new(HandClock::new()));
        let hand = Hand::at(clock.clone(), memory.clone()).expect("an empty store");
        let (held, asked) = (Vec::new(), Vec::new());
        let (attendance, committed, book) = (None, None, Book::default());
        let mut house = House { hand, memory, clock, attendance, held, committed, asked, book, next: 1 };
        for parent in PARENTS {
            house.start(parent, ConflictPolicy::Fail);
        }
        house.attend();
        house.settle();
        house
    }

    pub fn start(&mut self, id: &str, conflict_policy: ConflictPolicy) {
        let start = Start {
            execution: self.hand.engine.draw_execution_id(),
            spec: Arc::new(durable()),
            input: Some("\"in\"".into()),
            conflict_policy,
            replaceable: Replaceable::ALL,
            max_queue: 2,
            signal: None,
            request: None,
        };
        let engine = self.hand.engine.clone();
        let key = key(id);
        self.ask(async move { engine.start(&key, start).await.map(drop) }, Fact::Nothing);
    }

    fn attend(&mut self) {
        let wishes =
            Wishes { hub: TaskHub::default(), turns_max: 4, activities_max: 4, filters: None, nameless: false };
        self.attendance = Some(self.hand.engine.attend(wishes).expect("a place"));
    }

    pub fn ask(&mut self, future: impl Future<Output = Result<(), Refusal>> + 'static, fact: Fact) {
        self.asked.push((Box::pin(future), fact));
        self.hear();
    }

    /// Notes what has become durable.
    pub fn hear(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        for (mut future, fact) in asked {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => self.book.note(fact),
                Poll::Ready(Err(Refusal::Rejected(_))) => {}
                Poll::Ready(Err(other)) => panic!("{other}"),
                Poll::Pending => self.asked.push((future, fact)),
            }
        }
    }

    fn flush(&mut self) {
        self.carry_out(usize::MAX);
        if let Some(commit) = self.hand.stepper.take_commit() {
            self.committed = self.hand.stepper.flush(commit);
            assert!(self.committed.is_some(), "the disk works");
            rows::check(&self.memory, &self.clock);
        }
    }

    fn carry_out(&mut self, steps: usize) {
        let Some(committed) = &mut self.committed else { return };
        for _ in 0..steps {
            if !self.hand.stepper.carry_out_next(committed) {
                self.committed = None;
                break;
            }
        }
        self.hear();
    }

    pub fn settle(&mut self) {
        loop {
            self.flush();
            if self.committed.is_some() {
                continue;
            }
            if !self.hand.stepper.fire_next() {
                return;
            }
        }
    }

    /// The process dies. What was durable is, also where nobody was told.
    fn crash(&mut self) {
        let memory = Arc::new(self.memory.reopen());
        self.carry_out(usize::MAX);
        self.asked.clear();
        self.held.clear();
        self.hand = Hand::at(self.clock.clone(), memory.clone()).expect("the store can be taken over");
        self.memory = memory;
        self.attend();
    }

    /// The store fails. Nobody is told what was to become durable, nor anything that follows from it, and nothing new
    /// is taken; then the process ends.
    fn fail(&mut self, applied: bool) {
        self.carry_out(usize::MAX);
        let Some(commit) = self.hand.stepper.take_commit() else { return };
        self.memory.plan(match applied {
            true => Fault::AfterApplied { commits: 1 },
            false => Fault::BeforeApplied { commits: 1 },
        });
        assert!(self.hand.stepper.flush(commit).is_none(), "nothing is carried out");
        assert!(self.hand.stepper.has_fallen());
        self.take();
        for assignment in self.held.iter().filter(|assignment| self.hand.engine.is_tellable(assignment)) {
            if let (Some(claim), Ok(Some(Content::Turn(content)))) = (&assignment.claim, self.told(assignment)) {
                let past = self.book.past(&assignment.item.key, claim.execution.id);
                assert_eq!(content.past, past, "{:?} is told what was durable before", assignment.item.key);
            }
        }
        for (mut asked, fact) in std::mem::take(&mut self.asked) {
            match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(Refusal::OutcomeUnknown(_))) if applied => self.book.note(fact),
                Poll::Ready(Err(Refusal::OutcomeUnknown(_) | Refusal::Unavailable(_) | Refusal::Rejected(_))) => {}
                other => panic!("somebody who waits for the commit is told {other:?}"),
            }
        }
        let (signal, key) = (Signal { name: name("e"), input: None }, key(PARENTS[0]));
        let raised = soon(self.hand.engine.raise_event(&key, RaiseEvent { signal, expected_execution: None }));
        assert!(matches!(raised, Some(Err(Refusal::Unavailable(_)))), "{raised:?}");
        self.crash();
    }

    /// Takes what has been handed to the worker.
    pub fn take(&mut self) {
        let Some(attendance) = &self.attendance else { return };
        while let Some(come) = attendance.stream.next(usize::MAX).now_or_never() {
            self.held.extend(come);
        }
    }

    /// What the worker is told of it.
    pub fn told(&self, assignment: &Assignment) -> Result<Option<Content>, Refusal> {
        soon(self.hand.engine.contents(slice::from_ref(assignment))).expect("it only reads").remove(0)
    }

    pub fn pick(&mut self, activity: bool, which: usize) -> Option<Assignment> {
        self.take();
        let is_it = |assignment: &Assignment| matches!(assignment.item.work, Work::Activity(_)) == activity;
        let of_kind: Vec<usize> = (0..self.held.len()).filter(|at| is_it(&self.held[*at])).collect();
        let at = *of_kind.get(which % of_kind.len().max(1))?;
        Some(self.held.remove(at))
    }

    pub fn act(&mut self, op: Op) {
        let parent_or_child = |n: u8| key([PARENTS, CHILDREN].concat()[usize::from(n) % 6]);
        let child = |n: u8| key(CHILDREN[usize::from(n) % 3]);
        let engine = self.hand.engine.clone();
        match op {
            Op::Turn(seed) => {
                self.play_turn(seed, |house, key, dice, heard, is_parent| house.choose(key, dice, heard, is_parent))
            }
            Op::Activity(which) => self.end_activity(which),
            Op::Flush => self.flush(),
            Op::CarryOut(steps) => self.carry_out(usize::from(steps % 8)),
            Op::Settle => self.settle(),
            Op::Pass(seconds) => {
                self.clock.pass(Span::from_secs(seconds.into()));
                self.hand.stepper.fire_next();
            }
            Op::Suspend(n) => {
                let (key, suspend) = (parent_or_child(n), Suspend { reason: "".into(), expected_execution: None });
                self.ask(async move { engine.suspend(&key, suspend).await.map(drop) }, Fact::Nothing);
            }
            Op::Resume(n) => self.resume(parent_or_child(n)),
            Op::Abandon(which) => {
                if let Some(assignment) = self.pick(which % 2 == 0, usize::from(which / 2)) {
                    engine.abandon(assignment.token);
                }
            }
            Op::Forget(which) => drop(self.pick(false, usize::from(which))),
            Op::Leave => {
                self.held.clear();
                self.attendance = None;
                self.attend();
            }
            Op::Raise(n) => {
                let (to, text) = (key(PARENTS[usize::from(n) % 3]), format!("client#{}", self.fresh()));
                self.raise(to.clone(), text.clone(), Fact::Raised { to, text });
            }
            Op::Terminate(n) => {
                let terminate =
                    Terminate { reason: "".into(), output: None, target: Target::Latest, recurse: n % 2 == 0 };
                let key = child(n / 2);
                self.ask(async move { engine.terminate(&key, terminate).await.map(drop) }, Fact::Nothing);
            }
            Op::Purge(n) => {
                let key = child(n);
                self.ask(async move { engine.purge(&key, None).await }, Fact::Nothing);
            }
            Op::Start(n) => {
                let id = CHILDREN[usize::from(n) % 3];
                match n / 3 % 4 {
                    0 => self.start(id, ConflictPolicy::Fail),
                    1 => self.start(id, ConflictPolicy::Queue),
                    2 => self.start(id, ConflictPolicy::Replace),
                    _ => {
                        let execution = engine.draw_execution_id();
                        let (key, restart) = (key(id), Restart { execution, expected_execution: None, request: None });
                        self.ask(async move { engine.restart(&key, restart).await.map(drop) }, Fact::Nothing);
                    }
                }
            }
            Op::Crash => self.crash(),
            Op::Fail(applied) => self.fail(applied),
        }
    }

    fn resume(&mut self, key: InstanceKey) {
        let (engine, resume) = (self.hand.engine.clone(), Resume { reason: "".into(), expected_execution: None });
        self.ask(async move { engine.resume(&key, resume).await.map(drop) }, Fact::Nothing);
    }

    pub fn raise(&mut self, to: InstanceKey, text: String, fact: Fact) {
        let signal = Signal { name: name("e"), input: Some(text.into()) };
        let (engine, raise) = (self.hand.engine.clone(), RaiseEvent { signal, expected_execution: None });
        self.ask(async move { engine.raise_event(&to, raise).await.map(drop) }, fact);
    }

    pub fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Nobody asks for anything new any more; whatever is under way comes to its end.
    pub fn come_to_rest(mut self) {
        for key in [PARENTS, CHILDREN].concat().into_iter().map(key) {
            self.resume(key);
        }
        // Whoever has nothing to wait for is to end.
        for child in CHILDREN.map(key) {
            self.raise(child, "end".into(), Fact::Nothing);
        }
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            self.settle();
            self.take();
            if self.held.is_empty() {
                quiet += 1;
                if quiet > 3 {
                    return self.check();
                }
                // Longer than anybody sleeps or rests.
                self.clock.pass(Span::from_secs(60));
                continue;
            }
            quiet = 0;
            self.play_turn(1, |_, _, _, _, is_parent| {
                (Vec::new(), (!is_parent).then_some(Ending::Completed { output: None }))
            });
            self.end_activity(0);
        }
        panic!("it does not come to rest");
    }

    fn check(mut self) {
        self.settle();
        assert!(self.asked.is_empty(), "somebody waits for an answer");
        assert_eq!(rows::all(&self.memory, soloist::store::Table::Outbox), Vec::new(), "what has arrived may go");
        self.book.close(&PARENTS.map(key));
    }

    pub fn partition_of_first(&self) -> PartitionId {
        PartitionId::of(&key(PARENTS[0]))
    }

    pub fn activity_at_hand(&mut self) -> Assignment {
        self.settle();
        self.pick(true, 0).expect("an activity")
    }
}
