//! Where everybody plays: tasks on one thread, virtual time, and nothing that moves by itself.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use soloist::{
    clock::Clock,
    core::time::{Now, Steady, Timestamp},
};

pub const MILLI: i64 = 1_000;
pub const SECOND: i64 = 1_000_000;

/// The tasks and the time. Cheap to clone.
#[derive(Clone)]
pub struct Stage(Rc<Inside>);

struct Inside {
    begun: i64,
    is_told: bool,
    time: Arc<AtomicI64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next: Cell<u64>,
    sleepers: RefCell<BinaryHeap<Reverse<(i64, u64)>>>,
    alarms: RefCell<BTreeMap<u64, Waker>>,
}

type Play = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    /// Away while it is polled.
    future: Option<Play>,
    bell: Arc<Bell>,
}

/// Only who was woken is polled: a wake-up that is forgotten shows.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stage {
    pub fn new(begin: i64) -> Stage {
        Stage(Rc::new(Inside {
            begun: begin,
            is_told: std::env::var_os("SOLOIST_SIM_TOLD").is_some(),
            time: Arc::new(AtomicI64::new(begin)),
            tasks: RefCell::default(),
            next: Cell::new(0),
            sleepers: RefCell::default(),
            alarms: RefCell::default(),
        }))
    }

    pub fn now(&self) -> i64 {
        self.0.time.load(Ordering::Relaxed)
    }

    pub fn advance_to(&self, time: i64) {
        self.0.time.fetch_max(time, Ordering::Relaxed);
        let mut sleepers = self.0.sleepers.borrow_mut();
        while let Some(Reverse((due, number))) = sleepers.peek().copied()
            && due <= self.now()
        {
            sleepers.pop();
            if let Some(waker) = self.0.alarms.borrow_mut().remove(&number) {
                waker.wake();
            }
        }
    }

    /// When somebody wakes up next.
    pub fn next_alarm(&self) -> Option<i64> {
        self.0.sleepers.borrow().peek().map(|Reverse((due, _))| *due)
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = Task { future: Some(Box::pin(future)), bell: Arc::new(Bell(AtomicBool::new(true))) };
        self.0.tasks.borrow_mut().insert(self.number(), task);
    }

    /// Who can go on.
    pub fn ready(&self) -> Vec<u64> {
        let tasks = self.0.tasks.borrow();
        tasks.iter().filter(|(_, task)| task.bell.0.load(Ordering::Relaxed)).map(|(number, _)| *number).collect()
    }

    pub fn poll(&self, number: u64) {
        let Some((mut future, bell)) = self.take(number) else { return };
        bell.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(bell);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.0.tasks.borrow_mut();
        match polled {
            Poll::Ready(()) => drop(tasks.remove(&number)),
            Poll::Pending => {
                if let Some(task) = tasks.get_mut(&number) {
                    task.future = Some(future);
                }
            }
        }
    }

    /// Everybody looks around: the server fell, or a line was cut.
    pub fn wake_all(&self) {
        self.0.tasks.borrow().values().for_each(|task| task.bell.0.store(true, Ordering::Relaxed));
    }

    pub async fn sleep(&self, micros: i64) {
        self.sleep_until(self.now() + micros.max(0)).await;
    }

    pub async fn sleep_until(&self, due: i64) {
        let set = Cell::new(None);
        std::future::poll_fn(|cx| {
            if self.now() >= due {
                return Poll::Ready(());
            }
            set.set(Some(self.alarm(set.get(), due, cx.waker().clone())));
            Poll::Pending
        })
        .await;
    }

    /// Wakes at that time; the number names the alarm, to set it again.
    pub fn alarm(&self, number: Option<u64>, due: i64, waker: Waker) -> u64 {
        let known = number.filter(|number| self.0.alarms.borrow().contains_key(number));
        let number = known.unwrap_or_else(|| {
            let number = self.number();
            self.0.sleepers.borrow_mut().push(Reverse((due, number)));
            number
        });
        self.0.alarms.borrow_mut().insert(number, waker);
        number
    }

    /// Tells what happens, where somebody wants to hear it.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.0.is_told {
            let since = self.now() - self.0.begun;
            println!("{:>4}.{:06} {}", since / SECOND, since % SECOND, what());
        }
    }

    pub fn clock(&self, skew: i64) -> VirtualClock {
        VirtualClock { time: self.0.time.clone(), skew, jump: AtomicI64::new(0) }
    }

    fn number(&self) -> u64 {
        self.0.next.set(self.0.next.get() + 1);
        self.0.next.get()
    }

    fn take(&self, number: u64) -> Option<(Play, Arc<Bell>)> {
        let mut tasks = self.0.tasks.borrow_mut();
        let task = tasks.get_mut(&number)?;
        Some((task.future.take()?, task.bell.clone()))
    }

    /// The play is over: tasks hold the stage, and the stage its tasks.
    pub fn clear(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
        self.0.alarms.borrow_mut().clear();
    }
}

/// The server's clocks: the wall may stand elsewhere after each restart, and jump.
pub struct VirtualClock {
    time: Arc<AtomicI64>,
    skew: i64,
    jump: AtomicI64,
}

impl VirtualClock {
    /// When it is that time here, in the stage's time.
    pub fn on_stage(&self, steady: Steady) -> i64 {
        steady.as_micros() - self.skew
    }

    /// The wall clock is set forwards.
    pub fn jump(&self, micros: i64) {
        self.jump.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let steady = self.time.load(Ordering::Relaxed) + self.skew;
        let wall = steady + self.jump.load(Ordering::Relaxed);
        Now { wall: Timestamp::from_micros(wall), steady: Steady::from_micros(steady) }
    }
}

/// One direction of a line: what is said arrives late, in order.
pub struct Line<T> {
    stage: Stage,
    under_way: RefCell<VecDeque<(i64, T)>>,
    reader: RefCell<Option<Waker>>,
}

impl<T> Line<T> {
    pub fn new(stage: &Stage) -> Line<T> {
        Line { stage: stage.clone(), under_way: RefCell::default(), reader: RefCell::default() }
    }

    pub fn say(&self, what: T, delay: i64) {
        let mut under_way = self.under_way.borrow_mut();
        let last = under_way.back().map_or(0, |(at, _)| *at);
        under_way.push_back((last.max(self.stage.now() + delay), what));
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// The next thing that arrives, if it does before `until`.
    pub async fn hear(&self, until: i64) -> Option<T> {
        std::future::poll_fn(|cx| {
            let mut under_way = self.under_way.borrow_mut();
            let due = under_way.front().map(|(at, _)| *at);
            if due.is_some_and(|at| at <= self.stage.now()) {
                return Poll::Ready(under_way.pop_front().map(|(_, what)| what));
            }
            if self.stage.now() >= until {
                return Poll::Ready(None);
            }
            let wake_at = due.map_or(until, |at| at.min(until));
            if wake_at < i64::MAX {
                self.stage.alarm(None, wake_at, cx.waker().clone());
            }
            *self.reader.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
