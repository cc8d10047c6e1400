//! What workers report.

use super::{
    Model,
    op::Body,
    state::{LastReport, Lease, Phase, State, Who},
};
use crate::checker::history::Status;

impl Model<'_> {
    pub(super) fn report(&self, state: &State, token: u64, body: Body, number: u32) -> Vec<State> {
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

    /// Whether an accepted report can't come any more: its lease is over, and it is not the one that is repeated.
    pub fn is_overtaken(&self, state: &State, token: u64, body: Body) -> bool {
        if state.phase == Phase::Anything || self.facts.is_piece || state.last_report == LastReport::Of(token, body) {
            return false;
        }
        let is_over = match state.lease {
            Lease::None => true,
            Lease::Held => false,
            Lease::Cancelled => body != Body::Stopped,
        };
        state.last_report != LastReport::Unknown && (token < state.token || token == state.token && is_over)
    }

    /// The state in which this token's worker holds the live execution.
    fn holding(&self, state: &State, token: u64, number: u32) -> Option<State> {
        let granted = self.facts.granted.get(&token).copied();
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
            if !self.by_itself && state.phase != Phase::Anything {
                return None;
            }
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
        let is_unseen =
            state.phase == Phase::Anything || self.facts.is_piece || !self.facts.granted.contains_key(&token);
        is_unseen && (token > state.token || state.phase == Phase::Anything && token >= state.token)
    }
}
