//! Starts and restarts, those that wait among them.

use super::{Dice, STEP, Stage, Waiting};
use crate::checker::history::*;

impl Stage {
    pub(super) fn some_start(&mut self, dice: &mut Dice) -> Start {
        let policies =
            [Policy::Fail, Policy::UseExisting, Policy::Replace, Policy::Queue, Policy::Queue, Policy::Coalesce];
        let count = if self.shape.is_plain { 3 } else { policies.len() };
        let policy = policies[dice.below(count as u64) as usize];
        let start = Start::of(if dice.chance(90) { "f" } else { "g" }).with_policy(policy);
        let start = if dice.chance(10) { start.replacing(&[Status::Completed]) } else { start };
        let start = if !self.shape.is_plain && dice.chance(60) {
            start.with_max_queue(1 + dice.below(3) as u32)
        } else {
            start
        };
        let start = if policy == Policy::UseExisting && !self.shape.is_plain && dice.chance(50) {
            start.with_signal()
        } else {
            start
        };
        Start { request: self.some_request(dice, 1), ..start }
    }

    pub(super) fn some_request(&self, dice: &mut Dice, digest: u64) -> Option<Request> {
        match dice.below(100) {
            0..50 => None,
            50..90 => Some(Request { id: format!("r{}", self.now), digest }),
            // A retry, mostly.
            _ => {
                let back = self.now.saturating_sub(STEP * dice.below(20));
                let digest = if dice.chance(90) { digest } else { digest + 1 };
                Some(Request { id: format!("r{back}"), digest })
            }
        }
    }

    pub(super) fn start(&mut self, start: &Start) -> Answer {
        if let Some(answer) = self.again(start.request.as_ref()) {
            return answer;
        }
        let (outcome, execution, position) = match self.current.clone() {
            Some(current) if current.status.is_live() => match start.policy {
                Policy::Fail => return Answer::AlreadyExists { seen: self.seen() },
                Policy::UseExisting if current.function != start.function => {
                    return Answer::FunctionMismatch { seen: self.seen() };
                }
                Policy::UseExisting => {
                    if start.signal {
                        self.revision += 1;
                        self.events += 1;
                    }
                    (Outcome::Joined, current.id, 0)
                }
                Policy::Replace => {
                    self.transit(Status::Terminated);
                    if let Some(lease) = &mut self.lease {
                        lease.is_cancelled = true;
                    }
                    (Outcome::Replaced, self.begin(&start.function, Status::Pending), 0)
                }
                Policy::Queue | Policy::Coalesce => match self.queue(start) {
                    Ok(queued) => queued,
                    Err(answer) => return answer,
                },
            },
            Some(current) if !start.replaceable.contains(&current.status) => {
                return Answer::NotReplaceable { seen: self.seen() };
            }
            _ => (Outcome::Started, self.begin(&start.function, Status::Pending), 0),
        };
        self.remember(start.request.as_ref(), outcome, &execution);
        let seen = self.seen();
        match outcome {
            Outcome::Started => Answer::Started { execution, seen },
            Outcome::Joined => Answer::Joined { execution, seen },
            Outcome::Replaced => Answer::Replaced { execution, seen },
            Outcome::Queued => Answer::Queued { execution, position, seen },
            Outcome::Coalesced => Answer::Coalesced { execution, position, seen },
        }
    }

    /// The end of the queue, or the place of the one that waits to run once more.
    fn queue(&mut self, start: &Start) -> Result<(Outcome, String, u32), Answer> {
        let coalesces = start.policy == Policy::Coalesce;
        if let Some(place) = self.queue.iter().position(|waiting| coalesces && waiting.coalesces) {
            if self.queue[place].function != start.function {
                return Err(Answer::FunctionMismatch { seen: None });
            }
            self.revision += 1;
            return Ok((Outcome::Coalesced, self.queue[place].id.clone(), place as u32 + 1));
        }
        let waiting = self.queue.len() as u32;
        if waiting >= start.max_queue {
            return Err(Answer::QueueFull { waiting });
        }
        self.revision += 1;
        self.executions += 1;
        let id = format!("e{}", self.executions);
        self.queue.push(Waiting { id: id.clone(), function: start.function.clone(), coalesces });
        Ok((Outcome::Queued, id, waiting + 1))
    }

    pub(super) fn restart(&mut self, expected: Option<&str>, request: Option<&Request>) -> Answer {
        if let Some(answer) = self.again(request).or_else(|| self.not_there(expected)) {
            return answer;
        }
        if self.is_live() {
            return Answer::AlreadyExists { seen: self.seen() };
        }
        let function = self.current.as_ref().expect("it is there").function.clone();
        let execution = self.begin(&function, Status::Pending);
        self.remember(request, Outcome::Started, &execution);
        Answer::Started { execution, seen: self.seen() }
    }

    /// The answer to a request id that is known.
    fn again(&self, request: Option<&Request>) -> Option<Answer> {
        let request = request?;
        let (digest, first, execution) = self.requests.get(&request.id).cloned()?;
        let is_same = digest == request.digest;
        let again = Answer::Deduplicated { first, execution, seen: self.seen() };
        Some(if is_same { again } else { Answer::RequestIdReused })
    }

    fn remember(&mut self, request: Option<&Request>, outcome: Outcome, execution: &str) {
        if let Some(request) = request {
            self.revision += 1;
            self.requests.insert(request.id.clone(), (request.digest, outcome, execution.into()));
        }
    }

    pub(super) fn begin(&mut self, function: &str, status: Status) -> String {
        self.executions += 1;
        let id = format!("e{}", self.executions);
        self.begin_as(id.clone(), function, status);
        id
    }
}
