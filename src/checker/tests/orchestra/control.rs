//! What is done to executions from outside, and looks at one of them.

use super::{Dice, Stage, Told};
use crate::checker::history::*;

impl Stage {
    /// Nothing, or the one that it was not long ago.
    pub(super) fn expected(&self, dice: &mut Dice) -> Option<String> {
        dice.chance(30).then(|| self.some_execution(dice))
    }

    /// The latest one, one that waits, one that is over, or one that never was.
    pub(super) fn some_execution(&self, dice: &mut Dice) -> String {
        let latest = self.current.as_ref().map(|current| current.id.clone());
        let latest = latest.filter(|_| dice.chance(40));
        latest.unwrap_or_else(|| format!("e{}", self.executions.saturating_sub(dice.below(4))))
    }

    pub(super) fn not_there(&self, expected: Option<&str>) -> Option<Answer> {
        let Some(current) = &self.current else { return Some(Answer::NotFound) };
        let is_other = expected.is_some_and(|expected| expected != current.id);
        is_other.then(|| Answer::ExecutionMismatch { seen: self.seen() })
    }

    fn not_live(&self, expected: Option<&str>) -> Option<Answer> {
        let not_live = || (!self.is_live()).then(|| Answer::NotLive { seen: self.seen() });
        self.not_there(expected).or_else(not_live)
    }

    pub(super) fn terminate(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_live(expected) {
            return answer;
        }
        let seen = self.end(Status::Terminated);
        Answer::Ended { seen: Some(seen).filter(|_| self.shape.told) }
    }

    pub(super) fn terminate_one(&mut self, execution: &str) -> Answer {
        let Some(current) = &self.current else { return Answer::NotFound };
        if current.id == execution {
            return self.terminate(None);
        }
        let Some(place) = self.queue.iter().position(|waiting| waiting.id == execution) else {
            return Answer::ExecutionNotFound;
        };
        self.queue.remove(place);
        self.revision += 1;
        let seen = Sighting::new(execution, Status::Terminated, self.revision);
        Answer::Ended { seen: Some(seen).filter(|_| self.shape.told) }
    }

    /// Nothing where it is not asked: what an execution that continued as another one is said to be.
    pub(super) fn look_at(&self, execution: &str) -> Option<Answer> {
        let Some(current) = self.sighting() else { return Some(Answer::NotFound) };
        if let Some(place) = self.queue.iter().position(|waiting| waiting.id == execution) {
            let seen = Sighting::new(execution, Status::Pending, self.revision);
            return Some(Answer::Waiting { position: place as u32 + 1, seen });
        }
        if current.execution == execution {
            return Some(Answer::Status(current));
        }
        match self.last_seen.get(execution) {
            None => Some(Answer::ExecutionNotFound),
            Some(last) => (!last.status.is_live()).then(|| Answer::Status(last.clone())),
        }
    }

    pub(super) fn raise(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_live(expected) {
            return answer;
        }
        self.revision += 1;
        self.events += 1;
        let execution = self.current.as_ref().expect("it is live").id.clone();
        Answer::EventRaised { execution, sequence: self.events }
    }

    pub(super) fn suspend(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_live(expected) {
            return answer;
        }
        let current = self.current.as_mut().expect("it is live");
        if current.status != Status::Suspended {
            current.resumes = current.status;
            self.transit(Status::Suspended);
        }
        Answer::Suspended { seen: self.seen() }
    }

    pub(super) fn resume(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_live(expected) {
            return answer;
        }
        let current = self.current.as_ref().expect("it is live");
        if current.status == Status::Suspended {
            self.transit(current.resumes);
        }
        Answer::Resumed { seen: self.seen() }
    }

    /// Its request ids stay remembered, and so does its lease. The newest token is told where anything is left of it.
    pub(super) fn purge(&mut self, expected: Option<&str>) -> Answer {
        if let Some(answer) = self.not_there(expected) {
            return answer;
        }
        if self.is_live() {
            return Answer::StillLive { seen: self.seen() };
        }
        let seen = self.sighting().expect("it is there");
        self.news.push((self.now, Told::Purged { sequence: self.sequence, seen }));
        self.revision += 1;
        (self.current, self.sequence) = (None, 0);
        self.last_seen.clear();
        if self.lease.is_none() && self.requests.is_empty() {
            (self.token, self.last_report) = (0, None);
        }
        Answer::Purged
    }
}
