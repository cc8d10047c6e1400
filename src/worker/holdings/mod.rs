//! The runs that a worker holds: what each message, moment and ending means for them. Pure: moments are arguments, and
//! what is to be done comes out as orders and reports.

mod answers;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    function::{Ending, Outcome},
    lease::Lease,
    reports::{Reports, Ticket},
    run::{Cancellation, Cancelled},
};
use crate::proto::v1::{
    Claim, Completed, ContinueAsNew, Event, EventsAcked, Failed, Progress, Run, Stopped, work_request::Message,
};

/// A function that is still there that long after it was dropped blocks its thread.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// What is to be done with a function.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    /// Start it: the run was accepted, and the lease ends then.
    Start { claim: Claim, run: Box<Run>, lease_end: Instant, suspended: bool },
    /// Give it an event.
    Deliver { claim: Claim, event: Event },
    /// Tell it when its lease ends.
    Renewed { claim: Claim, lease_end: Instant },
    /// Tell it to pause, or to go on.
    Pace { claim: Claim, suspended: bool },
    /// Tell it to stop.
    Cancel { claim: Claim, reason: Cancellation },
    /// Drop its future.
    Drop(Claim),
    /// Say that it could not be dropped.
    Complain(Claim),
}

/// The limits that a worker was built with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub runs_max: usize,
    pub cancel_grace: Duration,
}

/// All runs of a worker.
#[derive(Debug)]
pub(super) struct Holdings {
    pub reports: Reports,
    limits: Limits,
    runs: HashMap<Claim, Held>,
    orders: VecDeque<Order>,
    lease_length: Duration,
    taking: bool,
    /// No lease ends before this. Renewals move ends later only, so it may be early, never late.
    watch_at: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    phase: Phase,
    /// The server said that the lease is over: it wants to hear no more of it.
    gone: bool,
    /// Somebody suspended the instance.
    suspended: bool,
    events_seen: u64,
}

#[derive(Debug)]
enum Phase {
    /// Accept is not answered yet; nothing runs. Events that come early wait.
    Offered { run: Box<Run>, early: Vec<Event> },
    /// The function runs.
    Working,
    /// The function was told to stop; what it returns no longer counts.
    Stopping { dropped: Option<Instant>, complained: bool },
    /// The function has ended; its final report is not answered yet.
    Reported,
    /// Nothing runs; `Stopped` is not answered yet.
    GivenBack,
}

// === impl Holdings ===

impl Holdings {
    pub(super) fn new(limits: Limits) -> Holdings {
        Holdings {
            reports: Reports::default(),
            limits,
            runs: HashMap::new(),
            orders: VecDeque::new(),
            lease_length: Duration::ZERO,
            taking: true,
            watch_at: None,
        }
    }

    pub(super) fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// When [`Holdings::expire`] is to be called next.
    pub(super) fn watch_at(&self) -> Option<Instant> {
        self.watch_at
    }

    /// What Register names: everything that is still worked on or not yet reported.
    pub(super) fn held(&self) -> Vec<Claim> {
        let held = self.runs.iter().filter(|(_, held)| !held.gone && !matches!(held.phase, Phase::GivenBack));
        held.map(|(claim, _)| claim.clone()).collect()
    }

    /// What a heartbeat names: what can still be renewed. A function that was dropped because the lease was over, but
    /// has not stopped yet, is better held as long as the server lets it.
    pub(super) fn renewable(&self) -> Vec<Claim> {
        let renewable = self.runs.iter().filter(|(_, held)| {
            !held.lease.is_sealed() && matches!(held.phase, Phase::Working | Phase::Stopping { .. } | Phase::Reported)
        });
        renewable.map(|(claim, _)| claim.clone()).collect()
    }

    /// A function's task has ended: with a result, or without one because it was dropped. `taken` is the last event
    /// that it took.
    pub(super) fn ended(&mut self, claim: &Claim, ending: Option<Ending>, taken: u64, now: Instant) {
        let Some(held) = self.runs.get_mut(claim) else { return };
        match (&held.phase, ending) {
            (Phase::Working, Some(ending)) => {
                if ending.is_ok() && taken > 0 {
                    self.confirm_events(claim.clone(), taken);
                }
                self.report(claim, ending);
            }
            (Phase::Stopping { .. }, _) if held.gone => self.remove(claim),
            (Phase::Working | Phase::Stopping { .. }, _) => self.give_back(claim, now),
            (Phase::Offered { .. } | Phase::Reported | Phase::GivenBack, _) => {}
        }
    }

    /// A function reports its progress.
    pub(super) fn progress(&mut self, claim: Claim, custom_status: String, ticket: Ticket) {
        match self.runs.get(&claim).map(|held| &held.phase) {
            Some(Phase::Working) => {
                let progress = Progress { claim: Some(claim.clone()), custom_status: Some(custom_status) };
                self.reports.push(claim, Message::Progress(progress), Some(ticket));
            }
            _ => ticket.answer(Err(Cancelled { reason: Cancellation::LeaseLost }.into())),
        }
    }

    /// A function has done with its events up to this one.
    pub(super) fn confirm_events(&mut self, claim: Claim, sequence: u64) {
        if self.runs.get(&claim).is_some_and(|held| matches!(held.phase, Phase::Working)) {
            let acked = EventsAcked { claim: Some(claim.clone()), sequence };
            self.reports.push(claim, Message::EventsAcked(acked), None);
        }
    }

    /// Stops what may no longer run.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.watch_at.is_none_or(|at| at > now) {
            return;
        }
        self.watch_at = None;
        let over: Vec<Claim> = self
            .runs
            .iter()
            .filter(|(_, held)| held.next_moment().is_some_and(|at| at <= now))
            .map(own_claim)
            .collect();
        for claim in over {
            self.expire_one(&claim, now);
        }
        self.watch_at = self.runs.values().filter_map(Held::next_moment).min();
    }

    /// From now on no run is taken. Those whose Accept is under way may still begin.
    pub(super) fn stop_taking(&mut self) {
        self.taking = false;
    }

    /// The grace of a shutdown is over: everything that still runs is dropped.
    pub(super) fn shut_down(&mut self, now: Instant) {
        let claims: Vec<Claim> = self.runs.iter().map(own_claim).collect();
        for claim in claims {
            let Some(held) = self.runs.get_mut(&claim) else { continue };
            match held.phase {
                Phase::Offered { .. } => self.give_back(&claim, now),
                Phase::Working => self.stop(&claim, Cancellation::ShutDown, now),
                Phase::Stopping { .. } => {
                    held.lease.seal(now);
                    self.watch(now);
                }
                Phase::Reported | Phase::GivenBack => {}
            }
        }
        self.expire(now);
    }

    fn expire_one(&mut self, claim: &Claim, now: Instant) {
        let Some(held) = self.runs.get_mut(claim) else { return };
        match &mut held.phase {
            Phase::Offered { .. } => self.give_back(claim, now),
            Phase::Working => self.stop(claim, Cancellation::LeaseLost, now),
            Phase::Stopping { dropped: dropped @ None, .. } => {
                *dropped = Some(now);
                self.orders.push_back(Order::Drop(claim.clone()));
            }
            Phase::Stopping { complained, .. } => {
                *complained = true;
                self.orders.push_back(Order::Complain(claim.clone()));
            }
            Phase::Reported | Phase::GivenBack => self.remove(claim),
        }
    }

    /// Tells a function to stop, and drops it: at once where the lease is over, else after a grace within the lease.
    fn stop(&mut self, claim: &Claim, reason: Cancellation, now: Instant) {
        self.reports.forget(claim, reason);
        let Some(held) = self.runs.get_mut(claim) else { return };
        self.orders.push_back(Order::Cancel { claim: claim.clone(), reason });
        let mut dropped = None;
        match reason {
            Cancellation::Terminated | Cancellation::Replaced | Cancellation::TimedOut => {
                held.lease.seal(now + self.limits.cancel_grace);
            }
            Cancellation::LeaseLost | Cancellation::ShutDown => {
                self.orders.push_back(Order::Drop(claim.clone()));
                dropped = Some(now);
                if held.gone {
                    held.lease.seal(now);
                }
            }
        }
        held.phase = Phase::Stopping { dropped, complained: false };
        if let Some(moment) = held.next_moment() {
            self.watch(moment);
        }
    }

    /// Reports how the function ended.
    fn report(&mut self, claim: &Claim, ending: Ending) {
        let Some(held) = self.runs.get_mut(claim) else { return };
        held.phase = Phase::Reported;
        let named = Some(claim.clone());
        let message = match ending {
            Ok(Outcome::Completed(output)) => Message::Completed(Completed { claim: named, output }),
            Ok(Outcome::ContinueAsNew(input)) => Message::ContinueAsNew(ContinueAsNew { claim: named, input }),
            Err(failure) => Message::Failed(Failed { claim: named, failure: Some(failure.into_proto()) }),
        };
        self.reports.push(claim.clone(), message, None);
    }

    /// Nothing runs, and no other report follows: the next execution may be handed out.
    fn give_back(&mut self, claim: &Claim, now: Instant) {
        self.reports.forget(claim, Cancellation::LeaseLost);
        let Some(held) = self.runs.get_mut(claim) else { return };
        held.phase = Phase::GivenBack;
        self.reports.push(claim.clone(), Message::Stopped(Stopped { claim: Some(claim.clone()) }), None);
        self.keep_until(claim, now + self.lease_length);
    }

    /// After that moment the server knows by itself that the run is over.
    fn keep_until(&mut self, claim: &Claim, moment: Instant) {
        if let Some(held) = self.runs.get_mut(claim) {
            held.lease = Lease::from(moment, Duration::ZERO);
            held.lease.seal(moment);
            self.watch(moment);
        }
    }

    fn remove(&mut self, claim: &Claim) {
        self.reports.forget(claim, Cancellation::LeaseLost);
        self.runs.remove(claim);
    }

    fn watch(&mut self, moment: Instant) {
        self.watch_at = Some(self.watch_at.map_or(moment, |at| at.min(moment)));
    }
}

// === impl Held ===

impl Held {
    /// When something is to be done with it unless it is renewed; nothing where only the server's answer counts.
    fn next_moment(&self) -> Option<Instant> {
        match self.phase {
            Phase::Offered { .. } | Phase::Working | Phase::GivenBack => Some(self.lease.end()),
            Phase::Stopping { dropped: None, .. } => Some(self.lease.end()),
            Phase::Stopping { dropped: Some(at), complained: false } => Some(at + DROP_PATIENCE),
            Phase::Stopping { complained: true, .. } => None,
            Phase::Reported => self.gone.then(|| self.lease.end()),
        }
    }
}

fn own_claim((claim, _): (&Claim, &Held)) -> Claim {
    claim.clone()
}

#[cfg(test)]
mod tests;
