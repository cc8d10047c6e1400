//! The runs that a worker holds: what each message, moment and ending means for them. Pure: moments are arguments, and
//! what is to be done comes out as orders and reports.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    function::{Ending, Failure, Outcome},
    lease::Lease,
    reports::{Report, Reports, Ticket},
    run::{Cancellation, Cancelled, EVENTS_WAITING_MAX, ProgressError},
};
use crate::proto::v1::{
    Accept, Accepted, Cancel, CancelReason, Claim, Completed, ContinueAsNew, Event, EventsAcked, Failed, Progress,
    Rejected, Run, Stopped, work_request::Message,
};

/// A function that is still there that long after it was dropped blocks its thread.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// What is to be done with a function.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    /// Start it: the run was accepted, and the lease ends then.
    Start { claim: Claim, run: Box<Run>, lease_end: Instant },
    /// Give it an event.
    Deliver { claim: Claim, event: Event },
    /// Tell it when its lease ends.
    Renewed { claim: Claim, lease_end: Instant },
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

    /// A stream was registered: its leases have this length, and the registration renewed these.
    pub(super) fn registered(&mut self, lease_length: Duration, continued: &[Claim], sent: Instant) {
        self.lease_length = lease_length;
        self.renewed(continued, sent);
    }

    /// Something that was sent then renewed these leases.
    pub(super) fn renewed(&mut self, claims: &[Claim], sent: Instant) {
        for claim in claims {
            let Some(held) = self.runs.get_mut(claim) else { continue };
            held.lease.renew(sent, self.lease_length);
            if let Phase::Working = held.phase {
                self.orders.push_back(Order::Renewed { claim: claim.clone(), lease_end: held.lease.end() });
            }
        }
    }

    /// The server hands out a run.
    pub(super) fn offered(&mut self, run: Run, now: Instant) {
        let Some(claim) = run.claim.clone() else { return };
        if self.runs.contains_key(&claim) {
            return;
        }
        // The wait for the answer to Accept is bounded by what the lease would be.
        let lease = Lease::from(now, self.lease_length);
        let takes = self.taking && self.has_room();
        let phase = Phase::Offered { run: Box::new(run), early: Vec::new() };
        let held = Held { lease, phase, gone: false, events_seen: 0 };
        self.runs.insert(claim.clone(), held);
        if takes {
            self.reports.push(claim.clone(), Message::Accept(Accept { claim: Some(claim) }), None);
            self.watch(lease.end());
        } else {
            self.give_back(&claim, now);
        }
    }

    /// The server delivers an event. One that was delivered before is not given to the function again.
    pub(super) fn event(&mut self, event: Event) {
        let Some(claim) = event.claim.clone() else { return };
        let Some(held) = self.runs.get_mut(&claim) else { return };
        if event.sequence <= held.events_seen {
            return;
        }
        held.events_seen = event.sequence;
        match &mut held.phase {
            Phase::Offered { early, .. } if early.len() < EVENTS_WAITING_MAX => early.push(event),
            Phase::Working => self.orders.push_back(Order::Deliver { claim, event }),
            Phase::Offered { .. } | Phase::Stopping { .. } | Phase::Reported | Phase::GivenBack => {}
        }
    }

    /// A report is durable.
    pub(super) fn accepted(&mut self, accepted: &Accepted, now: Instant) {
        let Some(report) = accepted.claim.as_ref().and_then(|claim| self.reports.answered(claim, accepted.sequence))
        else {
            return;
        };
        match report.message {
            Message::Accept(_) => self.begin(report.claim, report.sent.unwrap_or(now), now),
            Message::Progress(_) => {
                if let Some(ticket) = report.ticket {
                    ticket.answer(Ok(()));
                }
            }
            Message::Completed(_) | Message::Failed(_) | Message::ContinueAsNew(_) | Message::Stopped(_) => {
                self.remove(&report.claim);
            }
            Message::EventsAcked(_) | Message::Register(_) | Message::Heartbeat(_) => {}
        }
    }

    /// A report broke a rule; the run goes on, so it must end in another way.
    pub(super) fn rejected(&mut self, rejected: Rejected, now: Instant) {
        let Some(report) = rejected.claim.as_ref().and_then(|claim| self.reports.answered(claim, rejected.sequence))
        else {
            return;
        };
        let Report { claim, message, ticket, .. } = report;
        let Rejected { reason, message: why, .. } = rejected;
        tracing::warn!(instance_id = claim.instance_id, reason, why, "the server rejected a report");
        match message {
            Message::Completed(_) | Message::ContinueAsNew(_) => {
                let failure = Failure::new(reason, why).non_retriable();
                self.report(&claim, Err(failure));
            }
            Message::Accept(_) | Message::Failed(_) => self.give_back(&claim, now),
            Message::Stopped(_) => self.remove(&claim),
            Message::Progress(_) => {
                if let Some(ticket) = ticket {
                    ticket.answer(Err(ProgressError::Rejected { reason, message: why }));
                }
            }
            Message::EventsAcked(_) | Message::Register(_) | Message::Heartbeat(_) => {}
        }
    }

    /// A run is to stop, or is no longer held.
    pub(super) fn cancelled(&mut self, cancel: &Cancel, now: Instant) {
        let Some(claim) = &cancel.claim else { return };
        let reason = reason_of(cancel.reason());
        let answered = self.reports.answered(claim, cancel.sequence);
        let answers_last = answered.as_ref().is_some_and(|report| ends_the_run(&report.message));
        if let Some(ticket) = answered.and_then(|report| report.ticket) {
            ticket.answer(Err(Cancelled { reason }.into()));
        }
        let Some(held) = self.runs.get_mut(claim) else { return };
        let lost = reason == Cancellation::LeaseLost;
        match &held.phase {
            Phase::Offered { .. } if lost => self.remove(claim),
            Phase::Offered { .. } => self.give_back(claim, now),
            Phase::Working => {
                held.gone = lost;
                self.stop(claim, reason, now);
            }
            Phase::Stopping { .. } if lost => {
                held.gone = true;
                held.lease.seal(now);
                self.watch(now);
            }
            Phase::Stopping { .. } => {
                held.lease.seal(now + self.limits.cancel_grace);
                let end = held.lease.end();
                self.watch(end);
            }
            Phase::Reported if lost && answers_last => self.remove(claim),
            // The final report was or will be judged by itself: it may have been accepted before the lease ended.
            Phase::Reported if lost => {
                held.gone = true;
                held.lease.seal(now);
                self.keep_until(claim, now + self.lease_length);
            }
            Phase::Reported => self.give_back(claim, now),
            Phase::GivenBack if lost || answers_last => self.remove(claim),
            Phase::GivenBack => {}
        }
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

    /// The run's Accept, which was sent then, is durable.
    fn begin(&mut self, claim: Claim, sent: Instant, now: Instant) {
        let Some(held) = self.runs.get_mut(&claim) else { return };
        if !matches!(held.phase, Phase::Offered { .. }) {
            return;
        }
        held.lease = Lease::from(sent, self.lease_length);
        if held.lease.has_ended(now) {
            self.give_back(&claim, now);
            return;
        }
        let lease_end = held.lease.end();
        if let Phase::Offered { run, early } = std::mem::replace(&mut held.phase, Phase::Working) {
            self.orders.push_back(Order::Start { claim: claim.clone(), run, lease_end });
            let deliver = |event| Order::Deliver { claim: claim.clone(), event };
            self.orders.extend(early.into_iter().map(deliver));
        }
        self.watch(lease_end);
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

    /// Runs whose function has ended take no room, though their reports are not answered yet.
    fn has_room(&self) -> bool {
        let takes_room = |held: &&Held| !matches!(held.phase, Phase::Reported | Phase::GivenBack);
        self.runs.len() < self.limits.runs_max || self.runs.values().filter(takes_room).count() < self.limits.runs_max
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

fn reason_of(reason: CancelReason) -> Cancellation {
    match reason {
        CancelReason::Terminated => Cancellation::Terminated,
        CancelReason::Replaced => Cancellation::Replaced,
        CancelReason::TimedOut => Cancellation::TimedOut,
        // A reason that this worker doesn't know is taken for the worst.
        CancelReason::Unspecified | CancelReason::LeaseLost | CancelReason::StaleFencingToken => {
            Cancellation::LeaseLost
        }
    }
}

fn ends_the_run(message: &Message) -> bool {
    match message {
        Message::Completed(_) | Message::Failed(_) | Message::ContinueAsNew(_) | Message::Stopped(_) => true,
        Message::Register(_)
        | Message::Accept(_)
        | Message::Heartbeat(_)
        | Message::Progress(_)
        | Message::EventsAcked(_) => false,
    }
}
