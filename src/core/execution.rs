//! An execution, and what becomes of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ids::{ExecutionId, PayloadRow},
    rare::Rare,
    status::{Execution, Spec, Status},
    time::{Now, Steady, Timestamp},
};

impl Execution {
    /// As it will be, when it has begun.
    pub fn planned(id: ExecutionId, spec: &Arc<Spec>) -> Execution {
        Execution::begin(id, spec, None, Timestamp::from_micros(0))
    }

    pub(super) fn begin(id: ExecutionId, spec: &Arc<Spec>, input: Option<PayloadRow>, at: Timestamp) -> Execution {
        Execution {
            id,
            spec: Arc::clone(spec),
            status: Status::Pending,
            created_at: at,
            started_at: None,
            last_updated_at: at,
            completed_at: None,
            input,
            output: None,
            custom_status: None,
            failure: None,
            termination_reason: None,
            attempt: 0,
            accepted_attempts: 0,
            resumes_as: None,
            due: Rare::default(),
            history: 0,
        }
    }

    /// It waits for the time that it was scheduled for, if that lies ahead.
    pub(super) fn schedule(&mut self, now: Now) {
        let scheduled = self.spec.start_at.map(|at| now.moment_of(at)).filter(|moment| *moment > now.steady);
        if scheduled.is_some() {
            self.due.change(|due| due.scheduled = scheduled);
        }
    }

    /// Where the steady clock begins anew, the time that it was scheduled for is another moment.
    pub(super) fn reschedule(&mut self, now: Now) {
        let moment = self.spec.start_at.map(|at| now.moment_of(at));
        if self.due.value().scheduled.is_some() {
            self.due.change(|due| due.scheduled = moment);
        }
    }

    /// If it could be handed out from now on, its start deadline runs.
    pub(super) fn await_grant(&mut self, now: Steady) {
        let due = self.due.value();
        let left = due.start_left.or(self.spec.start_deadline);
        if let (Status::Pending, None, Some(left)) = (self.status, due.scheduled, left) {
            self.due.change(|due| (due.start_by, due.start_left) = (Some(now + left), None));
        }
    }

    /// It stands still; so does its start deadline.
    pub(super) fn suspend(&mut self, at: Timestamp, now: Steady) {
        self.resumes_as = Some(self.status);
        self.status = Status::Suspended;
        self.due.change(|due| due.start_left = due.start_by.take().map(|by| by - now));
        self.last_updated_at = at;
    }

    /// What a purge leaves: which execution it was, and when it last changed.
    pub(super) fn forget(&mut self) {
        let Spec { function, worker_kind, retry, .. } = &*self.spec;
        self.spec = Arc::new(Spec {
            function: function.clone(),
            version: None,
            tags: BTreeMap::new(),
            worker_kind: *worker_kind,
            retry: *retry,
            start_deadline: None,
            run_timeout: None,
            start_at: None,
            parent: None,
            trace: None,
        });
        (self.input, self.output, self.custom_status) = (None, None, None);
        self.failure = None;
        self.termination_reason = self.termination_reason.take().map(|_| "".into());
    }

    pub(super) fn resume(&mut self, at: Timestamp) {
        self.status = self.resumes_as.take().unwrap_or(self.status);
        self.last_updated_at = at;
    }

    pub(super) fn granted(&mut self, at: Timestamp, now: Steady) {
        self.status = Status::Running;
        self.started_at.get_or_insert(at);
        self.last_updated_at = at;
        self.attempt = self.accepted_attempts + 1;
        self.begins_to_run(now);
    }

    /// Its start deadline is met, and its time to run begins, unless it has.
    fn begins_to_run(&mut self, now: Steady) {
        let timeout = self.spec.run_timeout;
        self.due.change(|due| {
            due.start_by = None;
            due.run_until = due.run_until.or_else(|| timeout.map(|timeout| now + timeout));
        });
    }

    /// A turn is over: it runs, if it did not.
    pub(super) fn turn_completed(&mut self, at: Timestamp, now: Steady) {
        match self.status {
            Status::Pending => self.status = Status::Running,
            Status::Suspended => self.resumes_as = Some(Status::Running),
            Status::Running | Status::Completed | Status::Failed | Status::Terminated => {}
        }
        self.started_at.get_or_insert(at);
        self.last_updated_at = at;
        self.begins_to_run(now);
    }

    /// What the orchestrator goes on as: callers see the same instance run on.
    pub(super) fn renewed(
        &self,
        id: ExecutionId,
        spec: &Arc<Spec>,
        input: Option<PayloadRow>,
        at: Timestamp,
    ) -> Execution {
        Execution {
            status: self.status,
            resumes_as: self.resumes_as,
            created_at: self.created_at,
            started_at: self.started_at,
            custom_status: self.custom_status,
            ..Execution::begin(id, spec, input, at)
        }
    }

    pub(super) fn ended(&mut self, status: Status, at: Timestamp) {
        self.status = status;
        self.completed_at = Some(at);
        self.last_updated_at = at;
        self.resumes_as = None;
        self.due = Rare::default();
    }
}
