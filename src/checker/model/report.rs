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
        let holders =
            if body == Body::Stopped { self.stopping(state, token) } else { self.holding(state, token, number) };
        next.extend(holders.into_iter().map(|holder| reported(holder, token, body, number)));
        next
    }

    /// Whether an accepted report can't come any more: its lease is over, and it is not the one that is repeated.
    pub fn is_overtaken(&self, state: &State, token: u64, body: Body) -> bool {
        if state.phase == Phase::Anything || state.last_report == LastReport::Of(token, body) {
            return false;
        }
        let is_over = match state.lease {
            Lease::None => true,
            Lease::Held => false,
            Lease::Cancelled => body != Body::Stopped,
        };
        state.last_report != LastReport::Unknown && (token < state.token || token == state.token && is_over)
    }

    /// The states in which this token's worker holds the live execution.
    fn holding(&self, state: &State, token: u64, number: u32) -> Vec<State> {
        let is_known = state.token == token && state.phase != Phase::Anything;
        if is_known && state.lease != Lease::Held || !is_known && !self.may_be_new(state, token) {
            return Vec::new();
        }
        let live = self.live(state, number).into_iter();
        live.filter_map(|next| self.held(state, next, token)).collect()
    }

    fn held(&self, before: &State, mut next: State, token: u64) -> Option<State> {
        let granted = self.facts.granted.get(&token).copied();
        if let (Some(execution), Some(who)) = (granted, next.execution())
            && !self.bind(&mut next, who, execution)
        {
            return None;
        }
        next.token = token;
        next.lease = Lease::Held;
        let is_certain = before.phase != Phase::Anything;
        match (next.status(), next.resumes) {
            // It was granted: where it may be anything, it is not Pending.
            (Some(Status::Pending), _) if !is_certain || !self.by_itself => return None,
            (Some(Status::Pending), _) => next = next.granted(),
            (Some(Status::Suspended), Some(Status::Pending)) if !self.by_itself => return None,
            (Some(Status::Suspended), _) => next.resumes = Some(Status::Running),
            (_, _) => {}
        }
        Some(next)
    }

    /// The state in which this token's lease still hangs on the instance, whatever became of the execution.
    fn stopping(&self, state: &State, token: u64) -> Vec<State> {
        let stands = state.token == token && state.lease != Lease::None;
        let is_new = self.may_be_new(state, token) && state.phase != Phase::Absent;
        (stands || is_new).then(|| State { token, ..state.clone() }).into_iter().collect()
    }

    /// Whether a token may be one whose grant was not recorded.
    fn may_be_new(&self, state: &State, token: u64) -> bool {
        let is_unseen =
            state.phase == Phase::Anything || self.facts.is_piece || !self.facts.granted.contains_key(&token);
        is_unseen && (token > state.token || state.phase == Phase::Anything && token >= state.token)
    }
}

/// The state after an accepted report of the holder.
fn reported(holder: State, token: u64, body: Body, number: u32) -> State {
    let mut after = match body {
        Body::Completed(_) => holder.ended_as(Status::Completed),
        Body::Goes | Body::Continued(_) | Body::Failed(_) | Body::Stopped => holder,
    };
    match body {
        Body::Goes => return after,
        Body::Completed(_) => {}
        Body::Continued(_) => {
            after.begins_anew(Who::Unnamed(number));
            after.advance();
        }
        Body::Failed(_) | Body::Stopped => after.floor += 1,
    }
    after.lease = Lease::None;
    after.last_report = LastReport::Of(token, body);
    after
}
