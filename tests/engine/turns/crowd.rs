//! Many workers at once, who come and go and won't do what they are given: nothing waits for ever.

use std::{slice, sync::Arc, time::Duration};

use prost::Message as _;
use soloist::{
    clock::SystemClock,
    core::{
        command::{Action, CompleteTurn, Ending, RaiseEvent, Restart, Resume, Signal, Suspend, Target, Terminate},
        ids::TaskHub,
        status::Status,
        time::Span,
        turn::{Note, TaskOutcome},
    },
    engine::{
        Config, Engine,
        watch::Milestone,
        work_items::{Assignment, Attendance, Content, Wishes, Work},
    },
    entropy::SystemEntropy,
    proto::durable_task::{self as pb, history_event::EventType},
    store::{memory::Memory, record::Incoming},
};
use tokio::task::JoinSet;

use super::player::{durable_start, note};
use crate::{
    seed::Seed,
    stage::{LEASE, key, name},
};

const INSTANCES: u64 = 60;
const WORKERS: usize = 6;
const STEPS: usize = 4;
const DISTURBANCES: usize = 600;
const PATIENCE: Duration = Duration::from_secs(60);

async fn told(engine: &Engine, assignment: &Assignment) -> Option<Content> {
    engine.until_tellable(assignment).await.expect("the store holds");
    engine.contents(slice::from_ref(assignment)).await.remove(0).expect("whole rows")
}

async fn turn(engine: &Engine, assignment: &Assignment, named: bool) {
    let (key, claim) = (&assignment.item.key, assignment.claim.as_ref().expect("it is a turn"));
    let Some(Content::Turn(content)) = told(engine, assignment).await else {
        return engine.take_back_item(assignment.token);
    };
    let begun = claim.turns.as_ref().is_some_and(|turns| turns.begun);
    assert!(!begun || !content.incoming.is_empty());
    let is_scheduled = |event: &&Vec<u8>| {
        let event = pb::HistoryEvent::decode(&***event).expect("an event");
        matches!(event.event_type, Some(EventType::TaskScheduled(_)))
    };
    let scheduled = content.past.iter().filter(is_scheduled).count();
    let goes_on = !begun || content.incoming.iter().any(|event| matches!(event, Incoming::TaskEnded { .. }));
    let mut notes: Vec<Note> = vec![note(-1, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}))];
    let (mut actions, mut ending) = (Vec::new(), None);
    if goes_on && scheduled == STEPS {
        ending = Some(Ending::Completed { output: None });
    } else if goes_on {
        let id = scheduled as i32;
        notes.push(note(id, EventType::TaskScheduled(pb::TaskScheduledEvent::default())));
        actions.push(Action::ScheduleActivity { id, name: name("act"), version: String::new(), note: 1 });
    }
    let token = if named { Some(assignment.token) } else { engine.turn_out(key) };
    let Some(token) = token else { return };
    if named {
        engine.names_tokens(token);
    }
    let (through, began_at) = (content.through, engine.now());
    let turn = CompleteTurn { token, notes, through, began_at, custom_status: None, trace: None, actions, ending };
    let _ = engine.complete_turn(key.clone(), turn).await;
}

async fn activity(engine: &Engine, assignment: &Assignment, named: bool) {
    if told(engine, assignment).await.is_none() {
        return engine.take_back_item(assignment.token);
    }
    let Work::Activity(offer) = &assignment.item.work else { return };
    let token = if named { Some(assignment.token) } else { engine.activity_out(&assignment.item.key, offer.id) };
    let Some(token) = token else { return };
    if named {
        engine.names_tokens(token);
    }
    if let Some(out) = engine.item_out(token) {
        let _ = engine.end_activity(&out, token, TaskOutcome::Completed { result: None }).await;
    }
}

fn attend(engine: &Engine, dice: &mut Seed) -> Attendance {
    let at_once = 1 + dice.below(3) as usize;
    let wishes =
        Wishes { hub: TaskHub::default(), turns_max: at_once, activities_max: at_once, filters: None, nameless: false };
    engine.attend(wishes).expect("a place")
}

async fn work(engine: Engine, mut dice: Seed, named: bool) {
    let mut attendance = attend(&engine, &mut dice);
    loop {
        let assignment = attendance.stream.next(1).await.remove(0);
        match dice.below(12) {
            0 => {
                engine.abandon(assignment.token);
                // And once more, in vain.
                engine.abandon(assignment.token);
            }
            1 => attendance = attend(&engine, &mut dice),
            2 => engine.take_back_item(assignment.token),
            3 => {
                // Somebody is quicker, or not.
                let (other, token) = (engine.clone(), assignment.token);
                let abandons = tokio::spawn(async move { other.abandon(token) });
                turn_or_activity(&engine, &assignment, named).await;
                abandons.await.expect("no panic");
            }
            _ => turn_or_activity(&engine, &assignment, named).await,
        }
        if dice.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn turn_or_activity(engine: &Engine, assignment: &Assignment, named: bool) {
    match assignment.item.work {
        Work::Turn => turn(engine, assignment, named).await,
        Work::Activity(_) => activity(engine, assignment, named).await,
    }
}

async fn disturb(engine: Engine, mut dice: Seed) {
    for _ in 0..DISTURBANCES {
        let key = key(&format!("i{}", dice.below(INSTANCES)));
        match dice.below(8) {
            0 | 1 => drop(engine.suspend(&key, Suspend { reason: "".into(), expected_execution: None }).await),
            2..=4 => drop(engine.resume(&key, Resume { reason: "".into(), expected_execution: None }).await),
            5 => {
                let signal = Signal { name: name("e"), input: None };
                drop(engine.raise_event(&key, RaiseEvent { signal, expected_execution: None }).await);
            }
            6 => {
                let (reason, target) = ("".into(), Target::Latest);
                drop(engine.terminate(&key, Terminate { reason, output: None, target, recurse: false }).await);
            }
            _ => {
                let execution = engine.draw_execution_id();
                drop(engine.restart(&key, Restart { execution, expected_execution: None, request: None }).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_workers_do_at_once_nothing_waits_for_ever() {
    let mut dice = Seed::print("whatever_workers_do_at_once_nothing_waits_for_ever");
    let config = Config {
        lease_ttl: LEASE,
        turn_ttl: Span::from_secs(300),
        request_memory: Span::from_secs(1),
        retention: None,
        watchers_max: 1_000,
        workers_max: 100,
    };
    let store = Arc::new(Memory::new());
    let engine = Engine::recover(config, store, Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    let engine = engine.expect("an empty store");
    let threads = engine.run().expect("threads can be had");
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        workers.spawn(work(engine.clone(), dice.fork(), n % 2 == 0));
    }
    let keys: Vec<_> = (0..INSTANCES).map(|n| key(&format!("i{n}"))).collect();
    for key in &keys {
        let start = durable_start(&engine);
        engine.start(key, start).await.expect("it is free");
    }
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        clients.spawn(disturb(engine.clone(), dice.fork()));
    }
    while let Some(done) = clients.join_next().await {
        done.expect("no panic");
    }
    for key in &keys {
        drop(engine.resume(key, Resume { reason: "".into(), expected_execution: None }).await);
    }
    for key in &keys {
        let ended = tokio::time::timeout(PATIENCE, engine.until(key, Milestone::Ended)).await;
        let view = match ended {
            Ok(view) => view.expect("an answer").expect("it is there"),
            Err(_) => {
                let seen = engine.status(key, None, false).await;
                panic!("{key:?} waits for ever: {seen:?}");
            }
        };
        assert!(matches!(view.execution.status, Status::Completed | Status::Terminated), "{view:?}");
    }
    workers.shutdown().await;
    threads.end().await.expect("a clean end");
}
