//! What a worker is given and says.

use super::{Dice, LEASE, Lease, STEP, Stage};
use crate::checker::history::*;

impl Stage {
    /// A grant, a report of the worker, or the loss of it.
    pub(super) fn work(&mut self, history: &mut History, id: &InstanceId, dice: &mut Dice) {
        let Some(lease) = self.lease.clone() else {
            let is_suspended = self.status() == Some(Status::Suspended);
            if self.is_live() && !is_suspended && dice.chance(70) {
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
                self.end(Status::Failed);
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
            Report::Progress => {
                let status = self.status().expect("it is live");
                self.transit(status);
            }
            Report::EventsAcked => self.revision += 1,
            _ => {
                self.lease = None;
                self.last_report = Some((lease.token, report));
                self.revision += 1;
                match report {
                    Report::Completed { .. } => drop(self.end(Status::Completed)),
                    Report::Failed { .. } if dice.chance(50) => drop(self.end(Status::Failed)),
                    Report::ContinueAsNew { .. } => {
                        let function = self.current.as_ref().expect("it is live").function.clone();
                        let is_suspended = self.status() == Some(Status::Suspended);
                        self.begin(&function, if is_suspended { Status::Suspended } else { Status::Running });
                    }
                    _ => self.revision += 1,
                }
            }
        }
        Answer::Accepted
    }
}
