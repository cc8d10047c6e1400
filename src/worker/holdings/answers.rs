//! What the server's messages mean for the runs.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Held, Holdings, Order, Phase};
use crate::{
    proto::v1::{
        Accept, Accepted, Cancel, CancelReason, Claim, Event, Registered, Rejected, Run, work_request::Message,
    },
    worker::{
        function::Failure,
        lease::Lease,
        reports::Report,
        run::{Cancellation, Cancelled, EVENTS_WAITING_MAX, ProgressError},
    },
};

impl Holdings {
    /// A stream was registered: its leases have this length, and the registration renewed what it continues. It says
    /// which of these are suspended: what was said meanwhile was missed.
    pub(in crate::worker) fn registered(&mut self, lease_length: Duration, registered: &Registered, sent: Instant) {
        self.lease_length = lease_length;
        self.renewed(&registered.continued, sent);
        let suspended: HashSet<&Claim> = registered.suspended.iter().collect();
        for claim in &registered.continued {
            self.paced(claim, suspended.contains(claim));
        }
    }

    /// A run is to pause, or to go on.
    pub(in crate::worker) fn paced(&mut self, claim: &Claim, suspended: bool) {
        let Some(held) = self.runs.get_mut(claim).filter(|held| held.suspended != suspended) else { return };
        held.suspended = suspended;
        if let Phase::Working = held.phase {
            self.orders.push_back(Order::Pace { claim: claim.clone(), suspended });
        }
    }

    /// Something that was sent then renewed these leases.
    pub(in crate::worker) fn renewed(&mut self, claims: &[Claim], sent: Instant) {
        for claim in claims {
            let Some(held) = self.runs.get_mut(claim) else { continue };
            held.lease.renew(sent, self.lease_length);
            if let Phase::Working = held.phase {
                self.orders.push_back(Order::Renewed { claim: claim.clone(), lease_end: held.lease.end() });
            }
        }
    }

    /// The server hands out a run.
    pub(in crate::worker) fn offered(&mut self, run: Run, now: Instant) {
        let Some(claim) = run.claim.clone() else { return };
        if self.runs.contains_key(&claim) {
            return;
        }
        // The wait for the answer to Accept is bounded by what the lease would be.
        let lease = Lease::from(now, self.lease_length);
        let takes = self.taking && self.has_room();
        let phase = Phase::Offered { run: Box::new(run), early: Vec::new() };
        let held = Held { lease, phase, gone: false, suspended: false, events_seen: 0 };
        self.runs.insert(claim.clone(), held);
        if takes {
            self.reports.push(claim.clone(), Message::Accept(Accept { claim: Some(claim) }), None);
            self.watch(lease.end());
        } else {
            self.give_back(&claim, now);
        }
    }

    /// The server delivers an event. One that was delivered before is not given to the function again.
    pub(in crate::worker) fn event(&mut self, event: Event) {
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
    pub(in crate::worker) fn accepted(&mut self, accepted: &Accepted, now: Instant) {
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
    pub(in crate::worker) fn rejected(&mut self, rejected: Rejected, now: Instant) {
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
    pub(in crate::worker) fn cancelled(&mut self, cancel: &Cancel, now: Instant) {
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
        let (lease_end, suspended) = (held.lease.end(), held.suspended);
        if let Phase::Offered { run, early } = std::mem::replace(&mut held.phase, Phase::Working) {
            self.orders.push_back(Order::Start { claim: claim.clone(), run, lease_end, suspended });
            let deliver = |event| Order::Deliver { claim: claim.clone(), event };
            self.orders.extend(early.into_iter().map(deliver));
        }
        self.watch(lease_end);
    }

    /// Runs whose function has ended take no room, though their reports are not answered yet.
    fn has_room(&self) -> bool {
        let takes_room = |held: &&Held| !matches!(held.phase, Phase::Reported | Phase::GivenBack);
        self.runs.len() < self.limits.runs_max || self.runs.values().filter(takes_room).count() < self.limits.runs_max
    }
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
