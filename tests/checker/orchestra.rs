//! Histories by the thousand: a server that keeps its promises, played one step after the other, and callers whose calls
//! overlap at random around those steps.

use std::collections::HashMap;

use soloist::checker::history::*;

/// The length of a lease.
const LEASE: Tick = 200;
/// Time between two steps.
const STEP: Tick = 10;

/// What a history is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
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
    /// Every transition with the time from which it may be seen.
    transitions: Vec<(Tick, Sighting)>,
    attempts: u32,
}

#[derive(Clone)]
struct Execution {
    id: String,
    function: String,
    status: Status,
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
            transitions: Vec::new(),
            attempts: 0,
        }
    }

    fn step(&mut self, history: &mut History, id: &InstanceId, dice: &mut Dice) {
        match dice.below(100) {
            0..30 => {
                let call = self.some_start(dice);
                let answer = self.start(&call);
                self.record(history, id, Call::Start(call), answer, dice);
            }
            30..50 => {
                let answer = self.sighting().map_or(Answer::NotFound, Answer::Status);
                self.record(history, id, Call::GetStatus, answer, dice);
            }
            50..58 => {
                let expected = self.expected(dice);
                let answer = self.terminate(expected.as_deref());
                self.record(history, id, Call::Terminate { expected }, answer, dice);
            }
            58..66 => {
                let expected = self.expected(dice);
                let answer = self.raise(expected.as_deref());
                self.record(history, id, Call::RaiseEvent { expected }, answer, dice);
            }
            _ => self.work(history, id, dice),
        }
    }

    /// A grant, a report of the worker, or the loss of it.
    fn work(&mut self, history: &mut History, id: &InstanceId, dice: &mut Dice) {
        let Some(lease) = self.lease.clone() else {
            if self.is_live() && dice.chance(70) {
                self.grant(history, id, dice);
            }
            return;
        };
        let token = lease.token;
        if self.now >= lease.renewed + LEASE + STEP {
            self.revision += 1;
            self.lease = None;
            history.lease_ended(id, self.now, token);
            if self.is_live() && dice.chance(50) {
                self.transit(Status::Failed);
            }
            return;
        }
        let report = match dice.below(20) {
            _ if !lease.is_accepted => Report::Accept { lease: LEASE },
            0..3 => Report::Heartbeat { lease: LEASE },
            3..6 => Report::Progress,
            6..8 => Report::EventsAcked,
            8..12 => Report::Completed { content: dice.below(2) },
            12..14 => Report::Failed { content: dice.below(2) },
            14..16 => Report::ContinueAsNew { content: dice.below(2) },
            16..18 => Report::Stopped,
            _ => return,
        };
        let answer = self.report(&lease, report, dice);
        if answer == Answer::Accepted && report.is_final() {
            history.lease_ended(id, self.now, token);
        }
        self.record_report(history, id, &lease, report, answer, dice);
        // A worker that heard nothing says it again.
        if report.is_final() && self.last_report == Some((token, report)) && dice.chance(30) {
            self.now += STEP;
            self.record_report(history, id, &lease, report, Answer::Accepted, dice);
        }
    }

    fn record_report(
        &mut self,
        history: &mut History,
        id: &InstanceId,
        lease: &Lease,
        report: Report,
        answer: Answer,
        dice: &mut Dice,
    ) {
        let call = Call::Report { token: lease.token, report };
        let number = history.called(id, &lease.worker, self.before(dice), call);
        if !dice.chance(self.shape.unanswered) {
            history.answered(number, self.after(dice), answer);
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

    fn some_start(&mut self, dice: &mut Dice) -> Start {
        let policy = [Policy::Fail, Policy::UseExisting, Policy::Replace][dice.below(3) as usize];
        let start = Start::of(if dice.chance(90) { "f" } else { "g" }).with_policy(policy);
        let start = if dice.chance(10) { start.replacing(&[Status::Completed]) } else { start };
        match dice.below(100) {
            0..50 => start,
            50..90 => start.with_request(&format!("r{}", self.now), 1),
            // A retry, mostly.
            _ => {
                let back = self.now.saturating_sub(STEP * dice.below(20));
                let digest = if dice.chance(90) { 1 } else { 2 };
                start.with_request(&format!("r{back}"), digest)
            }
        }
    }

    fn start(&mut self, start: &Start) -> Answer {
        if let Some(request) = &start.request
            && let Some((digest, first, execution)) = self.requests.get(&request.id).cloned()
        {
            if digest != request.digest {
                return Answer::RequestIdReused;
            }
            return Answer::Deduplicated { first, execution, seen: self.seen() };
        }
        let (outcome, execution) = match self.current.clone() {
            Some(current) if current.status.is_live() => match start.policy {
                Policy::UseExisting if current.function != start.function => {
                    return Answer::FunctionMismatch { seen: self.seen() };
                }
                Policy::UseExisting => (Outcome::Joined, current.id),
                Policy::Replace => {
                    self.end_from_outside(Status::Terminated);
                    (Outcome::Replaced, self.begin(&start.function, Status::Pending))
                }
                _ => return Answer::AlreadyExists { seen: self.seen() },
            },
            Some(current) if !start.replaceable.contains(&current.status) => {
                return Answer::NotReplaceable { seen: self.seen() };
            }
            _ => (Outcome::Started, self.begin(&start.function, Status::Pending)),
        };
        if let Some(request) = &start.request {
            self.revision += 1;
            self.requests.insert(request.id.clone(), (request.digest, outcome, execution.clone()));
        }
        let seen = self.seen();
        match outcome {
            Outcome::Joined => Answer::Joined { execution, seen },
            Outcome::Replaced => Answer::Replaced { execution, seen },
            _ => Answer::Started { execution, seen },
        }
    }

    fn begin(&mut self, function: &str, status: Status) -> String {
        self.executions += 1;
        let id = format!("e{}", self.executions);
        self.attempts = 0;
        self.current = Some(Execution { id: id.clone(), function: function.into(), status });
        self.transit(status);
        id
    }

    fn expected(&self, dice: &mut Dice) -> Option<String> {
        dice.chance(30).then(|| format!("e{}", self.executions.saturating_sub(dice.below(2))))
    }

    fn not_carried_out(&self, expected: Option<&str>) -> Option<Answer> {
        let Some(current) = &self.current else { return Some(Answer::NotFound) };
        if expected.is_some_and(|expected| expected != current.id) {
            return Some(Answer::ExecutionMismatch { seen: self.seen() });
        }
        (!current.status.is_live()).then(|| Answer::NotLive { seen: self.seen() })
    }

    fn terminate(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_carried_out(expected) {
            return answer;
        }
        self.end_from_outside(Status::Terminated);
        Answer::Ended { seen: self.seen() }
    }

    fn raise(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_carried_out(expected) {
            return answer;
        }
        self.revision += 1;
        self.events += 1;
        let execution = self.current.as_ref().expect("it is live").id.clone();
        Answer::EventRaised { execution, sequence: self.events }
    }

    fn grant(&mut self, history: &mut History, id: &InstanceId, dice: &mut Dice) {
        self.attempts += 1;
        self.token = self.revision + 1;
        self.transit(Status::Running);
        let worker = format!("w{}", dice.below(3));
        let execution = self.current.as_ref().expect("it is live").id.clone();
        let (token, attempt) = (self.token, self.attempts);
        let grant = Grant { at: self.now, worker: worker.clone(), execution, token, attempt };
        history.granted(id, grant.clone());
        history.received(id, Grant { at: self.after(dice), ..grant });
        self.lease = Some(Lease { token, worker, renewed: self.now, is_cancelled: false, is_accepted: false });
    }

    fn report(&mut self, lease: &Lease, report: Report, dice: &mut Dice) -> Answer {
        if lease.is_cancelled && report != Report::Stopped {
            return Answer::Cancelled;
        }
        let held = self.lease.as_mut().expect("it is held");
        match report {
            Report::Heartbeat { .. } => held.renewed = self.now,
            Report::Accept { .. } => {
                (held.renewed, held.is_accepted) = (self.now, true);
                self.revision += 1;
            }
            Report::Progress => self.transit(Status::Running),
            Report::EventsAcked => self.revision += 1,
            _ => {
                self.lease = None;
                self.last_report = Some((lease.token, report));
                self.revision += 1;
                match report {
                    Report::Completed { .. } => self.transit(Status::Completed),
                    Report::Failed { .. } if dice.chance(50) => self.transit(Status::Failed),
                    Report::ContinueAsNew { .. } => {
                        let function = self.current.as_ref().expect("it is live").function.clone();
                        self.begin(&function, Status::Running);
                    }
                    _ => self.revision += 1,
                }
            }
        }
        Answer::Accepted
    }

    fn end_from_outside(&mut self, status: Status) {
        self.transit(status);
        if let Some(lease) = &mut self.lease {
            lease.is_cancelled = true;
        }
    }

    fn transit(&mut self, status: Status) {
        self.revision += 1;
        self.current.as_mut().expect("it is there").status = status;
        let seen = self.sighting().expect("it is there");
        self.transitions.push((self.now, seen));
    }

    fn is_live(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.status.is_live())
    }

    fn sighting(&self) -> Option<Sighting> {
        let current = self.current.as_ref()?;
        Some(Sighting::new(&current.id, current.status, self.revision).with_token(self.token))
    }

    fn seen(&self) -> Option<Sighting> {
        self.sighting().filter(|_| self.shape.told)
    }

    /// A watcher that begins somewhere, falls behind now and then, and comes back where it was.
    fn watch(&self, history: &mut History, id: &InstanceId, watcher: usize, quiet: Tick, dice: &mut Dice) {
        let name = format!("watcher {watcher}");
        let mut number = history.watched(id, &name, 0, Some(0));
        let mut at = 0;
        for (index, (since, seen)) in self.transitions.iter().enumerate() {
            at = at.max(since + dice.below(self.shape.overlap * STEP + 1));
            let item = Item { at, sequence: index as u64 + 1, kind: ItemKind::Transition, seen: seen.clone() };
            history.saw(number, item);
            if dice.chance(5) {
                history.unwatched(number, at, Closing::Lost);
                number = history.watched(id, &name, at, Some(seen.revision));
            }
        }
        history.unwatched(number, quiet.max(at), Closing::Quiet);
    }
}
