//! Bugs of races, told by hand, step by step.

mod panorama;

use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use soloist::{
    core::{
        command::{RaiseEvent, Report, ReportBody, Signal, Start},
        ids::{InstanceId, InstanceKey, TaskHub},
        lease::Proof,
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        status::Spec,
        time::Span,
    },
    engine::{
        Config, Connection, Engine, Stepper,
        watch::{ItemKind, Wish},
        workers::Mail,
    },
    store::{Store, memory::Memory},
};

use crate::{
    dice::Dice,
    stage::{SECOND, Stage},
    world::name,
};

struct Scene {
    engine: Engine,
    stepper: Stepper,
    key: InstanceKey,
}

fn key(id: &str) -> InstanceKey {
    InstanceKey::new(&TaskHub::default(), &InstanceId::parse(id).expect("a valid id"))
}

/// What it comes to with one poll.
fn poll<F: Future + ?Sized>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

impl Scene {
    fn new() -> Scene {
        Scene::over(Arc::new(Memory::new()))
    }

    fn over(store: Arc<dyn Store>) -> Scene {
        let config = Config {
            lease_ttl: Span::from_secs(15),
            turn_ttl: Span::from_secs(300),
            request_memory: Span::from_secs(60),
            retention: None,
            watchers_max: 10,
            workers_max: 10,
        };
        let clock = Arc::new(Stage::new(1_700_000_000 * SECOND).clock(0));
        let engine = Engine::recover(config, store, clock, Arc::new(Dice::new(1))).expect("an empty store");
        Scene { stepper: engine.stepper(), engine, key: key("nightly") }
    }

    /// Everything that waits becomes durable and is carried out.
    fn settle(&self) {
        while let Some(commit) = self.stepper.take_commit() {
            self.stepper.carry_out(self.stepper.flush(commit).expect("a disk that works"));
        }
    }

    /// Polls it to its end, with everything becoming durable in between.
    fn finish<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        for _ in 0..20 {
            if let Some(done) = poll(&mut future) {
                return done;
            }
            self.settle();
        }
        panic!("it does not end");
    }

    /// Starts, in the place of what is there.
    fn replace(&self) {
        let replace = Start { conflict_policy: ConflictPolicy::Replace, ..self.start() };
        self.finish(self.engine.start(&self.key, replace)).expect("a start that replaces");
    }

    fn start(&self) -> Start {
        let spec = Spec {
            function: name("report"),
            version: None,
            tags: BTreeMap::new(),
            worker_kind: WorkerKind::Any,
            retry: RetryPolicy::ONCE,
            start_deadline: None,
            run_timeout: None,
            start_at: None,
            parent: None,
            trace: None,
        };
        Start {
            execution: self.engine.draw_execution_id(),
            spec: Arc::new(spec),
            input: None,
            conflict_policy: ConflictPolicy::Fail,
            replaceable: Replaceable::ALL,
            max_queue: 2,
            signal: None,
            request: None,
        }
    }

    fn raise(&self) -> RaiseEvent {
        RaiseEvent { signal: Signal { name: name("go"), input: None }, expected_execution: None }
    }

    fn worker(&self) -> Connection {
        let (hub, held) = (TaskHub::default(), BTreeMap::new());
        let connected = self.engine.connect(hub, name("w"), vec![name("report")], 1, held);
        self.finish(connected).expect("a place for a worker").connection
    }

    fn accept(&self, worker: &Connection) -> Proof {
        self.settle();
        let Mail::Run(key, run) = self.finish(worker.session.next_mail()) else { panic!("a run was due") };
        let report = Report { proof: run.proof, body: ReportBody::Accept };
        self.finish(self.engine.report(key, report)).expect("the lease stands");
        run.proof
    }
}

/// A worker's stream had begun to read the events of a run when the run was replaced. Before the rows were read, the
/// old execution's events were deleted and one was raised for the new execution: the old run was given that one.
#[test]
fn an_event_for_the_successor_is_not_given_to_the_replaced_run() {
    let scene = Scene::new();
    scene.replace();
    let worker = scene.worker();
    let proof = scene.accept(&worker);
    scene.finish(scene.engine.raise_event(&scene.key, scene.raise())).expect("a live instance");

    let mut reading = pin!(scene.engine.events_for(&worker.session, proof.claim));
    assert!(poll(&mut reading).is_none(), "it pauses before it reads");
    scene.replace();
    scene.finish(scene.engine.raise_event(&scene.key, scene.raise())).expect("a live instance");

    let events = scene.finish(reading).expect("a store that can be read");
    assert_eq!(events, [], "the second event is the successor's");
}

/// A watcher had fallen too far behind. While it was to be told the current state, which waited for the disk, its
/// stream's heartbeat was due and the wait was cancelled. What had shown the gap was used up by then; where nothing
/// else happened to the instance, the watcher never heard of it.
#[test]
fn a_gap_is_not_forgotten_when_the_wait_is_cancelled() {
    let scene = Scene::new();
    let mut watch = scene
        .finish(scene.engine.watch(scene.key.clone(), Wish { wait_for_start: true, ..Wish::default() }))
        .expect("a place for a watcher");
    (0..40).for_each(|_| scene.replace());

    let mut raising = pin!(scene.engine.raise_event(&scene.key, scene.raise()));
    assert!(poll(&mut raising).is_none(), "it waits for the disk");
    for _ in 0..100 {
        assert!(poll(&mut pin!(watch.next())).is_none(), "the current state is not durable");
    }
    scene.finish(raising).expect("a live instance");

    let item = scene.finish(watch.next()).expect("a watch that goes on").expect("an item");
    assert_eq!((item.kind, item.transition.sequence), (ItemKind::Resync, 79));
}
