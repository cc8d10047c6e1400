//! What the board remembers of work items that nobody wants any more: nothing.

use std::{
    pin::pin,
    sync::atomic::AtomicI64,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;

use super::*;
use crate::{
    clock::Clock,
    core::{
        command::{Start, Target, Terminate},
        ids::InstanceId,
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        status::Spec,
        time::{Steady, Timestamp},
    },
    engine::{Config, Stepper},
    entropy::SystemEntropy,
    store::memory::Memory,
};

const TURN_LEASE: Span = Span::from_secs(100);

#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Now {
        let micros = self.0.load(Ordering::Relaxed);
        Now { wall: Timestamp::from_micros(micros), steady: Steady::from_micros(micros) }
    }
}

struct Stage {
    engine: Engine,
    stepper: Stepper,
    clock: Arc<HandClock>,
}

impl Stage {
    fn new() -> Stage {
        let config = Config {
            lease_ttl: Span::from_secs(15),
            turn_ttl: TURN_LEASE,
            request_memory: Span::from_secs(60),
            retention: None,
            watchers_max: 1,
            workers_max: 9,
        };
        let clock = Arc::new(HandClock::default());
        let engine = Engine::recover(config, Arc::new(Memory::new()), clock.clone(), Arc::new(SystemEntropy));
        let engine = engine.expect("an empty store");
        Stage { stepper: engine.stepper(), engine, clock }
    }

    fn settle(&self) {
        loop {
            match self.stepper.take_commit() {
                Some(commit) => self.stepper.carry_out(self.stepper.flush(commit).expect("a disk that works")),
                None if self.stepper.fire_next() => {}
                None => return,
            }
        }
    }

    fn pass(&self, span: Span) {
        self.clock.0.fetch_add(span.as_micros(), Ordering::Relaxed);
        self.settle();
    }

    fn finish<T>(&self, future: impl Future<Output = Result<T, Refusal>>) {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                assert!(done.is_ok());
                return self.settle();
            }
            self.settle();
        }
    }

    fn attend(&self) -> Attendance {
        let hub = TaskHub::default();
        self.engine
            .attend(Wishes { hub, turns_max: 1, activities_max: 1, filters: None, nameless: false })
            .expect("a place")
    }
}

fn key() -> InstanceKey {
    InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("an id"))
}

fn start(engine: &Engine) -> Start {
    let spec = Spec {
        function: crate::core::ids::Name::parse("f").expect("a name"),
        version: None,
        tags: Default::default(),
        worker_kind: WorkerKind::DurableTask,
        retry: RetryPolicy::ONCE,
        start_deadline: None,
        run_timeout: None,
        start_at: None,
        parent: None,
        trace: None,
    };
    Start {
        execution: engine.draw_execution_id(),
        spec: Arc::new(spec),
        input: None,
        conflict_policy: ConflictPolicy::Fail,
        replaceable: Replaceable::ALL,
        max_queue: 1,
        signal: None,
        request: None,
    }
}

/// That it had been abandoned was remembered for ever where the instance had ended before the worker let go of it.
#[test]
fn nothing_is_remembered_of_a_turn_that_nobody_wants() {
    for end in ["it is abandoned", "the stream ends", "nobody answers", "it is never told"] {
        let stage = Stage::new();
        let attendance = stage.attend();
        stage.finish(stage.engine.start(&key(), start(&stage.engine)));
        let take = || attendance.stream.next(1).now_or_never().expect("a turn has come").remove(0);
        stage.engine.abandon(take().token);
        stage.pass(Span::from_secs(1));
        let turn = take();
        let terminate = Terminate { reason: "".into(), output: None, target: Target::Latest, recurse: false };
        stage.finish(stage.engine.terminate(&key(), terminate));
        match end {
            "it is abandoned" => stage.engine.abandon(turn.token),
            "the stream ends" => drop(attendance),
            "nobody answers" => stage.pass(TURN_LEASE),
            _ => stage.engine.take_back_item(turn.token),
        }
        stage.pass(Span::from_secs(1));
        assert!(stage.engine.shared.work_items.is_bare(), "{end}");
    }
}
