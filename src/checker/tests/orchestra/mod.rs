//! Histories by the thousand: a server that keeps its promises, played one step after the other, and callers whose calls
//! overlap at random around those steps.

mod control;
mod starts;
mod work;

use std::collections::HashMap;

use crate::checker::history::*;

/// The length of a lease.
const LEASE: Tick = 200;
/// Time between two steps.
const STEP: Tick = 10;

/// What a history is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Whether nothing but starts without a queue, statuses, ends, events and reports is played.
    pub is_plain: bool,
    pub steps: usize,
    /// How many steps a call may begin before the step that carries it out, and end after it.
    pub overlap: u64,
    /// Of a hundred calls, how many get no answer.
    pub unanswered: u64,
    /// Whether answers say what was seen, and who watches.
    pub told: bool,
    pub watchers: usize,
}

/// A small generator of numbers (SplitMix64).
pub struct Dice(pub u64);

/// The history of one instance id.
pub fn play(history: &mut History, id: &InstanceId, shape: Shape, dice: &mut Dice) {
    let mut stage = Stage::new(shape);
    for _ in 0..shape.steps {
        stage.now += STEP;
        stage.step(history, id, dice);
    }
    let quiet = stage.now + shape.overlap * STEP + 1;
    for watcher in 0..shape.watchers {
        stage.watch(history, id, watcher, quiet, dice);
    }
}

struct Stage {
    shape: Shape,
    now: Tick,
    revision: u64,
    executions: u64,
    events: u64,
    token: u64,
    current: Option<Execution>,
    lease: Option<Lease>,
    last_report: Option<(u64, Report)>,
    requests: HashMap<String, (u64, Outcome, String)>,
    /// The starts that wait, the first one first.
    queue: Vec<Waiting>,
    /// What watchers are told, with the time from which it may be seen.
    news: Vec<(Tick, Told)>,
    /// The number of the newest transition of the present life.
    sequence: u64,
    /// How each execution of the present life was last seen.
    last_seen: HashMap<String, Sighting>,
    attempts: u32,
}

#[derive(Clone)]
enum Told {
    Transition { sequence: u64, seen: Sighting },
    Purged { sequence: u64, seen: Sighting },
}

#[derive(Clone)]
struct Waiting {
    id: String,
    function: String,
    coalesces: bool,
}

#[derive(Clone)]
struct Execution {
    id: String,
    function: String,
    status: Status,
    /// What it goes on as, while it is suspended.
    resumes: Status,
}

#[derive(Clone)]
struct Lease {
    token: u64,
    worker: String,
    renewed: Tick,
    is_cancelled: bool,
    is_accepted: bool,
}

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Stage {
    fn new(shape: Shape) -> Stage {
        Stage {
            shape,
            now: 0,
            revision: 0,
            executions: 0,
            events: 0,
            token: 0,
            current: None,
            lease: None,
            last_report: None,
            requests: HashMap::new(),
            queue: Vec::new(),
            news: Vec::new(),
            sequence: 0,
            last_seen: HashMap::new(),
            attempts: 0,
        }
    }

    fn step(&mut self, history: &mut History, id: &InstanceId, dice: &mut Dice) {
        let (call, answer) = match self.some_kind(dice) {
            0..30 => {
                let call = self.some_start(dice);
                let answer = self.start(&call);
                (Call::Start(call), answer)
            }
            30..33 => {
                let (expected, request) = (self.expected(dice), self.some_request(dice, 7));
                let answer = self.restart(expected.as_deref(), request.as_ref());
                (Call::Restart { expected, request }, answer)
            }
            33..43 => (Call::GetStatus, self.sighting().map_or(Answer::NotFound, Answer::Status)),
            43..47 => {
                let execution = self.some_execution(dice);
                let Some(answer) = self.look_at(&execution) else { return };
                (Call::GetExecution { execution }, answer)
            }
            47..52 => {
                let expected = self.expected(dice);
                let answer = self.terminate(expected.as_deref());
                (Call::Terminate { expected }, answer)
            }
            52..55 => {
                let execution = self.some_execution(dice);
                let answer = self.terminate_one(&execution);
                (Call::TerminateExecution { execution }, answer)
            }
            55..61 => {
                let expected = self.expected(dice);
                let answer = self.raise(expected.as_deref());
                (Call::RaiseEvent { expected }, answer)
            }
            61..64 => {
                let expected = self.expected(dice);
                let answer = self.suspend(expected.as_deref());
                (Call::Suspend { expected }, answer)
            }
            64..68 => {
                let expected = self.expected(dice);
                let answer = self.resume(expected.as_deref());
                (Call::Resume { expected }, answer)
            }
            68..70 => {
                let expected = self.expected(dice);
                let answer = self.purge(expected.as_deref());
                (Call::Purge { expected }, answer)
            }
            _ => return self.work(history, id, dice),
        };
        self.record(history, id, call, answer, dice);
    }

    /// What comes next: a number below a hundred.
    fn some_kind(&self, dice: &mut Dice) -> u64 {
        let kind = dice.below(100);
        match kind {
            30..33 | 43..47 if self.shape.is_plain => 33,
            52..55 if self.shape.is_plain => 47,
            61..70 if self.shape.is_plain => 55,
            kind => kind,
        }
    }

    fn record(&mut self, history: &mut History, id: &InstanceId, call: Call, answer: Answer, dice: &mut Dice) {
        let number = history.called(id, "caller", self.before(dice), call);
        if !dice.chance(self.shape.unanswered) {
            history.answered(number, self.after(dice), answer);
        }
    }

    fn before(&self, dice: &mut Dice) -> Tick {
        self.now.saturating_sub(dice.below(self.shape.overlap * STEP + 1))
    }

    fn after(&self, dice: &mut Dice) -> Tick {
        self.now + dice.below(self.shape.overlap * STEP + 1)
    }

    fn transit(&mut self, status: Status) {
        self.revision += 1;
        self.sequence += 1;
        self.current.as_mut().expect("it is there").status = status;
        let seen = self.sighting().expect("it is there");
        self.last_seen.insert(seen.execution.clone(), seen.clone());
        self.news.push((self.now, Told::Transition { sequence: self.sequence, seen }));
    }

    /// It ends, and the first that waits begins in the same step. Answers how its end is seen.
    fn end(&mut self, status: Status) -> Sighting {
        self.transit(status);
        if let Some(lease) = &mut self.lease {
            lease.is_cancelled = true;
        }
        let seen = self.sighting().expect("it is there");
        if !self.queue.is_empty() {
            let Waiting { id, function, .. } = self.queue.remove(0);
            self.begin_as(id, &function, Status::Pending);
        }
        seen
    }

    fn begin_as(&mut self, id: String, function: &str, status: Status) {
        self.attempts = 0;
        let resumes = Status::Running;
        self.current = Some(Execution { id, function: function.into(), status, resumes });
        self.transit(status);
    }

    fn status(&self) -> Option<Status> {
        self.current.as_ref().map(|current| current.status)
    }

    fn is_live(&self) -> bool {
        self.status().is_some_and(Status::is_live)
    }

    fn sighting(&self) -> Option<Sighting> {
        let current = self.current.as_ref()?;
        Some(Sighting::new(&current.id, current.status, self.revision).with_token(self.token))
    }

    fn seen(&self) -> Option<Sighting> {
        self.sighting().filter(|_| self.shape.told)
    }

    /// A watcher that begins somewhere, falls behind now and then, and comes back where it was; after a purge it begins
    /// anew.
    fn watch(&self, history: &mut History, id: &InstanceId, watcher: usize, quiet: Tick, dice: &mut Dice) {
        let name = format!("watcher {watcher}");
        let mut number = history.watched(id, &name, 0, Some(0));
        let mut at = 0;
        for (since, told) in &self.news {
            at = at.max(since + dice.below(self.shape.overlap * STEP + 1));
            let (sequence, seen, kind) = match told {
                Told::Transition { sequence, seen } => (*sequence, seen, ItemKind::Transition),
                Told::Purged { sequence, seen } => (*sequence, seen, ItemKind::Purged { gap: false }),
            };
            history.saw(number, Item { at, sequence, kind, seen: seen.clone() });
            if matches!(told, Told::Purged { .. }) {
                history.unwatched(number, at, Closing::Finished);
                number = history.watched(id, &name, at, None);
            } else if dice.chance(5) {
                history.unwatched(number, at, Closing::Lost);
                number = history.watched(id, &name, at, Some(seen.revision));
            }
        }
        history.unwatched(number, quiet.max(at), Closing::Quiet);
    }
}
