//! The sequential model: what an instance may answer when calls come one after the other.
//!
//! Time is no part of it. What time alone does to an instance (a run handed out, an execution failed because its worker
//! was lost or a deadline passed) may happen between any two calls. Where the execution's id is not known, because the
//! call that began it was never answered, it is left open until somebody sees it.

mod control;
mod op;
mod queue;
mod read;
mod report;
mod start;
mod state;

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use self::state::{LastReport, Lease};
pub use self::{
    op::{Ask, Body, Name, Op, Seen, Start, Told, Visit},
    state::{Phase, State, Who, digest},
};
use super::{
    Rules,
    history::{Status, Tick},
};

/// What is known from outside.
#[derive(Debug)]
pub struct Facts<'a> {
    pub rules: &'a Rules,
    /// Whether the calls are a piece from the middle: what was before is anything.
    pub is_piece: bool,
    /// The executions that an answered start began, or put into the queue: no other call did.
    pub claimed: &'a HashSet<Name>,
    /// Whether starts may wait of which nothing is known.
    pub may_hide: bool,
    /// The execution of each token whose grant is among the visits.
    pub granted: HashMap<u64, Name>,
    /// When the starts with request ids were called, and when they returned, each in order.
    pub requests_called: Vec<Tick>,
    pub requests_returned: Vec<Tick>,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub facts: &'a Facts<'a>,
    /// Whether the instance may change by itself now, without anybody seeing it.
    pub by_itself: bool,
    /// How many calls and transitions that have come speak of each execution: it has begun.
    pub met: &'a [u32],
}

/// What may happen by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    Nothing,
    /// To this execution, not to those that wait.
    ThisOne,
    Anything,
}

const LIVE: [Status; 3] = [Status::Pending, Status::Suspended, Status::Running];
const ENDS: [Status; 3] = [Status::Completed, Status::Failed, Status::Terminated];

impl Model<'_> {
    pub fn initial(&self) -> State {
        let unknown = self.facts.is_piece || !self.facts.rules.begins_empty;
        State {
            phase: if unknown { Phase::Anything } else { Phase::Absent },
            floor: 0,
            settled: 0,
            former: None,
            resumes: None,
            queue: Vec::new(),
            hides: unknown && self.facts.may_hide,
            is_reborn: unknown || self.facts.rules.sweeps,
            token: 0,
            lease: Lease::None,
            last_report: if unknown { LastReport::Unknown } else { LastReport::None },
            memory: Rc::default(),
        }
    }

    /// The states that a call may leave behind, if it could come next.
    pub fn step(&self, state: &State, op: &Op, number: u32) -> Vec<State> {
        match (&op.ask, op.told) {
            (Ask::Start(start), Some(told)) => self.start(state, op, start, told, number),
            (Ask::Start(start), None) => self.open_start(state, op, start, number),
            (Ask::Restart { expected, .. }, told) => self.restart(state, op, *expected, told, number),
            (Ask::Read, Some(Told::NotFound)) => self.absent(state, number),
            (Ask::Read, _) => self.observed(state.clone(), op).into_iter().collect(),
            (Ask::ReadOf(execution), Some(told)) => self.read_of(state, op, *execution, told, number),
            (Ask::Terminate { expected }, told) => self.terminate(state, op, *expected, told, number),
            (Ask::TerminateOf(execution), told) => self.terminate_of(state, op, *execution, told, number),
            (Ask::RaiseEvent { expected }, Some(told)) => self.raise_event(state, op, *expected, told, number),
            (Ask::ReadOf(_) | Ask::RaiseEvent { .. }, None) => Vec::new(),
            (Ask::Suspend { expected }, told) => self.suspend(state, op, *expected, told, number),
            (Ask::Resume { expected }, told) => self.resume(state, op, *expected, told, number),
            (Ask::Purge { expected }, told) => self.purge(state, op, *expected, told, number),
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
        if let Some((former, status)) = state.former
            && seen.status == status
            && self.bind(&mut next, former, seen.execution)
        {
            next.former = None;
            next.settled = seen.revision + 1;
            return Some(next);
        }
        // Where no transition is missing, whatever ended was seen to.
        let alone = if visit.is_next { Alone::ThisOne } else { Alone::Anything };
        let stepped = self.come_to(&mut next, seen.execution, seen.status, alone)?;
        if stepped && seen.revision <= state.floor {
            return None;
        }
        let is_followed = u64::from(next.execution() != Some(Who::Named(seen.execution)));
        next.settled = seen.revision + is_followed;
        next.floor = next.floor.max(next.settled);
        next.former = None;
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

    /// Whether the instance is past what is to be seen next.
    pub fn is_beyond(&self, state: &State, next: &Seen, only_looks: bool) -> bool {
        let Phase::Present { execution, status, .. } = state.phase else { return false };
        if state.former.is_some() {
            return false;
        }
        match execution {
            Who::Named(name) if name == next.execution => !status.is_live() && (status != next.status || !only_looks),
            Who::Named(_) | Who::Unnamed(_) => self.has_begun(next.execution),
            Who::Former(_) | Who::Hidden(_) => false,
        }
    }

    /// The states in which it is live: as it is, or after those that wait have begun by themselves. Where it may be
    /// anything, in each way.
    fn live(&self, state: &State, number: u32) -> Vec<State> {
        let mut live = match state.phase {
            Phase::Anything => LIVE.map(|status| state.pinned(Who::Former(number), status)).into(),
            Phase::Present { status, .. } if status.is_live() => vec![state.clone()],
            Phase::Present { .. } if state.hides => {
                let hidden = LIVE.map(|status| state.pinned(Who::Hidden(number), status));
                let mut first = state.clone().shown();
                hidden.into_iter().chain(first.dequeue().then_some(first)).collect()
            }
            Phase::Absent | Phase::Present { .. } => Vec::new(),
        };
        while let Some(last) = live.last().filter(|last| self.by_itself && !last.queue.is_empty()) {
            live.push(last.clone().shown().ended_as(Status::Failed));
        }
        let is_live = state.status().is_some_and(Status::is_live);
        live.extend(
            (self.by_itself && state.hides && is_live).then(|| state.followed_by(Who::Hidden(number), Status::Pending)),
        );
        live
    }

    /// The same, and those in which it has been granted by itself: where what comes next does not tell.
    fn stirred(&self, state: &State, number: u32) -> Vec<State> {
        let mut live = self.live(state, number);
        let pending = live.iter().filter(|state| self.by_itself && state.status() == Some(Status::Pending));
        let granted: Vec<State> = pending.map(State::granted).collect();
        live.extend(granted);
        live
    }

    /// The state if it has ended, perhaps just now and by itself, and nothing waits.
    fn ended(&self, state: &State, number: u32) -> Vec<State> {
        let mut last = state.clone().shown();
        match state.phase {
            Phase::Anything => ENDS.map(|status| last.pinned(Who::Former(number), status)).into(),
            Phase::Absent => Vec::new(),
            Phase::Present { status, .. } if !status.is_live() && state.queue.is_empty() => {
                // Or one of which nothing is known began and has ended too.
                let hidden = self.unseen_ends().iter().filter(|_| state.hides);
                let hidden = hidden.map(|status| last.followed_by(Who::Hidden(number), *status));
                hidden.chain([last.clone()]).collect()
            }
            Phase::Present { status, .. } => {
                if !status.is_live() {
                    last.dequeue();
                }
                while !last.queue.is_empty() {
                    last = last.ended_as(Status::Failed);
                }
                self.unseen_ends().iter().map(|status| last.ended_as(*status)).collect()
            }
        }
    }

    fn absent(&self, state: &State, number: u32) -> Vec<State> {
        match state.phase {
            Phase::Absent => vec![state.clone()],
            Phase::Anything => vec![State { phase: Phase::Absent, ..state.clone().shown() }],
            Phase::Present { .. } => self.swept(state, number),
        }
    }

    /// Deleted by the server itself.
    fn swept(&self, state: &State, number: u32) -> Vec<State> {
        let ended = if self.facts.rules.sweeps { self.ended(state, number) } else { Vec::new() };
        ended.iter().map(State::purged).collect()
    }

    /// How an execution may end now without a call that was recorded, and without anybody seeing it.
    fn unseen_ends(&self) -> &'static [Status] {
        if self.by_itself { self.ends_by_itself() } else { &[] }
    }

    fn ends_by_itself(&self) -> &'static [Status] {
        if self.facts.rules.reports_recorded { &[Status::Failed] } else { &[Status::Failed, Status::Completed] }
    }

    fn alone(&self) -> Alone {
        if self.by_itself { Alone::Anything } else { Alone::Nothing }
    }

    /// The state in which what the answer saw is seen.
    fn observed(&self, state: State, op: &Op) -> Option<State> {
        self.sees(state, op.seen)
    }

    fn sees(&self, mut state: State, seen: Option<Seen>) -> Option<State> {
        let Some(seen) = seen else { return Some(state) };
        self.come_to(&mut state, seen.execution, seen.status, self.alone())?;
        // What has ended shows itself only where nothing waits.
        let stands = (state.execution(), state.status()) == (Some(Who::Named(seen.execution)), Some(seen.status));
        if !stands || !seen.status.is_live() && !state.queue.is_empty() {
            return None;
        }
        state.hides &= seen.status.is_live();
        let fell = |token| token < state.token && (token != 0 || !state.is_reborn);
        if seen.revision < state.floor || seen.token.is_some_and(fell) {
            return None;
        }
        state.floor = seen.revision;
        state.settled = seen.revision;
        state.former = None;
        if let Some(token) = seen.token.filter(|token| *token > state.token) {
            state.token = token;
            state.lease = if seen.status.is_live() { Lease::Held } else { Lease::Cancelled };
        }
        Some(state)
    }

    /// Goes to where this is seen, by what may happen by itself. Answers whether anything had to.
    fn come_to(&self, state: &mut State, execution: Name, status: Status, alone: Alone) -> Option<bool> {
        let (who, now) = match state.phase {
            Phase::Absent => return None,
            Phase::Anything => {
                state.phase = Phase::Present { execution: Who::Named(execution), function: None, status };
                return Some(false);
            }
            Phase::Present { execution, status, .. } => (execution, status),
        };
        let before = state.clone();
        if self.bind(state, who, execution) {
            let came = self.come_on(state, now, status, alone);
            // What had no name may be another one after all.
            if came.is_some() || matches!(who, Who::Named(_)) || !before.hides {
                return came;
            }
        }
        *state = self.begun_alone(&before, execution, status, alone).or_else(|| {
            let continues = alone != Alone::Nothing && self.may_continue(now, execution, status);
            continues.then(|| before.continued_as(execution, status))
        })?;
        Some(true)
    }

    /// Goes on within the execution to this status. Answers whether anything had to.
    fn come_on(&self, state: &mut State, now: Status, status: Status, alone: Alone) -> Option<bool> {
        if now == status {
            return Some(false);
        }
        match (now, status) {
            (_, _) if alone == Alone::Nothing => return None,
            (Status::Pending, Status::Running) => *state = state.granted(),
            (_, ended) if now.is_live() && self.ends_by_itself().contains(&ended) => *state = state.ended_as(status),
            (_, _) => return None,
        }
        Some(true)
    }

    /// Those that wait have begun by themselves, one after the other, up to this one.
    fn begun_alone(&self, state: &State, execution: Name, status: Status, alone: Alone) -> Option<State> {
        let is_live = state.status().is_some_and(Status::is_live);
        if alone != Alone::Anything && (is_live || !state.hides) {
            return None;
        }
        let mut next = state.clone().shown();
        while !next.queue.is_empty() {
            if next.status().is_some_and(Status::is_live) {
                next = next.ended_as(Status::Failed);
            } else {
                next.dequeue();
            }
            if let Some(who) = next.execution()
                && self.bind(&mut next, who, execution)
            {
                return self.come_to(&mut next, execution, status, alone).map(|_| next);
            }
        }
        (state.hides && !self.has_begun(execution)).then(|| state.followed_by(Who::Named(execution), status))
    }

    /// Whether an execution may have continued as this one, without a report that was recorded.
    fn may_continue(&self, now: Status, execution: Name, status: Status) -> bool {
        !self.facts.rules.reports_recorded
            && now.is_live()
            && !self.facts.claimed.contains(&execution)
            && status != Status::Pending
    }

    /// Whether `who` is `execution`: if it has no name yet, it has from now on.
    fn bind(&self, state: &mut State, who: Who, execution: Name) -> bool {
        match who {
            Who::Named(name) => name == execution,
            _ if state.place(Who::Named(execution)).is_some() => false,
            Who::Unnamed(_) if self.facts.claimed.contains(&execution) || self.has_begun(execution) => false,
            Who::Hidden(_) if self.has_begun(execution) => false,
            Who::Unnamed(_) | Who::Former(_) | Who::Hidden(_) => {
                state.rename(who, execution);
                true
            }
        }
    }

    /// Whether the execution is live or over.
    pub fn has_begun(&self, execution: Name) -> bool {
        self.met[execution as usize] > 0
    }
}
