//! An engine that is moved by hand, its worker, and three parents that live for ever with children that don't.

use std::{
    pin::{Pin, pin},
    slice,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use prost::Message as _;
use soloist::{
    core::{
        command::{
            Action, CompleteTurn, Ending, RaiseEvent, Restart, Resume, Signal, Start, Suspend, Target, Terminate,
        },
        ids::{InstanceId, InstanceKey, TaskHub},
        partitioning::PartitionId,
        policy::{ConflictPolicy, Replaceable, WorkerKind},
        status::{Failure, Spec},
        time::Span,
        turn::{Note, TaskOutcome},
    },
    engine::{
        Refusal,
        committer::Committed,
        work_items::{Assignment, Attendance, Content, Wishes, Work},
    },
    proto::durable_task::{self as pb, history_event::EventType},
    store::{memory::Memory, record::Incoming},
};

use super::{
    book::{Book, Fact, Turn},
    rows,
};
use crate::{
    clock::HandClock,
    hand::Hand,
    stage::{key, name, spec},
};

const PARENTS: [&str; 3] = ["p0", "p1", "p2"];
const CHILDREN: [&str; 3] = ["c0", "c1", "c2"];
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
    /// The worker's stream ends, another comes.
    Leave,
    Raise(u8),
    /// A child ends.
    Terminate(u8),
    Purge(u8),
    /// A client starts a child, under one of the policies, or anew.
    Start(u8),
    Crash,
}

type Asked = Pin<Box<dyn Future<Output = Result<(), Refusal>>>>;

pub struct House {
    pub hand: Hand,
    pub memory: Arc<Memory>,
    clock: Arc<HandClock>,
    attendance: Option<Attendance>,
    /// What the worker has.
    held: Vec<Assignment>,
    /// Durable, and not carried out yet.
    committed: Option<Committed>,
    asked: Vec<(Asked, Fact)>,
    book: Book,
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

    fn start(&mut self, id: &str, conflict_policy: ConflictPolicy) {
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
        let wishes = Wishes { hub: TaskHub::default(), turns_max: 4, activities_max: 4, filters: None };
        self.attendance = Some(self.hand.engine.attend(wishes).expect("a place"));
    }

    fn ask(&mut self, future: impl Future<Output = Result<(), Refusal>> + 'static, fact: Fact) {
        self.asked.push((Box::pin(future), fact));
        self.hear();
    }

    /// Notes what has become durable.
    fn hear(&mut self) {
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

    fn settle(&mut self) {
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

    /// Takes what has been handed to the worker.
    fn take(&mut self) {
        let Some(attendance) = &self.attendance else { return };
        while let Some(come) = attendance.stream.next(usize::MAX).now_or_never() {
            self.held.extend(come);
        }
    }

    /// What the worker is told of it.
    pub fn told(&self, assignment: &Assignment) -> Result<Option<Content>, Refusal> {
        soon(self.hand.engine.contents(slice::from_ref(assignment))).expect("it only reads").remove(0)
    }

    fn pick(&mut self, activity: bool, which: usize) -> Option<Assignment> {
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
        }
    }

    fn resume(&mut self, key: InstanceKey) {
        let (engine, resume) = (self.hand.engine.clone(), Resume { reason: "".into(), expected_execution: None });
        self.ask(async move { engine.resume(&key, resume).await.map(drop) }, Fact::Nothing);
    }

    fn raise(&mut self, to: InstanceKey, text: String, fact: Fact) {
        let signal = Signal { name: name("e"), input: Some(text.into()) };
        let (engine, raise) = (self.hand.engine.clone(), RaiseEvent { signal, expected_execution: None });
        self.ask(async move { engine.raise_event(&to, raise).await.map(drop) }, fact);
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn play_turn(
        &mut self,
        seed: u64,
        choose: impl FnOnce(&mut House, &InstanceKey, Dice, &[String], bool) -> (Vec<Action>, Option<Ending>),
    ) {
        let Some(assignment) = self.pick(false, seed as usize) else { return };
        let (key, token) = (assignment.item.key.clone(), assignment.token);
        let claim = assignment.claim.as_ref().expect("it is a turn");
        if !self.hand.engine.is_tellable(&assignment) {
            self.held.push(assignment);
            return;
        }
        let Some(Content::Turn(content)) = self.told(&assignment).expect("whole rows") else {
            self.hand.engine.take_back_item(token);
            return;
        };
        self.hear();
        let is_parent = PARENTS.contains(&key.id());
        let execution = claim.execution.id;
        assert_eq!(content.past, self.book.past(&key, execution), "the history of {key:?}");
        let begun = claim.turns.as_ref().is_some_and(|turns| turns.begun);
        assert!(!begun || !content.incoming.is_empty(), "{key:?} is told nothing new");
        let (mut heard, mut ended) = (Vec::new(), Vec::new());
        for incoming in &content.incoming {
            match incoming {
                Incoming::Raised { input, .. } => heard.push(input.clone().expect("a text")),
                Incoming::TaskEnded { event, .. } => ended.push(task_of(event)),
            }
        }
        let (mut actions, ending) = choose(self, &key, Dice(seed), &heard, is_parent);
        if ending.is_some() {
            actions.retain(|action| !matches!(action, Action::ScheduleActivity { .. } | Action::CreateTimer { .. }));
        }
        let mut notes: Vec<Note> = vec![note(-1, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}))];
        let (mut scheduled, mut said) = (Vec::new(), Vec::new());
        for action in &mut actions {
            match action {
                Action::ScheduleActivity { id, note: at, .. } => {
                    *at = notes.len() as u64;
                    notes.push(note(*id, EventType::TaskScheduled(pb::TaskScheduledEvent::default())));
                    scheduled.push((*id, "activity"));
                }
                Action::CreateTimer { id, .. } => scheduled.push((*id, "timer")),
                Action::StartChild { id, .. } => scheduled.push((*id, "child")),
                Action::SendEvent { to, signal, .. } => {
                    said.push((key.sibling(to), signal.input.as_deref().unwrap_or_default().to_owned()));
                }
                Action::Terminate { .. } => {}
            }
        }
        let carried = match &ending {
            Some(Ending::ContinuedAsNew { carried, .. }) => {
                Some(carried.iter().filter_map(|signal| signal.input.as_deref().map(String::from)).collect())
            }
            _ => None,
        };
        let turn = CompleteTurn {
            token,
            notes: notes.clone(),
            through: content.through,
            began_at: self.hand.engine.now(),
            custom_status: seed.is_multiple_of(5).then(|| seed.is_multiple_of(10).then(|| "half".into())),
            trace: None,
            actions,
            ending,
        };
        let fact = match is_parent {
            true => Fact::Turn(Turn { key: key.clone(), execution, notes, heard, ended, scheduled, said, carried }),
            // Of children only the history and what they say is looked at.
            false => Fact::Turn(Turn {
                key: key.clone(),
                execution,
                notes,
                heard: Vec::new(),
                ended: Vec::new(),
                scheduled: Vec::new(),
                said,
                carried: None,
            }),
        };
        let completed = self.hand.engine.complete_turn(key, turn);
        self.ask(completed, fact);
    }

    /// What the orchestrator asks for.
    fn choose(
        &mut self,
        key: &InstanceKey,
        mut dice: Dice,
        heard: &[String],
        is_parent: bool,
    ) -> (Vec<Action>, Option<Ending>) {
        let mut actions = Vec::new();
        for _ in 0..dice.below(4) {
            let id = self.fresh() as i32;
            actions.push(match dice.below(if is_parent { 6 } else { 4 }) {
                0 => Action::ScheduleActivity { id, name: name("act"), version: String::new(), note: 0 },
                1 => {
                    let fire_at = self.hand.engine.now() + Span::from_secs(dice.below(3) as i64);
                    Action::CreateTimer { id, fire_at }
                }
                2 | 3 => {
                    let to = instance_id(PARENTS[dice.below(3) as usize]);
                    let text = format!("{}#{id}", key.id());
                    let signal = Signal { name: name("e"), input: Some(text.as_str().into()) };
                    Action::SendEvent { to, execution: None, signal }
                }
                4 => {
                    // Some have but little time.
                    let run_timeout = (dice.below(3) == 0).then(|| Span::from_secs(2));
                    let start_deadline = (dice.below(3) == 0).then(|| Span::from_secs(2));
                    Action::StartChild {
                        id,
                        instance: instance_id(CHILDREN[dice.below(3) as usize]),
                        execution: self.hand.engine.draw_execution_id(),
                        spec: Arc::new(Spec { run_timeout, start_deadline, ..durable() }),
                        input: Some("\"in\"".into()),
                    }
                }
                _ => {
                    let to = instance_id(CHILDREN[dice.below(3) as usize]);
                    Action::Terminate { to, output: None, recurse: dice.below(2) == 0 }
                }
            });
        }
        let ending = match dice.below(6) {
            0 if is_parent => {
                let carried = heard
                    .iter()
                    .take(2)
                    .map(|_| Signal { name: name("e"), input: Some(format!("carried {}#0", self.fresh()).into()) });
                let carried = carried.collect();
                Some(Ending::ContinuedAsNew {
                    execution: self.hand.engine.draw_execution_id(),
                    spec: Arc::new(durable()),
                    input: None,
                    carried,
                })
            }
            0 | 1 if !is_parent => Some(Ending::Completed { output: Some("\"out\"".into()) }),
            2 if !is_parent => Some(Ending::Failed { failure: Arc::new(Failure::declared("Oops", "no".into())) }),
            _ => None,
        };
        (actions, ending)
    }

    fn end_activity(&mut self, which: u16) {
        let Some(assignment) = self.pick(true, usize::from(which / 2)) else { return };
        let engine = self.hand.engine.clone();
        let Some(Content::Activity(scheduled)) = self.told(&assignment).expect("whole rows") else {
            engine.take_back_item(assignment.token);
            return;
        };
        let Work::Activity(offer) = &assignment.item.work else { panic!("an activity was picked") };
        let event = pb::HistoryEvent::decode(&*scheduled).expect("an event");
        assert_eq!(event.event_id, offer.id, "it is the row that schedules it");
        let outcome = match which % 2 {
            0 => TaskOutcome::Completed { result: Some("1".into()) },
            _ => TaskOutcome::Failed { failure: Arc::new(Failure::declared("Oops", "no".into())) },
        };
        if let Some(out) = engine.item_out(assignment.token) {
            let ended = engine.end_activity(&out, assignment.token, outcome);
            self.ask(ended, Fact::Nothing);
        }
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

    /// The first parent schedules an activity, and nothing else happens.
    pub fn schedule_one_activity(&mut self) {
        self.play_first(|_| {
            let activity = Action::ScheduleActivity { id: 1, name: name("act"), version: String::new(), note: 0 };
            (vec![activity], None)
        });
    }

    /// The first parent goes on as new when so many of its timers have fired that it was not told of.
    pub fn go_on_after_timers(&mut self, timers: i32) {
        self.held.clear();
        self.act(Op::Leave);
        let fire_at = self.hand.engine.now() + Span::from_secs(1);
        self.play_first(move |_| ((1..=timers).map(|id| Action::CreateTimer { id, fire_at }).collect(), None));
        self.raise(key(PARENTS[0]), "client#1".into(), Fact::Raised { to: key(PARENTS[0]), text: "client#1".into() });
        self.settle();
        self.play_first(|house| {
            house.clock.pass(Span::from_secs(1));
            house.settle();
            let (execution, spec) = (house.hand.engine.draw_execution_id(), Arc::new(durable()));
            (Vec::new(), Some(Ending::ContinuedAsNew { execution, spec, input: None, carried: Vec::new() }))
        });
    }

    /// The first parent's turn, which is due.
    fn play_first(&mut self, make: impl FnOnce(&mut House) -> (Vec<Action>, Option<Ending>)) {
        self.take();
        let is_first = |assignment: &Assignment| assignment.item.key == key(PARENTS[0]);
        self.held.retain(is_first);
        self.play_turn(0, |house, _, _, _, _| make(house));
        self.settle();
    }

    pub fn partition_of_first(&self) -> PartitionId {
        PartitionId::of(&key(PARENTS[0]))
    }

    pub fn activity_at_hand(&mut self) -> Assignment {
        self.settle();
        self.pick(true, 0).expect("an activity")
    }
}

/// What it comes to if it only reads; nothing if it waits for a commit.
fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    const POLLS: usize = 8;
    let mut future = pin!(future);
    (0..POLLS).find_map(|_| match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

fn task_of(event: &[u8]) -> i32 {
    match pb::HistoryEvent::decode(event).expect("an event").event_type.expect("it says something") {
        EventType::TaskCompleted(event) => event.task_scheduled_id,
        EventType::TaskFailed(event) => event.task_scheduled_id,
        EventType::TimerFired(event) => event.timer_id,
        EventType::SubOrchestrationInstanceCompleted(event) => event.task_scheduled_id,
        EventType::SubOrchestrationInstanceFailed(event) => event.task_scheduled_id,
        other => panic!("{other:?} ends no task"),
    }
}

pub fn note(event_id: i32, event_type: EventType) -> Note {
    pb::HistoryEvent { event_id, timestamp: None, event_type: Some(event_type) }.encode_to_vec().into()
}

pub fn durable() -> Spec {
    Spec { worker_kind: WorkerKind::DurableTask, ..spec() }
}

fn instance_id(id: &str) -> InstanceId {
    InstanceId::parse(id).expect("an id")
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
