//! An engine in motion over a store in memory, and its crash.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;
use soloist::{
    core::{
        command::Start,
        ids::{InstanceId, InstanceKey, Name, Revision, TaskHub},
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        request::{Digest, Request},
        status::{Spec, Transition},
        time::Span,
    },
    engine::{
        Config, Connection, EndError, Engine, Refusal, Threads,
        watch::{ItemKind, Wish},
    },
    entropy::SystemEntropy,
    store::memory::Memory,
};

use crate::clock::HandClock;

/// How long a lease lasts.
pub const LEASE: Span = Span::from_secs(15);

/// How long a worker may have a turn.
pub const TURN_LEASE: Span = Span::from_secs(100);

/// What a test stops short of a deadline by, to see that it does not come early.
pub const MOMENT: Span = Span::from_secs(1);

/// The function that everything here runs.
pub const FUNCTION: &str = "work";

#[derive(Clone)]
pub struct Stage {
    pub engine: Engine,
    pub clock: Arc<HandClock>,
    pub memory: Arc<Memory>,
    threads: Arc<Mutex<Option<Threads>>>,
}

impl Stage {
    /// A fresh store, an engine over it.
    pub fn new() -> Stage {
        Stage::over(Memory::new(), Arc::new(HandClock::new()), LEASE, None)
    }

    /// The same, where what has ended is kept for so long.
    pub fn keeping(retention: Span) -> Stage {
        Stage::over(Memory::new(), Arc::new(HandClock::new()), LEASE, Some(retention))
    }

    fn over(memory: Memory, clock: Arc<HandClock>, lease_ttl: Span, retention: Option<Span>) -> Stage {
        let memory = Arc::new(memory);
        let config = Config {
            lease_ttl,
            turn_ttl: TURN_LEASE,
            request_memory: Span::from_secs(86_400),
            retention,
            watchers_max: 2_000,
            workers_max: 100,
        };
        let engine = Engine::recover(config, memory.clone(), clock.clone(), Arc::new(SystemEntropy));
        let engine = engine.expect("the store can be taken over");
        let threads = engine.run().expect("threads can be had");
        Stage { engine, clock, memory, threads: Arc::new(Mutex::new(Some(threads))) }
    }

    /// The process dies: what was not committed is gone. A new one takes the store over.
    pub async fn crash(self) -> Stage {
        self.crash_into(LEASE).await
    }

    /// The same, and the new one grants leases of another length.
    pub async fn crash_into(self, lease_ttl: Span) -> Stage {
        self.reopen(lease_ttl, None).await
    }

    /// The same, and the new one keeps what has ended for so long.
    pub async fn crash_keeping(self, retention: Span) -> Stage {
        self.reopen(LEASE, Some(retention)).await
    }

    async fn reopen(self, lease_ttl: Span, retention: Option<Span>) -> Stage {
        let memory = self.memory.reopen();
        // The old store is dead already: all that this ends is threads.
        let threads = self.threads.lock().take();
        let _ = threads.expect("it dies once").end().await;
        Stage::over(memory, self.clock, lease_ttl, retention)
    }

    /// Takes its leave, without a crash.
    pub async fn end(self) {
        self.end_of_threads().await.expect("a clean end");
    }

    /// How the engine's threads end.
    pub async fn end_of_threads(&self) -> Result<(), EndError> {
        let threads = self.threads.lock().take();
        threads.expect("it ends once").end().await
    }

    /// A worker of [`FUNCTION`] with room for all.
    pub async fn worker(&self, name: &str) -> Connection {
        let functions = vec![self::name(FUNCTION)];
        let connected =
            self.engine.connect(TaskHub::default(), self::name(name), functions, 100, BTreeMap::new()).await;
        connected.expect("a worker may connect").connection
    }

    /// A start of [`FUNCTION`] under the defaults, with attempts enough.
    pub fn start(&self) -> Start {
        Start {
            execution: self.engine.draw_execution_id(),
            spec: Arc::new(spec()),
            input: Some("\"in\"".into()),
            conflict_policy: ConflictPolicy::Fail,
            replaceable: Replaceable::ALL,
            max_queue: 2,
            signal: None,
            request: None,
        }
    }

    /// Whether the store has failed.
    pub fn has_fallen(&self) -> bool {
        self.engine.fallen().now_or_never().is_some()
    }

    /// Every kept transition, of an instance that has had no more than are kept.
    pub async fn transitions(&self, key: &InstanceKey) -> Vec<Transition> {
        let mut current = match self.engine.watch(key.clone(), Wish::default()).await {
            Ok(watch) => watch,
            Err(Refusal::Rejected(_)) => return Vec::new(),
            Err(other) => panic!("no watch: {other}"),
        };
        let latest = current.next().await.expect("a watch").expect("the current state").transition.sequence;
        let wish = Wish { from: Some(Revision(0)), ..Wish::default() };
        let mut watch = self.engine.watch(key.clone(), wish).await.expect("a watch");
        let mut found = Vec::new();
        while found.len() < latest as usize {
            let item = watch.next().await.expect("a watch").expect("a transition");
            assert_eq!(item.kind, ItemKind::Transition, "all are kept");
            found.push(Transition::clone(&item.transition));
        }
        found
    }
}

/// Returns when nobody in the engine has anything left to do, and its timers have looked at the clock; but for the
/// committer, which has a thread of its own.
pub async fn settle() {
    /// Longer than the timers ever sleep.
    const A_WHILE: Duration = Duration::from_secs(61);
    tokio::time::sleep(A_WHILE).await;
}

/// A little less than `span`: by a [`MOMENT`].
pub fn just_before(span: Span) -> Span {
    Span::from_micros(span.as_micros() - MOMENT.as_micros())
}

pub fn spec() -> Spec {
    let at_once =
        RetryPolicy { max_attempts: 100, initial_backoff: Span::ZERO, max_backoff: Span::ZERO, multiplier: 1.0 };
    Spec {
        function: name(FUNCTION),
        version: None,
        tags: Default::default(),
        worker_kind: WorkerKind::Any,
        retry: at_once,
        start_deadline: None,
        run_timeout: None,
        start_at: None,
        parent: None,
        trace: None,
    }
}

pub fn request(id: &str) -> Request {
    Request { id: id.into(), digest: Digest::default().part(id.as_bytes()).finish(), remember: Span::from_secs(86_400) }
}

pub fn key(id: &str) -> InstanceKey {
    InstanceKey::new(&TaskHub::default(), &InstanceId::parse(id).expect("an id"))
}

pub fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}
