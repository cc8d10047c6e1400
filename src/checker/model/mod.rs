//! The sequential model: what an instance may answer when calls come one after the other.
//!
//! Time is no part of it. What time alone does to an instance (a run handed out, an execution failed because its worker
//! was lost or a deadline passed) may happen between any two calls. Where the execution's id is not known, because the
//! call that began it was never answered, it is left open until somebody sees it.

mod control;
mod op;
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
    /// The executions that an answered start began: no other call did.
    pub claimed: HashSet<Name>,
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
}

impl Model<'_> {
    pub fn initial(&self) -> State {
        let unknown = self.facts.is_piece || !self.facts.rules.begins_empty;
        State {
            phase: if unknown { Phase::Anything } else { Phase::Absent },
            floor: 0,
            settled: 0,
            replaced: None,
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
        let stepped = self.come_to(&mut next, seen.execution, seen.status, true)?;
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
                self.unseen_ends().iter().map(|status| state.ended_as(*status)).collect()
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

    /// How an execution may end now without a call that was recorded, and without anybody seeing it.
    fn unseen_ends(&self) -> &'static [Status] {
        if self.by_itself { self.ends_by_itself() } else { &[] }
    }

    fn ends_by_itself(&self) -> &'static [Status] {
        if self.facts.rules.reports_recorded { &[Status::Failed] } else { &[Status::Failed, Status::Completed] }
    }

    /// The state in which what the answer saw is seen.
    fn observed(&self, mut state: State, op: &Op) -> Option<State> {
        let Some(seen) = op.seen else { return Some(state) };
        self.come_to(&mut state, seen.execution, seen.status, self.by_itself)?;
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
    fn come_to(&self, state: &mut State, execution: Name, status: Status, may_change: bool) -> Option<bool> {
        let (who, now) = match state.phase {
            Phase::Absent => return None,
            Phase::Anything => {
                state.phase = Phase::Present { execution: Who::Named(execution), function: None, status };
                return Some(false);
            }
            Phase::Present { execution, status, .. } => (execution, status),
        };
        if !self.bind(state, who, execution) {
            let continues = may_change
                && !self.facts.rules.reports_recorded
                && now.is_live()
                && !self.facts.claimed.contains(&execution);
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
            (_, _) if !may_change => false,
            (Status::Pending, Status::Running) => true,
            (Status::Pending | Status::Running, ended) => self.ends_by_itself().contains(&ended),
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
            Who::Unnamed(_) if self.facts.claimed.contains(&execution) && !self.facts.is_piece => false,
            Who::Unnamed(_) => {
                state.rename(who, execution);
                true
            }
        }
    }
}
