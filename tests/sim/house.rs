//! The server as the simulator moves it: its commits, their effects, its timers, its crashes and its restarts.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use soloist::{
    core::time::Span,
    engine::{
        Config, Engine, Stepper,
        committer::{Commit, Committed},
    },
    store::{Store, memory::Fault},
};

use crate::{
    dice::Dice,
    disk::Disk,
    stage::{MILLI, SECOND, Stage, VirtualClock},
};

/// The server's lease; workers are told two thirds of it.
pub const LEASE: i64 = 15 * SECOND;
pub const LEASE_TOLD: i64 = 10 * SECOND;
/// Commits whose effects are not carried out yet: then the committer waits.
const COMMITS_AHEAD: usize = 4;

/// The place of the server, with or without one that runs.
pub struct House {
    stage: Stage,
    dice: Arc<Dice>,
    entropy: Arc<Dice>,
    /// How long requests are remembered.
    pub memory: Span,
    /// After what time instances that have ended are purged.
    pub retention: Option<Span>,
    /// How often the disk takes long, in a hundred flushes, and how long.
    slow: (u64, i64),
    boot: Cell<u64>,
    inside: RefCell<Inside>,
}

struct Inside {
    disk: Arc<Disk>,
    server: Option<Server>,
}

struct Server {
    engine: Engine,
    stepper: Stepper,
    clock: Arc<VirtualClock>,
    under_way: Option<(Commit, i64)>,
    committed: VecDeque<Committed>,
    /// Nothing was waiting for the committer when it last looked.
    idle: bool,
    /// When a server whose store has failed ends.
    ends_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub enum Move {
    Take,
    Flush,
    CarryOut,
    Fire,
    End,
}

#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// kill -9.
    Killed,
    /// The disk fails at a commit to come.
    Planned(Fault),
    /// In good order.
    Restarted,
}

/// What became of a call.
pub enum Reply<T> {
    Answered(T),
    /// It may have been heard or not.
    Lost,
    /// Nobody was there.
    Refused,
}

impl House {
    pub fn new(stage: &Stage, dice: &Arc<Dice>) -> House {
        let entropy = Arc::new(Dice::new(dice.roll()));
        let disk = Arc::new(Disk::new(Arc::new(stage.clock(0))));
        let slow = *dice.pick(&[(0, 0), (5, 500 * MILLI), (2, 5 * SECOND), (1, 25 * SECOND), (100, SECOND)]);
        let memory = Span::from_secs(*dice.pick(&[24 * 3600, 24 * 3600, 40]));
        // Leases outlast the shorter one.
        let retention = *dice.pick(&[None, None, Some(Span::from_secs(20)), Some(Span::from_secs(5))]);
        let inside = RefCell::new(Inside { disk, server: None });
        House { stage: stage.clone(), dice: dice.clone(), entropy, memory, retention, slow, boot: Cell::new(0), inside }
    }

    pub fn disk(&self) -> Arc<Disk> {
        self.inside.borrow().disk.clone()
    }

    /// Which server it is.
    pub fn boot(&self) -> u64 {
        self.boot.get()
    }

    pub fn is_up(&self) -> bool {
        self.inside.borrow().server.is_some()
    }

    pub fn engine(&self) -> Option<Engine> {
        self.inside.borrow().server.as_ref().map(|server| server.engine.clone())
    }

    pub fn start(&self) -> Result<(), String> {
        let clock = Arc::new(self.stage.clock(self.dice.between(-SECOND, SECOND)));
        let disk = Arc::new(self.disk().reopen(clock.clone()));
        let config = Config {
            lease_ttl: Span::from_micros(LEASE),
            turn_ttl: Span::from_secs(300),
            request_memory: self.memory,
            retention: self.retention,
            watchers_max: 1000,
            workers_max: 1000,
        };
        let engine = Engine::recover(config, disk.clone(), clock.clone(), self.entropy.clone())
            .map_err(|error| format!("the server can't take the store over: {error}"))?;
        let server = Server {
            stepper: engine.stepper(),
            engine,
            clock,
            under_way: None,
            committed: VecDeque::new(),
            idle: false,
            ends_at: None,
        };
        self.stage.tell(|| "a server is up".into());
        *self.inside.borrow_mut() = Inside { disk, server: Some(server) };
        Ok(())
    }

    pub fn crash(&self, crash: Crash) {
        self.stage.tell(|| format!("{crash:?}"));
        match crash {
            Crash::Planned(fault) => self.disk().plan(fault),
            Crash::Killed => self.down(),
            Crash::Restarted => {
                while self.is_up() && !self.is_quiet() {
                    for what in [Move::Take, Move::Flush, Move::CarryOut] {
                        self.make(what);
                    }
                }
                let _ = self.disk().close();
                self.down();
            }
        }
    }

    /// The server is gone, and everything in its memory.
    fn down(&self) {
        self.stage.tell(|| "the server goes down".into());
        let server = self.inside.borrow_mut().server.take();
        drop(server);
        self.boot.set(self.boot.get() + 1);
        self.stage.wake_all();
    }

    pub fn jump_clock(&self, micros: i64) {
        if let Some(server) = &self.inside.borrow().server {
            server.clock.jump(micros);
        }
    }

    /// Whether a flush may take so long that nobody can say what is late.
    pub fn is_slow(&self) -> bool {
        self.slow.1 > SECOND
    }

    /// How long at most something that was decided is not durable, where it becomes durable.
    pub fn commit_max(&self) -> i64 {
        3 * (SECOND + self.slow.1)
    }

    /// Nothing is on its way to the disk or back.
    pub fn is_quiet(&self) -> bool {
        let inside = self.inside.borrow();
        inside.server.as_ref().is_none_or(|s| s.idle && s.under_way.is_none() && s.committed.is_empty())
    }

    /// What can be done now.
    pub fn moves(&self) -> Vec<Move> {
        let inside = self.inside.borrow();
        let Some(server) = &inside.server else { return Vec::new() };
        let now = self.stage.now();
        let fire_at = server.fire_at();
        let possible = [
            (Move::Take, !server.idle && server.under_way.is_none() && server.committed.len() < COMMITS_AHEAD),
            (Move::Flush, server.under_way.as_ref().is_some_and(|(_, at)| *at <= now)),
            (Move::CarryOut, !server.committed.is_empty()),
            (Move::Fire, fire_at.is_some_and(|at| at <= now)),
            (Move::End, server.ends_at.is_some_and(|at| at <= now)),
        ];
        possible.into_iter().filter(|(_, possible)| *possible).map(|(what, _)| what).collect()
    }

    /// When there is something to do next.
    pub fn next_moment(&self) -> Option<i64> {
        let inside = self.inside.borrow();
        let server = inside.server.as_ref()?;
        let flush_at = server.under_way.as_ref().map(|(_, at)| *at);
        [flush_at, server.fire_at(), server.ends_at].into_iter().flatten().min()
    }

    /// Whatever was done meanwhile may have queued something.
    pub fn look_again(&self) {
        if let Some(server) = &mut self.inside.borrow_mut().server {
            server.idle = false;
        }
    }

    pub fn make(&self, what: Move) {
        let mut inside = self.inside.borrow_mut();
        let Some(server) = &mut inside.server else { return };
        match what {
            Move::Take if server.under_way.is_some() => {}
            Move::Take => {
                server.under_way = server.stepper.take_commit().map(|commit| (commit, self.stage.now() + self.flush()));
                server.idle = server.under_way.is_none();
            }
            Move::Flush => {
                let Some((commit, _)) = server.under_way.take() else { return };
                match server.stepper.flush(commit) {
                    Some(committed) => server.committed.push_back(committed),
                    None => {
                        let last_answers = self.dice.between(0, 2 * SECOND);
                        server.ends_at.get_or_insert(self.stage.now() + last_answers);
                    }
                }
                server.idle = false;
            }
            Move::CarryOut => {
                let Some(next) = server.committed.front_mut() else { return };
                if !server.stepper.carry_out_next(next) {
                    server.committed.pop_front();
                }
                server.idle = false;
            }
            Move::Fire => {
                server.stepper.fire_next();
                server.idle = false;
            }
            Move::End => {
                drop(inside);
                self.down();
            }
        }
    }

    /// How long a flush takes.
    fn flush(&self) -> i64 {
        if self.dice.percent(self.slow.0) {
            return self.dice.between(0, self.slow.1);
        }
        self.dice.between(100, 3 * MILLI)
    }

    /// Awaits something of this server, unless it goes down or nobody wants it any more.
    pub async fn while_up<T>(&self, boot: u64, until: i64, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut patience = pin!(self.stage.sleep_until(until));
        std::future::poll_fn(|cx| {
            if self.boot() != boot {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if until < i64::MAX && patience.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// A call over the network, there and back.
    pub async fn call<T, F: Future<Output = T>>(&self, until: i64, call: impl FnOnce(Engine) -> F) -> Reply<T> {
        self.stage.sleep(self.delay()).await;
        let boot = self.boot();
        let Some(engine) = self.engine() else { return Reply::Refused };
        let Some(answer) = self.while_up(boot, until, call(engine)).await else { return Reply::Lost };
        self.stage.sleep(self.delay()).await;
        if self.boot() != boot { Reply::Lost } else { Reply::Answered(answer) }
    }

    /// How long a message takes.
    pub fn delay(&self) -> i64 {
        match self.dice.below(50) {
            0 => self.dice.between(0, 2 * SECOND),
            1..5 => self.dice.between(0, 100 * MILLI),
            _ => self.dice.between(0, MILLI),
        }
    }
}

impl Server {
    fn fire_at(&self) -> Option<i64> {
        self.stepper.next_due().map(|due| self.clock.on_stage(due))
    }
}
