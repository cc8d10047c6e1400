//! What the board remembers: nothing of work items that nobody wants any more, and of the others no more than there are.

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
        command::{Action, CompleteTurn, Start, Target, Terminate},
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
        self.attend_with(1)
    }

    /// One that takes so many turns and activities at a time.
    fn attend_with(&self, max: usize) -> Attendance {
        let hub = TaskHub::default();
        let wishes = Wishes { hub, turns_max: max, activities_max: max, filters: None, nameless: false };
        self.engine.attend(wishes).expect("a place")
    }
}

fn key() -> InstanceKey {
    key_of("i")
}

fn key_of(id: &str) -> InstanceKey {
    InstanceKey::new(&TaskHub::default(), &InstanceId::parse(id).expect("an id"))
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

/// The turns that its worker had not even read when their time was over were kept for it for ever.
#[test]
fn nothing_piles_up_however_long_workers_do_nothing() {
    const TURNS: usize = 5;
    const ACTIVITIES: usize = 6;
    const ROUNDS: usize = 2_000;
    for manner in ["never reads", "never answers", "abandons it all", "abandons some", "comes and goes"] {
        let stage = Stage::new();
        let mut attendance = stage.attend_with(3);
        let come = |attendance: &Attendance| attendance.stream.next(usize::MAX).now_or_never().unwrap_or_default();
        // One of them has gone as far as its activities.
        stage.finish(stage.engine.start(&key(), start(&stage.engine)));
        let turn = come(&attendance).remove(0);
        let actions = (0..ACTIVITIES).map(|n| Action::ScheduleActivity {
            id: n as i32,
            name: crate::core::ids::Name::parse("act").expect("a name"),
            version: String::new(),
            note: n as u64,
        });
        let turn = CompleteTurn {
            token: turn.token,
            notes: vec![Vec::new().into(); ACTIVITIES],
            through: turn.claim.expect("it is a turn").inbox_last,
            began_at: stage.engine.now(),
            custom_status: None,
            trace: None,
            actions: actions.collect(),
            ending: None,
        };
        stage.finish(stage.engine.complete_turn(key(), turn));
        for n in 0..TURNS {
            stage.finish(stage.engine.start(&key_of(&format!("i{n}")), start(&stage.engine)));
        }
        let mut lapses = 0;
        for round in 0..ROUNDS {
            if manner != "never reads" {
                let items = come(&attendance);
                lapses += items.len();
                match manner {
                    "abandons it all" => items.iter().for_each(|item| stage.engine.abandon(item.token)),
                    "abandons some" => {
                        items.iter().skip(round % 2).step_by(2).for_each(|item| stage.engine.abandon(item.token));
                    }
                    "comes and goes" => {
                        drop(attendance);
                        attendance = stage.attend_with(3);
                    }
                    _ => {}
                }
            }
            stage.pass(TURN_LEASE);
            let (most, kind) = stage.engine.shared.work_items.most();
            assert!(most <= TURNS + ACTIVITIES, "{manner}, {round} times: {most} {kind}");
        }
        assert!(manner == "never reads" || lapses > ROUNDS, "{manner}: {lapses} came");
    }
}
