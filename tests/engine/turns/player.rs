//! What the worker in the house does.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use prost::Message as _;
use soloist::{
    core::{
        command::{Action, CompleteTurn, Ending, Signal, Start},
        ids::{InstanceId, InstanceKey},
        policy::{ConflictPolicy, Replaceable, WorkerKind},
        status::{Failure, Spec},
        time::Span,
        turn::{Note, TaskOutcome},
    },
    engine::{
        Engine,
        work_items::{Assignment, Content, Work},
    },
    proto::durable_task::{self as pb, history_event::EventType},
    store::record::Incoming,
};

use super::{
    book::{Fact, Turn},
    house::{CHILDREN, House, Op, PARENTS},
};
use crate::stage::{key, name, spec};

impl House {
    pub fn play_turn(
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
    pub fn choose(
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
            2 if !is_parent => {
                let output = (dice.below(2) == 0).then(|| "\"out\"".into());
                Some(Ending::Failed { failure: Arc::new(Failure::declared("Oops", "no".into())), output })
            }
            _ => None,
        };
        (actions, ending)
    }

    pub fn end_activity(&mut self, which: u16) {
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
}

/// What it comes to if it only reads; nothing if it waits for a commit.
pub fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
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

/// A start for Durable Task workers, of an id that is free.
pub fn durable_start(engine: &Engine) -> Start {
    Start {
        execution: engine.draw_execution_id(),
        spec: Arc::new(durable()),
        input: None,
        conflict_policy: ConflictPolicy::Fail,
        replaceable: Replaceable::ALL,
        max_queue: 1,
        signal: None,
        request: None,
    }
}

fn instance_id(id: &str) -> InstanceId {
    InstanceId::parse(id).expect("an id")
}

/// Numbers from a seed.
pub struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
