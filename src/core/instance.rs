//! An instance, and how each event changes it.

use std::sync::Arc;

use super::{
    event::{Event, LeaseEnd},
    ids::{Arrival, CompletionToken, ExecutionId, FencingToken, InstanceKey, PayloadRow, Revision},
    lease::{Cancellation, FinalReport, Lease, NotHeld, Proof},
    limits,
    policy::WorkerKind,
    queue::{Queue, QueuedStart},
    rare::Rare,
    request::Memory,
    status::{Due, Execution, Spec, Status, Transition, View},
    time::{Now, Steady, Timestamp},
    turn::Turns,
};
use crate::mutant::Mutant;

/// What an instance id names; lives on through its executions.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub arrival: Arrival,
    /// The revision that created it.
    pub born: Revision,
    /// The revision of its latest change.
    pub revision: Revision,
    /// The number of its latest transition.
    pub sequence: u64,
    /// The token of its newest grant; zero before the first.
    pub fencing_token: FencingToken,
    pub execution: Execution,
    pub lease: Option<Box<Lease>>,
    pub last_report: Option<Box<FinalReport>>,
    /// The events that are not acknowledged have the numbers `inbox_after + 1 ..= inbox_last`.
    pub inbox_after: u64,
    pub inbox_last: u64,
    pub memory: Memory,
    pub queue: Queue,
    /// Of an execution that Durable Task workers run.
    pub turns: Option<Box<Turns>>,
    /// The turn that a worker has. Soft state: after a restart it is handed out again.
    pub turn_held: Option<Box<CompletionToken>>,
    /// The rows that hold the outputs of former executions, the oldest first.
    pub former_outputs: Rare<Vec<PayloadRow>>,
    /// It was purged: callers don't find it. What is left of it are its lease and its remembered requests.
    pub purged: Option<Box<Purged>>,
}

/// What a purge leaves, until nobody needs it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// When its newest request is forgotten; nothing if it remembers none.
    pub forget_at: Option<Steady>,
}

impl Instance {
    /// The instance that its first event makes.
    pub fn create(
        arrival: Arrival,
        execution: ExecutionId,
        spec: &Arc<Spec>,
        input: Option<PayloadRow>,
        revision: Revision,
        now: Now,
    ) -> Instance {
        let mut execution = Execution::begin(execution, spec, input, now.wall);
        execution.schedule(now);
        execution.await_grant(now.steady);
        Instance {
            arrival,
            born: revision,
            revision,
            sequence: 1,
            fencing_token: Revision(0),
            execution,
            lease: None,
            last_report: None,
            inbox_after: 0,
            inbox_last: 0,
            memory: Memory::default(),
            queue: Queue::default(),
            turns: None,
            turn_held: None,
            former_outputs: Rare::default(),
            purged: None,
        }
    }

    /// Whether callers find it.
    pub fn is_there(&self) -> bool {
        self.purged.is_none()
    }

    /// Whether nothing is left that anybody could need.
    pub fn is_forgotten(&self) -> bool {
        self.purged.as_ref().is_some_and(|purged| purged.forget_at.is_none()) && self.lease.is_none()
    }

    /// Changes the instance by one event.
    pub fn apply(&mut self, event: &Event, revision: Revision, now: Now) {
        let at = self.execution.last_updated_at.advance_to(now.wall);
        self.revision = revision;
        self.sequence += u64::from(event.is_transition());
        self.sequence += u64::from(Mutant::SkipSequence.is_on() && matches!(event, Event::ExecutionContinued { .. }));
        match event {
            Event::ExecutionStarted { execution, spec, input } => {
                let input = PayloadRow::of(input.as_ref(), revision);
                self.begin(Execution::begin(*execution, spec, input, at), revision, now);
            }
            Event::ExecutionRestarted { execution } => {
                let former = &self.execution;
                let spec = match former.spec.parent {
                    // It reports to nobody.
                    Some(_) => &Arc::new(Spec { parent: None, ..Spec::clone(&former.spec) }),
                    None => &former.spec,
                };
                self.begin(Execution::begin(*execution, spec, former.input, at), revision, now);
            }
            Event::ExecutionDequeued => {
                if let Some(QueuedStart { execution, spec, input, queued_at, .. }) = self.queue.pop() {
                    // It was accepted when it was queued; the wall clock may have been set back since.
                    let created_at = queued_at.min(at);
                    let execution = Execution { created_at, ..Execution::begin(execution, &spec, input, at) };
                    self.begin(execution, revision, now);
                }
            }
            Event::StartQueued { execution, spec, input, coalesces } => self.queue.push(QueuedStart {
                ticket: revision,
                execution: *execution,
                spec: Arc::clone(spec),
                input: PayloadRow::of(input.as_ref(), revision),
                coalesces: *coalesces,
                queued_at: now.wall,
            }),
            Event::StartCoalesced { execution, spec, input } => {
                self.queue.replace(*execution, spec, PayloadRow::of(input.as_ref(), revision), now.wall);
            }
            Event::StartWithdrawn { execution, .. } => self.queue.remove(*execution),
            Event::StartDue => {
                self.execution.due.change(|due| due.scheduled = None);
                self.await_grant(now.steady);
            }
            Event::RequestRemembered(remembered) => self.memory.remember(revision, remembered.clone()),
            Event::RequestsForgotten { through } => self.memory.forget(*through),
            Event::RunGranted { claim, worker, ttl } => {
                let is_new = self.fencing_token == Revision(0) || !Mutant::ReuseToken.is_on();
                self.fencing_token = if is_new { revision } else { self.fencing_token };
                self.lease = Some(Box::new(Lease {
                    token: self.fencing_token,
                    claim: *claim,
                    worker: worker.clone(),
                    execution: self.execution.id,
                    ttl: *ttl,
                    accepted: false,
                    cancelled: None,
                    expires_at: now.steady + *ttl,
                }));
                self.execution.granted(at, now.steady);
            }
            Event::RunAccepted => {
                if let Some(lease) = &mut self.lease {
                    lease.renew(now.steady);
                    self.execution.accepted_attempts += u32::from(!lease.accepted);
                    lease.accepted = true;
                }
            }
            Event::LeaseLengthened { ttl } => {
                if let Some(lease) = &mut self.lease {
                    lease.ttl = *ttl;
                    lease.renew(now.steady);
                }
            }
            Event::ProgressReported { custom_status } => {
                self.execution.custom_status = PayloadRow::of(custom_status.as_ref(), revision);
                self.execution.last_updated_at = at;
            }
            Event::EventRaised { .. } => self.inbox_last += 1,
            Event::EventsAcknowledged { through } => self.inbox_after = *through,
            Event::LeaseEnded(end) => {
                self.lease = None;
                if let (LeaseEnd::Reported(report), false) = (end, Mutant::UnrememberReport.is_on()) {
                    self.last_report = Some(Box::new(*report));
                }
                self.await_grant(now.steady);
            }
            Event::RetryScheduled { failure, at: due } => {
                self.execution.due.change(|of| of.retry_at = Some(*due));
                self.execution.failure = failure.clone().or_else(|| self.execution.failure.take());
                self.execution.last_updated_at = at;
            }
            Event::RetryDue => self.execution.due.change(|due| due.retry_at = None),
            Event::ExecutionSuspended { .. } => self.execution.suspend(at, now.steady),
            Event::ExecutionResumed { .. } => {
                self.execution.resume(at);
                self.await_grant(now.steady);
            }
            Event::ExecutionCompleted { output } => {
                self.execution.output = PayloadRow::of(output.as_ref(), revision);
                self.execution.failure = None;
                self.end(Status::Completed, at, None);
            }
            Event::ExecutionFailed { failure, output } => {
                self.execution.output = PayloadRow::of(output.as_ref(), revision);
                self.execution.failure = Some(Arc::clone(failure));
                self.end(Status::Failed, at, Some(Cancellation::TimedOut));
            }
            Event::ExecutionTerminated { reason, output, cancellation } => {
                self.execution.output = PayloadRow::of(output.as_ref(), revision);
                self.execution.termination_reason = Some(Arc::clone(reason));
                self.execution.failure = None;
                self.end(Status::Terminated, at, Some(*cancellation));
            }
            Event::ExecutionContinued { execution, input } => {
                let input = PayloadRow::of(input.as_ref(), revision);
                let suspended = self.execution.resumes_as.is_some();
                self.execution = Execution::begin(*execution, &self.execution.spec, input, at);
                self.execution.status = if suspended { Status::Suspended } else { Status::Running };
                self.execution.resumes_as = suspended.then_some(Status::Running);
            }
            Event::TurnCompleted { through, notes, began_at, trace, .. } => {
                let history_base = self.execution.history;
                let turns = self.turns.get_or_insert_with(|| Box::new(Turns::after(history_base)));
                turns.begun = true;
                turns.last_began_at = Some(*began_at);
                turns.trace = trace.clone().or_else(|| turns.trace.take());
                self.turn_held = None;
                self.inbox_after = *through;
                self.execution.history += notes.len() as u64;
                self.execution.turn_completed(at, now.steady);
            }
            Event::TaskScheduled(task) => {
                if let Some(turns) = &mut self.turns {
                    turns.schedule(revision, task.clone(), now);
                }
            }
            Event::TaskEnded { task, .. } => {
                self.inbox_last += 1;
                if let Some(turns) = &mut self.turns {
                    turns.task_ended(*task);
                }
            }
            Event::MessageSent(_) => {}
            Event::ExecutionRenewed { execution, spec, input, carried } => {
                let input = PayloadRow::of(input.as_ref(), revision);
                self.execution = self.execution.renewed(*execution, spec, input, at);
                self.turns = self.turns.as_deref().map(Turns::renewed).map(Box::new);
                // What is carried over comes first: it takes the numbers of what was read last.
                let carried = carried.len() as u64;
                match self.inbox_after.checked_sub(carried) {
                    Some(before) => self.inbox_after = before,
                    None => self.inbox_last += carried,
                }
            }
            Event::InstancePurged { forget_at } => {
                self.turns = None;
                self.purged = Some(Box::new(Purged { forget_at: *forget_at }));
                self.former_outputs = Rare::default();
                self.execution.forget();
                if forget_at.is_none() {
                    self.memory = Memory::default();
                }
                if Mutant::ForgetLeaseAtPurge.is_on() {
                    self.lease = None;
                }
            }
            Event::InstanceForgotten => {
                self.memory = Memory::default();
                self.purged = Some(Box::new(Purged { forget_at: None }));
            }
        }
        self.execution.history += u64::from(event.is_history() && self.turns.is_none());
    }

    /// A new execution takes the place of one that has ended; after a purge it begins a new life.
    fn begin(&mut self, execution: Execution, revision: Revision, now: Now) {
        if self.purged.take().is_some() && !Mutant::KeepLifeAtRebirth.is_on() {
            self.born = revision;
            self.sequence = 1;
        } else {
            let obsolete = self.obsolete_output().is_some();
            if let Some(output) = self.execution.output {
                self.former_outputs.change(|former| {
                    former.drain(..usize::from(obsolete));
                    former.push(output);
                });
            }
        }
        self.execution = execution;
        self.turns = None;
        self.turn_held = None;
        self.execution.schedule(now);
        self.await_grant(now.steady);
    }

    /// The output that is no longer kept once another execution begins.
    pub fn obsolete_output(&self) -> Option<PayloadRow> {
        let full = self.former_outputs.get().filter(|former| former.len() >= limits::FORMER_OUTPUTS_KEPT)?;
        full.first().filter(|_| self.execution.output.is_some()).copied()
    }

    /// Its start deadline runs from when it could be handed out.
    fn await_grant(&mut self, now: Steady) {
        if self.lease.is_none() {
            self.execution.await_grant(now);
        }
    }

    fn end(&mut self, status: Status, at: Timestamp, cancellation: Option<Cancellation>) {
        self.execution.ended(status, at);
        self.inbox_after = self.inbox_last;
        self.turn_held = None;
        if let Some(turns) = &mut self.turns {
            turns.ended();
        }
        if let Some(lease) = &mut self.lease {
            lease.cancelled = lease.cancelled.or(cancellation);
        }
    }

    /// Renews the lease, if it still stands. Soft state: nothing of it is durable.
    pub fn renew(&mut self, proof: Proof, now: Steady) -> Result<(), NotHeld> {
        if self.last_report.as_ref().is_some_and(|report| report.proof == proof) {
            return Err(NotHeld::Reported);
        }
        let lease = self.lease.as_mut().ok_or(NotHeld::Lost)?;
        lease.check(proof, now)?;
        lease.renew(now);
        Ok(())
    }

    /// A fresh owner has taken it over. Its lease counts anew: the worker could not renew it meanwhile.
    pub fn taken_over(&mut self, now: Now) {
        if let Some(lease) = &mut self.lease {
            lease.renew(now.steady);
        }
        self.execution.reschedule(now);
        if let Some(turns) = &mut self.turns {
            turns.reschedule(now);
        }
    }

    /// Whether a native worker could be granted it at once.
    pub fn is_grantable(&self) -> bool {
        self.awaits_worker()
            && self.turns.is_none()
            && self.turn_held.is_none()
            && self.execution.spec.worker_kind != WorkerKind::DurableTask
    }

    /// Whether a Durable Task worker could be given a turn of it at once.
    pub fn awaits_turn(&self) -> bool {
        let has_news = |turns: &Turns| !turns.begun || self.inbox_last > self.inbox_after;
        let is_in_turns = match &self.turns {
            Some(turns) => has_news(turns),
            // Which kind of worker runs it is fixed with the first grant or turn.
            None => self.execution.attempt == 0 && self.execution.spec.worker_kind != WorkerKind::Native,
        };
        is_in_turns && self.turn_held.is_none() && self.lease.is_none() && self.awaits_worker()
    }

    fn awaits_worker(&self) -> bool {
        let stands = |lease: &Lease| lease.cancelled.is_none() || !Mutant::SkipLeaseWait.is_on();
        let (execution, due) = (&self.execution, self.execution.due.value());
        self.is_there()
            && (matches!(execution.status, Status::Pending | Status::Running)
                || execution.status == Status::Suspended && Mutant::HandOutSuspended.is_on())
            && !self.lease.as_deref().is_some_and(stands)
            && due.retry_at.is_none()
            && (due.scheduled.is_none() || Mutant::HandOutScheduled.is_on())
    }

    pub fn is_suspended(&self) -> bool {
        self.execution.status == Status::Suspended
    }

    /// When time alone will change it next.
    pub fn next_due(&self) -> Option<Steady> {
        let lease_end = self.lease.as_ref().map(|lease| lease.expires_at);
        let due = Some(self.execution.due.value()).filter(|_| self.execution.status.is_live());
        let Due { scheduled, start_by, run_until, retry_at, .. } = due.unwrap_or_default();
        let waits = self.lease.is_none();
        let (retry_at, start_by) = (retry_at.filter(|_| waits), start_by.filter(|_| waits && self.turn_held.is_none()));
        let timer = due.and(self.turns.as_ref()).and_then(|turns| turns.next_timer());
        // What a purge left goes once its lease and its memory are over.
        let forget_at = self.purged.as_ref().filter(|_| self.lease.is_none()).and_then(|purged| purged.forget_at);
        [lease_end, run_until, retry_at, start_by, scheduled, timer, forget_at].into_iter().flatten().min()
    }

    /// What callers see of it.
    pub fn view(&self, key: &InstanceKey, now: Now) -> View {
        View {
            key: key.clone(),
            revision: self.revision,
            fencing_token: self.fencing_token,
            execution: self.execution.clone(),
            worker: self.lease.as_ref().map(|lease| lease.worker.clone()),
            lease_expires_at: self.lease.as_ref().map(|lease| now.shown(lease.expires_at)),
            queued_starts: self.queue.len(),
            queue_position: 0,
            purged: !self.is_there(),
        }
    }

    /// How it stood after its first transition, if no other has followed. What has changed since then callers don't see,
    /// but for the starts that wait behind it and a lease that has outlasted a former life.
    pub fn first_transition(&self, key: &InstanceKey, now: Now) -> Option<Transition> {
        let view = || View { revision: self.born, queued_starts: 0, ..self.view(key, now) };
        (self.is_there() && self.sequence == 1).then(|| Transition { sequence: 1, view: view() })
    }

    /// What callers see of one execution: the latest, or one that waits in the queue.
    pub fn view_of(&self, execution: ExecutionId, key: &InstanceKey, now: Now) -> Option<View> {
        if self.execution.id == execution {
            return Some(self.view(key, now));
        }
        let (position, start) = self.queue.find(execution)?;
        Some(View {
            key: key.clone(),
            revision: self.revision,
            fencing_token: self.fencing_token,
            execution: start.as_execution(),
            worker: None,
            lease_expires_at: None,
            queued_starts: self.queue.len() - position,
            queue_position: position,
            purged: false,
        })
    }
}

impl QueuedStart {
    /// The execution that it will be, as if it had begun to wait when it was queued.
    pub fn as_execution(&self) -> Execution {
        Execution::begin(self.execution, &self.spec, self.input, self.queued_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances are many, and each is kept in memory: what few of them have belongs into a box.
    #[test]
    fn an_idle_instance_is_small() {
        assert!(size_of::<Instance>() <= 256, "{} bytes", size_of::<Instance>());
    }
}
