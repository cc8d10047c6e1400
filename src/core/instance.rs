//! An instance, and how each event changes it.

use std::sync::Arc;

use super::{
    event::{Event, LeaseEnd},
    ids::{Arrival, ExecutionId, FencingToken, InstanceKey, Revision},
    lease::{Cancellation, FinalReport, Lease, NotHeld, Proof},
    request::Memory,
    status::{Execution, Spec, Status, View},
    time::{Now, Steady, Timestamp},
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
    pub lease: Option<Lease>,
    pub last_report: Option<FinalReport>,
    /// The events that are not acknowledged have the numbers `inbox_after + 1 ..= inbox_last`.
    pub inbox_after: u64,
    pub inbox_last: u64,
    pub memory: Memory,
}

impl Instance {
    /// The instance that its first event makes.
    pub fn create(
        arrival: Arrival,
        execution: ExecutionId,
        spec: &Arc<Spec>,
        has_input: bool,
        revision: Revision,
        now: Now,
    ) -> Instance {
        let mut execution = Execution::begin(execution, spec, has_input, revision, now.wall);
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
        }
    }

    /// Changes the instance by one event.
    pub fn apply(&mut self, event: &Event, revision: Revision, now: Now) {
        let at = self.execution.last_updated_at.advance_to(now.wall);
        self.revision = revision;
        self.sequence += u64::from(event.is_transition());
        self.sequence += u64::from(Mutant::SkipSequence.is_on() && matches!(event, Event::ExecutionContinued { .. }));
        match event {
            Event::ExecutionStarted { execution, spec, input } => {
                self.execution = Execution::begin(*execution, spec, input.is_some(), revision, at);
                if self.lease.is_none() {
                    self.execution.await_grant(now.steady);
                }
            }
            Event::RequestRemembered(remembered) => self.memory.remember(revision, remembered.clone()),
            Event::RequestsForgotten { through } => self.memory.forget(*through),
            Event::RunGranted { claim, worker, ttl } => {
                let is_new = self.fencing_token == Revision(0) || !Mutant::ReuseToken.is_on();
                self.fencing_token = if is_new { revision } else { self.fencing_token };
                self.lease = Some(Lease {
                    token: self.fencing_token,
                    claim: *claim,
                    worker: worker.clone(),
                    execution: self.execution.id,
                    ttl: *ttl,
                    accepted: false,
                    cancelled: None,
                    expires_at: now.steady + *ttl,
                });
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
                self.execution.custom_status = custom_status.as_ref().map(|_| revision);
                self.execution.last_updated_at = at;
            }
            Event::EventRaised { .. } => self.inbox_last += 1,
            Event::EventsAcknowledged { through } => self.inbox_after = *through,
            Event::LeaseEnded(end) => {
                self.lease = None;
                if let (LeaseEnd::Reported(report), false) = (end, Mutant::UnrememberReport.is_on()) {
                    self.last_report = Some(*report);
                }
                if self.execution.status == Status::Pending {
                    self.execution.await_grant(now.steady);
                }
            }
            Event::RetryScheduled { failure, at: due } => {
                self.execution.retry_at = Some(*due);
                self.execution.failure = failure.clone().or_else(|| self.execution.failure.take());
                self.execution.last_updated_at = at;
            }
            Event::RetryDue => self.execution.retry_at = None,
            Event::ExecutionCompleted { output } => {
                self.execution.output = output.as_ref().map(|_| revision);
                self.execution.failure = None;
                self.end(Status::Completed, at, None);
            }
            Event::ExecutionFailed { failure } => {
                self.execution.failure = Some(Arc::clone(failure));
                self.end(Status::Failed, at, Some(Cancellation::TimedOut));
            }
            Event::ExecutionTerminated { reason, cancellation } => {
                self.execution.termination_reason = Some(Arc::clone(reason));
                self.execution.failure = None;
                self.end(Status::Terminated, at, Some(*cancellation));
            }
            Event::ExecutionContinued { execution, input } => {
                let spec = Arc::clone(&self.execution.spec);
                self.execution = Execution::begin(*execution, &spec, input.is_some(), revision, at);
                self.execution.status = Status::Running;
            }
        }
    }

    fn end(&mut self, status: Status, at: Timestamp, cancellation: Option<Cancellation>) {
        self.execution.ended(status, at);
        self.inbox_after = self.inbox_last;
        if let Some(lease) = &mut self.lease {
            lease.cancelled = lease.cancelled.or(cancellation);
        }
    }

    /// Renews the lease, if it still stands. Soft state: nothing of it is durable.
    pub fn renew(&mut self, proof: Proof, now: Steady) -> Result<(), NotHeld> {
        if self.last_report.is_some_and(|report| report.proof == proof) {
            return Err(NotHeld::Reported);
        }
        let lease = self.lease.as_mut().ok_or(NotHeld::Lost)?;
        lease.check(proof, now)?;
        lease.renew(now);
        Ok(())
    }

    /// Whether a worker could be granted it at once.
    pub fn is_grantable(&self) -> bool {
        let stands = |lease: &Lease| lease.cancelled.is_none() || !Mutant::SkipLeaseWait.is_on();
        self.execution.status.is_live() && !self.lease.as_ref().is_some_and(stands) && self.execution.retry_at.is_none()
    }

    /// When time alone will change it next.
    pub fn next_due(&self) -> Option<Steady> {
        let lease_end = self.lease.as_ref().map(|lease| lease.expires_at);
        let execution = Some(&self.execution).filter(|execution| execution.status.is_live());
        let run_until = execution.and_then(|execution| execution.run_until);
        let waiting = execution.filter(|_| self.lease.is_none());
        let retry_at = waiting.and_then(|execution| execution.retry_at);
        let start_by = waiting.and_then(|execution| execution.start_by);
        [lease_end, run_until, retry_at, start_by].into_iter().flatten().min()
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
        }
    }
}

impl Execution {
    fn begin(id: ExecutionId, spec: &Arc<Spec>, has_input: bool, revision: Revision, at: Timestamp) -> Execution {
        Execution {
            id,
            spec: Arc::clone(spec),
            status: Status::Pending,
            created_at: at,
            started_at: None,
            last_updated_at: at,
            completed_at: None,
            input: has_input.then_some(revision),
            output: None,
            custom_status: None,
            failure: None,
            termination_reason: None,
            attempt: 0,
            accepted_attempts: 0,
            start_by: None,
            run_until: None,
            retry_at: None,
        }
    }

    /// From now on it could be handed out: its start deadline runs.
    fn await_grant(&mut self, now: Steady) {
        self.start_by = self.spec.start_deadline.map(|deadline| now + deadline);
    }

    fn granted(&mut self, at: Timestamp, now: Steady) {
        self.status = Status::Running;
        self.started_at.get_or_insert(at);
        self.last_updated_at = at;
        self.attempt = self.accepted_attempts + 1;
        self.start_by = None;
        self.run_until = self.run_until.or_else(|| self.spec.run_timeout.map(|timeout| now + timeout));
    }

    fn ended(&mut self, status: Status, at: Timestamp) {
        self.status = status;
        self.completed_at = Some(at);
        self.last_updated_at = at;
        self.start_by = None;
        self.run_until = None;
        self.retry_at = None;
    }
}
