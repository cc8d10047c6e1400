//! The sequential model: what an instance may answer when calls come one after the other.
//!
//! Time is no part of it. What time alone does to an instance (a run handed out, an execution failed because its worker
//! was lost or a deadline passed) may happen between any two calls. Where the execution's id is not known, because the
//! call that began it was never answered, it is left open until somebody sees it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use super::{
    Rules,
    history::{Outcome, Policy, Status, Tick},
};

/// The number of a name: of an execution, a function or a request id.
pub type Name = u32;

/// A call as the model takes it.
#[derive(Clone, Debug)]
pub struct Op {
    pub called: Tick,
    /// `Tick::MAX` for an open one.
    pub returned: Tick,
    pub ask: Ask,
    /// Absent: it may have happened or not.
    pub told: Option<Told>,
    pub seen: Option<Seen>,
}

#[derive(Clone, Debug)]
pub enum Ask {
    Start(Start),
    Read,
    Terminate { expected: Option<Name> },
    RaiseEvent { expected: Option<Name> },
    Report { token: u64, body: Body },
}

#[derive(Clone, Debug)]
pub struct Start {
    pub policy: Policy,
    pub function: Name,
    pub replaceable: Vec<Status>,
    pub request: Option<(Name, u64)>,
}

/// A report, as far as it matters to what callers see; renewals don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Accept, Progress, EventsAcked.
    Goes,
    Completed(u64),
    Failed(u64),
    Continued(u64),
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Started(Name),
    Joined(Name),
    Replaced(Name),
    Deduplicated(Outcome, Name),
    AlreadyExists,
    NotReplaceable,
    FunctionMismatch,
    RequestIdReused,
    Status,
    Ended,
    EventRaised(Name, u64),
    NotFound,
    NotLive,
    ExecutionMismatch,
    Accepted,
}

/// What an answer said of the instance.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub execution: Name,
    pub status: Status,
    pub revision: u64,
    pub token: Option<u64>,
}

/// A transition that somebody saw: the instance passed through it before that.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub seen: Seen,
    /// When it was first seen.
    pub by: Tick,
    /// Whether it is the grant of the token that has its revision's number.
    pub is_grant: bool,
}

/// What the model knows from outside.
#[derive(Debug)]
pub struct Model<'a> {
    pub rules: &'a Rules,
    /// Whether the calls are a piece from the middle: what was before is anything.
    pub is_piece: bool,
    /// The executions that an answered start began: no other call did.
    pub claimed: HashSet<Name>,
    /// The execution of each token whose grant is among the visits.
    pub granted: HashMap<u64, Name>,
    /// When the starts with request ids were called, and when they returned, each in order.
    pub requests_called: Vec<Tick>,
    pub requests_returned: Vec<Tick>,
}

/// An instance in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    /// The revision is this or higher.
    floor: u64,
    /// Transitions with lower revisions have been seen or never will be.
    settled: u64,
    /// The execution that the latest step terminated to make room.
    replaced: Option<Who>,
    /// The newest token that is known.
    token: u64,
    lease: Lease,
    last_report: LastReport,
    /// The number of the newest event is this or higher.
    events: u64,
    memory: Rc<Memory>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// What was before is not known.
    Anything,
    Absent,
    Present {
        execution: Who,
        /// Absent: not known.
        function: Option<Name>,
        status: Status,
    },
}

/// An execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Named(Name),
    /// That of the call with this number; nobody has seen it yet.
    Unnamed(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lease {
    None,
    Held,
    /// Its execution has ended without its worker.
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum LastReport {
    Unknown,
    None,
    Of(u64, Body),
}

/// The remembered request ids.
#[derive(Clone, Debug, Default)]
struct Memory {
    entries: BTreeMap<Name, Remembered>,
    fingerprint: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Remembered {
    digest: u64,
    outcome: Outcome,
    execution: Who,
    /// When the start was called and when it returned.
    called: Tick,
}

/// What is known of a request id.
enum Recall {
    Unused,
    /// It may have been forgotten, or never been known.
    Perhaps(Option<Remembered>),
    Used(Remembered),
}

impl Model<'_> {
    pub fn initial(&self) -> State {
        let unknown = self.is_piece || !self.rules.begins_empty;
        State {
            phase: if unknown { Phase::Anything } else { Phase::Absent },
            floor: 0,
            settled: 0,
            replaced: None,
            token: 0,
            lease: Lease::None,
            last_report: if unknown { LastReport::Unknown } else { LastReport::None },
            events: 0,
            memory: Rc::default(),
        }
    }

    /// The states that a call may leave behind, if it could come next.
    pub fn step(&self, state: &State, op: &Op, number: u32) -> Vec<State> {
        match (&op.ask, op.told) {
            (Ask::Start(start), Some(told)) => self.start(state, op, start, told, number),
            (Ask::Start(start), None) => self.open_start(state, op, start, number),
            (Ask::Read, Some(Told::NotFound)) => self.absent(state),
            (Ask::Read, _) => self.observed(state.clone(), op).into_iter().collect(),
            (Ask::Terminate { expected }, told) => self.terminate(state, op, *expected, told, number),
            (Ask::RaiseEvent { expected }, Some(told)) => self.raise_event(state, op, *expected, told, number),
            (Ask::RaiseEvent { .. }, None) => Vec::new(),
            (Ask::Report { token, body }, _) => self.report(state, *token, *body, number),
        }
    }

    /// The state after a transition that was seen, if it could come next.
    pub fn visit(&self, state: &State, visit: &Visit) -> Option<State> {
        let seen = &visit.seen;
        if state.phase == Phase::Anything {
            return Some(state.clone());
        }
        if seen.revision < state.settled {
            return None;
        }
        let mut next = state.clone();
        if seen.status == Status::Terminated
            && let Some(replaced) = state.replaced
            && self.bind(&mut next, replaced, seen.execution)
        {
            next.replaced = None;
            next.settled = seen.revision + 1;
            return Some(next);
        }
        let stepped = self.come_to(&mut next, seen.execution, seen.status)?;
        if stepped && seen.revision < next.floor {
            return None;
        }
        next.settled = seen.revision;
        next.floor = next.floor.max(seen.revision);
        next.replaced = None;
        if visit.is_grant {
            if seen.revision <= next.token {
                return None;
            }
            next.token = seen.revision;
            next.lease = Lease::Held;
        }
        Some(next)
    }

    /// Whether a transition that was seen can't come any more.
    pub fn has_passed(&self, state: &State, visit: &Visit) -> bool {
        state.phase != Phase::Anything && visit.seen.revision < state.settled
    }

    fn start(&self, state: &State, op: &Op, start: &Start, told: Told, number: u32) -> Vec<State> {
        let recall = self.recall(state, op, start);
        let is_new = !matches!(recall, Recall::Used(_));
        let is_fail = start.policy == Policy::Fail;
        let joins = start.policy == Policy::UseExisting;
        match told {
            Told::Started(execution) if is_new => {
                let begin = |state| self.begun(state, op, start, Who::Named(execution), Outcome::Started);
                self.startable(state, start).into_iter().filter_map(begin).collect()
            }
            Told::Replaced(execution) if is_new && start.policy == Policy::Replace => self
                .live(state, number)
                .and_then(|state| self.begun(state, op, start, Who::Named(execution), Outcome::Replaced))
                .into_iter()
                .collect(),
            Told::Joined(execution) if is_new && joins => {
                self.joined(state, op, start, execution, number).into_iter().collect()
            }
            Told::AlreadyExists if is_new && is_fail => {
                self.live(state, number).and_then(|state| self.observed(state, op)).into_iter().collect()
            }
            Told::FunctionMismatch if is_new && joins => self
                .live(state, number)
                .filter(|state| state.function() != Some(start.function))
                .and_then(|state| self.observed(state, op))
                .into_iter()
                .collect(),
            Told::NotReplaceable if is_new => {
                let ended = self.ended(state, number).into_iter();
                let refused = ended.filter(|state| state.status().is_none_or(|s| !start.replaceable.contains(&s)));
                refused.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::RequestIdReused => match recall {
                Recall::Used(first) | Recall::Perhaps(Some(first)) if start.digest() != Some(first.digest) => {
                    vec![state.clone()]
                }
                Recall::Perhaps(None) => vec![state.clone()],
                Recall::Used(_) | Recall::Perhaps(Some(_)) | Recall::Unused => Vec::new(),
            },
            Told::Deduplicated(outcome, execution) => {
                self.deduplicated(state, op, start, recall, outcome, execution).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn joined(&self, state: &State, op: &Op, start: &Start, execution: Name, number: u32) -> Option<State> {
        let mut next = self.live(state, number)?;
        if next.function().is_some_and(|function| function != start.function) {
            return None;
        }
        let who = next.execution()?;
        if !self.bind(&mut next, who, execution) {
            return None;
        }
        next.set_function(start.function);
        if start.request.is_some() {
            next.remember(start, Outcome::Joined, Who::Named(execution), op);
            next.advance();
        }
        self.observed(next, op)
    }

    fn deduplicated(
        &self,
        state: &State,
        op: &Op,
        start: &Start,
        recall: Recall,
        outcome: Outcome,
        execution: Name,
    ) -> Option<State> {
        let mut next = state.clone();
        match recall {
            Recall::Unused => return None,
            Recall::Used(first) | Recall::Perhaps(Some(first)) => {
                let is_same = start.digest() == Some(first.digest) && outcome == first.outcome;
                if !is_same || !self.bind(&mut next, first.execution, execution) {
                    return None;
                }
            }
            Recall::Perhaps(None) => next.remember(start, outcome, Who::Named(execution), op),
        }
        self.observed(next, op)
    }

    /// A start that nobody was told of: only where it changes something is it of interest.
    fn open_start(&self, state: &State, op: &Op, start: &Start, number: u32) -> Vec<State> {
        if matches!(self.recall(state, op, start), Recall::Used(_)) {
            return Vec::new();
        }
        let who = Who::Unnamed(number);
        let begin = |state| self.begun(state, op, start, who, Outcome::Started);
        let mut next: Vec<State> = self.startable(state, start).into_iter().filter_map(begin).collect();
        let live = self.live(state, number);
        match start.policy {
            Policy::Fail => {}
            Policy::UseExisting => next.extend(live.filter(|_| start.request.is_some()).and_then(|mut state| {
                if state.function().is_some_and(|function| function != start.function) {
                    return None;
                }
                let joined = state.execution()?;
                state.remember(start, Outcome::Joined, joined, op);
                state.advance();
                Some(state)
            })),
            Policy::Replace => {
                next.extend(live.and_then(|state| self.begun(state, op, start, who, Outcome::Replaced)));
            }
        }
        next
    }

    fn begun(&self, mut state: State, op: &Op, start: &Start, execution: Who, outcome: Outcome) -> Option<State> {
        state.replaced = state.execution().filter(|_| outcome == Outcome::Replaced);
        state.cancel();
        state.phase = Phase::Present { execution, function: Some(start.function), status: Status::Pending };
        state.advance();
        state.remember(start, outcome, execution, op);
        state.left_behind(op)
    }

    fn terminate(&self, state: &State, op: &Op, expected: Option<Name>, told: Option<Told>, number: u32) -> Vec<State> {
        match told {
            None | Some(Told::Ended) => {
                let Some(mut next) = self.live(state, number) else { return Vec::new() };
                if !self.is_at(&mut next, expected) {
                    return Vec::new();
                }
                if let Some(seen) = op.seen
                    && let Some(who) = next.execution()
                    && !self.bind(&mut next, who, seen.execution)
                {
                    return Vec::new();
                }
                next.cancel();
                next.set_status(Status::Terminated);
                next.advance();
                next.left_behind(op).into_iter().collect()
            }
            Some(told) => self.not_carried_out(state, op, expected, told, number),
        }
    }

    fn raise_event(&self, state: &State, op: &Op, expected: Option<Name>, told: Told, number: u32) -> Vec<State> {
        let Told::EventRaised(execution, sequence) = told else {
            return self.not_carried_out(state, op, expected, told, number);
        };
        let Some(mut next) = self.live(state, number) else { return Vec::new() };
        if sequence <= next.events || expected.is_some_and(|expected| expected != execution) {
            return Vec::new();
        }
        let Some(who) = next.execution() else { return Vec::new() };
        if !self.bind(&mut next, who, execution) {
            return Vec::new();
        }
        next.events = sequence;
        next.floor += 1;
        vec![next]
    }

    fn not_carried_out(&self, state: &State, op: &Op, expected: Option<Name>, told: Told, number: u32) -> Vec<State> {
        match told {
            Told::NotFound => self.absent(state),
            Told::NotLive => {
                let at_expected = |mut state| self.is_at(&mut state, expected).then_some(state);
                let ended = self.ended(state, number).into_iter().filter_map(at_expected);
                ended.filter_map(|state| self.observed(state, op)).collect()
            }
            Told::ExecutionMismatch => {
                let Some(expected) = expected else { return Vec::new() };
                let is_there = state.phase != Phase::Absent && state.execution() != Some(Who::Named(expected));
                let elsewhere = op.seen.is_none_or(|seen| seen.execution != expected);
                let next = (is_there && elsewhere).then(|| self.observed(state.clone(), op));
                next.flatten().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn report(&self, state: &State, token: u64, body: Body, number: u32) -> Vec<State> {
        let mut next = Vec::new();
        let is_final = body != Body::Goes;
        if is_final && state.last_report == LastReport::Of(token, body) {
            return vec![state.clone()];
        }
        if is_final && state.last_report == LastReport::Unknown {
            next.push(state.clone());
        }
        let holder =
            if body == Body::Stopped { self.stopping(state, token) } else { self.holding(state, token, number) };
        let Some(mut after) = holder else { return next };
        match body {
            Body::Goes => {}
            Body::Completed(_) => after.set_status(Status::Completed),
            Body::Continued(_) => {
                after.phase = Phase::Present {
                    execution: Who::Unnamed(number),
                    function: after.function(),
                    status: Status::Running,
                };
            }
            Body::Failed(_) | Body::Stopped => {}
        }
        if is_final {
            after.lease = Lease::None;
            after.last_report = LastReport::Of(token, body);
            match body {
                Body::Completed(_) | Body::Continued(_) => after.advance(),
                Body::Goes | Body::Failed(_) | Body::Stopped => after.floor += 1,
            }
        }
        next.push(after);
        next
    }

    /// The state in which this token's worker holds the live execution.
    fn holding(&self, state: &State, token: u64, number: u32) -> Option<State> {
        let granted = self.granted.get(&token).copied();
        let mut next = self.live(state, number)?;
        let is_known = state.token == token && state.phase != Phase::Anything;
        if is_known && state.lease != Lease::Held || !is_known && !self.may_be_new(state, token) {
            return None;
        }
        if let (Some(execution), Some(who)) = (granted, next.execution())
            && !self.bind(&mut next, who, execution)
        {
            return None;
        }
        next.token = token;
        next.lease = Lease::Held;
        if next.status() == Some(Status::Pending) {
            next.set_status(Status::Running);
            next.advance();
        }
        Some(next)
    }

    /// The state in which this token's lease still hangs on the instance, whatever became of the execution.
    fn stopping(&self, state: &State, token: u64) -> Option<State> {
        let stands = state.token == token && state.lease != Lease::None;
        let is_possible = stands || self.may_be_new(state, token);
        let mut next = (is_possible && state.phase != Phase::Absent).then(|| state.clone())?;
        next.token = token;
        Some(next)
    }

    /// Whether a token may be one whose grant was not recorded.
    fn may_be_new(&self, state: &State, token: u64) -> bool {
        let is_unseen = state.phase == Phase::Anything || self.is_piece || !self.granted.contains_key(&token);
        is_unseen && (token > state.token || state.phase == Phase::Anything && token >= state.token)
    }

    /// The states in which the start begins an execution without a conflict.
    fn startable(&self, state: &State, start: &Start) -> Vec<State> {
        match state.phase {
            Phase::Anything | Phase::Absent => vec![state.clone()],
            Phase::Present { status, .. } if status.is_live() => {
                let ends = self.silent_ends().iter().filter(|status| start.replaceable.contains(status));
                ends.map(|status| state.ended_as(*status)).collect()
            }
            Phase::Present { status, .. } if start.replaceable.contains(&status) => vec![state.clone()],
            Phase::Present { .. } => Vec::new(),
        }
    }

    /// The state if it is live.
    fn live(&self, state: &State, number: u32) -> Option<State> {
        match state.phase {
            Phase::Anything => Some(state.pinned(number, Status::Pending)),
            Phase::Absent => None,
            Phase::Present { status, .. } => status.is_live().then(|| state.clone()),
        }
    }

    /// The state if it has ended, perhaps just now and by itself.
    fn ended(&self, state: &State, number: u32) -> Vec<State> {
        const ENDS: [Status; 3] = [Status::Completed, Status::Failed, Status::Terminated];
        match state.phase {
            Phase::Anything => ENDS.map(|status| state.pinned(number, status)).into(),
            Phase::Absent => Vec::new(),
            Phase::Present { status, .. } if status.is_live() => {
                self.silent_ends().iter().map(|status| state.ended_as(*status)).collect()
            }
            Phase::Present { .. } => vec![state.clone()],
        }
    }

    fn absent(&self, state: &State) -> Vec<State> {
        match state.phase {
            Phase::Absent => vec![state.clone()],
            Phase::Anything => vec![State { phase: Phase::Absent, ..state.clone() }],
            Phase::Present { .. } => Vec::new(),
        }
    }

    fn is_at(&self, state: &mut State, expected: Option<Name>) -> bool {
        match (expected, state.execution()) {
            (Some(expected), Some(who)) => self.bind(state, who, expected),
            (_, _) => true,
        }
    }

    /// How an execution may end without a call that was recorded.
    fn silent_ends(&self) -> &'static [Status] {
        if self.rules.reports_recorded { &[Status::Failed] } else { &[Status::Failed, Status::Completed] }
    }

    /// The state in which what the answer saw is seen.
    fn observed(&self, mut state: State, op: &Op) -> Option<State> {
        let Some(seen) = op.seen else { return Some(state) };
        self.come_to(&mut state, seen.execution, seen.status)?;
        if seen.revision < state.floor || seen.token.is_some_and(|token| token < state.token) {
            return None;
        }
        state.floor = seen.revision;
        state.settled = seen.revision;
        state.replaced = None;
        if let Some(token) = seen.token.filter(|token| *token > state.token) {
            state.token = token;
            state.lease = if seen.status.is_live() { Lease::Held } else { Lease::Cancelled };
        }
        Some(state)
    }

    /// Goes to where this is seen, by what may happen by itself. Answers whether anything had to.
    fn come_to(&self, state: &mut State, execution: Name, status: Status) -> Option<bool> {
        let (who, now) = match state.phase {
            Phase::Absent => return None,
            Phase::Anything => {
                state.phase = Phase::Present { execution: Who::Named(execution), function: None, status };
                return Some(false);
            }
            Phase::Present { execution, status, .. } => (execution, status),
        };
        if !self.bind(state, who, execution) {
            let continues = !self.rules.reports_recorded && now.is_live() && !self.claimed.contains(&execution);
            if !continues || status == Status::Pending {
                return None;
            }
            state.phase = Phase::Present {
                execution: Who::Named(execution),
                function: state.function(),
                status: Status::Running,
            };
            state.lease = Lease::None;
            state.advance();
            if status != Status::Running {
                state.set_status(status);
                state.advance();
            }
            return Some(true);
        }
        if now == status {
            return Some(false);
        }
        let happens = match (now, status) {
            (Status::Pending, Status::Running) => true,
            (Status::Pending | Status::Running, ended) => self.silent_ends().contains(&ended),
            (Status::Completed | Status::Failed | Status::Terminated, _) => false,
        };
        if !happens {
            return None;
        }
        if !status.is_live() {
            state.cancel();
        }
        state.set_status(status);
        state.advance();
        Some(true)
    }

    /// Whether `who` is `execution`: if it has no name yet, it has from now on.
    fn bind(&self, state: &mut State, who: Who, execution: Name) -> bool {
        match who {
            Who::Named(name) => name == execution,
            Who::Unnamed(_) if self.claimed.contains(&execution) && !self.is_piece => false,
            Who::Unnamed(_) => {
                state.rename(who, execution);
                true
            }
        }
    }

    fn recall(&self, state: &State, op: &Op, start: &Start) -> Recall {
        let Some((request, _)) = start.request else { return Recall::Unused };
        let unknown = self.is_piece || !self.rules.begins_empty;
        match state.memory.entries.get(&request) {
            None if unknown => Recall::Perhaps(None),
            None => Recall::Unused,
            Some(first) if self.may_be_forgotten(first, op) => Recall::Perhaps(Some(*first)),
            Some(first) => Recall::Used(*first),
        }
    }

    fn may_be_forgotten(&self, first: &Remembered, op: &Op) -> bool {
        let until = op.returned;
        if until.saturating_sub(first.called) >= self.rules.remember_for {
            return true;
        }
        if self.requests_called.len() <= self.rules.remember_max {
            return false;
        }
        let begun = self.requests_called.partition_point(|called| *called <= until);
        let over = self.requests_returned.partition_point(|returned| *returned < first.called);
        begun - over > self.rules.remember_max
    }
}

impl State {
    /// A number that stands for the state.
    pub fn fingerprint(&self) -> u128 {
        let State { phase, floor, settled, replaced, token, lease, last_report, events, memory } = self;
        digest(&(phase, floor, settled, replaced, token, lease, last_report, events)) ^ memory.fingerprint
    }

    pub fn execution(&self) -> Option<Who> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { execution, .. } => Some(execution),
        }
    }

    fn function(&self) -> Option<Name> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { function, .. } => function,
        }
    }

    pub fn status(&self) -> Option<Status> {
        match self.phase {
            Phase::Anything | Phase::Absent => None,
            Phase::Present { status, .. } => Some(status),
        }
    }

    fn set_status(&mut self, to: Status) {
        if let Phase::Present { status, .. } = &mut self.phase {
            *status = to;
        }
    }

    fn set_function(&mut self, to: Name) {
        if let Phase::Present { function, .. } = &mut self.phase {
            *function = Some(to);
        }
    }

    /// A visible change: it has a revision of its own.
    fn advance(&mut self) {
        self.floor += 1;
        self.settled = self.floor;
    }

    fn cancel(&mut self) {
        if self.lease == Lease::Held {
            self.lease = Lease::Cancelled;
        }
    }

    fn ended_as(&self, status: Status) -> State {
        let mut next = self.clone();
        next.cancel();
        next.set_status(status);
        next.advance();
        next
    }

    /// Where anything was possible: an execution that nobody has seen yet.
    fn pinned(&self, number: u32, status: Status) -> State {
        let phase = Phase::Present { execution: Who::Unnamed(number), function: None, status };
        State { phase, ..self.clone() }
    }

    /// The state as the call that made it left it behind, if that is what the answer says.
    fn left_behind(mut self, op: &Op) -> Option<State> {
        let Some(seen) = op.seen else { return Some(self) };
        let is_it = self.execution() == Some(Who::Named(seen.execution)) && self.status() == Some(seen.status);
        if !is_it || seen.revision < self.floor {
            return None;
        }
        self.floor = seen.revision;
        Some(self)
    }

    fn remember(&mut self, start: &Start, outcome: Outcome, execution: Who, op: &Op) {
        if let Some((request, digest)) = start.request {
            let entry = Remembered { digest, outcome, execution, called: op.called };
            Rc::make_mut(&mut self.memory).put(request, entry);
        }
    }

    fn rename(&mut self, from: Who, to: Name) {
        let rename = |who: &mut Who| {
            if *who == from {
                *who = Who::Named(to);
            }
        };
        if let Phase::Present { execution, .. } = &mut self.phase {
            rename(execution);
        }
        self.replaced.iter_mut().for_each(rename);
        let hits = self.memory.entries.iter().filter(|(_, entry)| entry.execution == from);
        let renamed: Vec<(Name, Remembered)> =
            hits.map(|(request, entry)| (*request, Remembered { execution: Who::Named(to), ..*entry })).collect();
        if !renamed.is_empty() {
            let memory = Rc::make_mut(&mut self.memory);
            renamed.into_iter().for_each(|(request, entry)| memory.put(request, entry));
        }
    }
}

impl Start {
    fn digest(&self) -> Option<u64> {
        self.request.map(|(_, digest)| digest)
    }
}

impl Memory {
    fn put(&mut self, request: Name, entry: Remembered) {
        if let Some(before) = self.entries.insert(request, entry) {
            self.fingerprint ^= digest(&(request, before));
        }
        self.fingerprint ^= digest(&(request, entry));
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Memory) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Memory {}

/// 128 bits, so that two different things practically never have the same number.
pub fn digest(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
