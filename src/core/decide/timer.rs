//! What time alone does.

use std::sync::Arc;

use super::{Decision, Found, run, turn};
use crate::core::{
    event::Event,
    instance::Instance,
    status::{Due, Failure, Status},
};

/// Does the first thing that is due; the next one, if any, is due at once and gets a tick of its own.
pub(super) fn tick(found: Found<'_>) -> Decision {
    Decision::done(found.instance.map_or_else(Vec::new, |instance| due(found, instance)))
}

fn due(found: Found<'_>, instance: &Instance) -> Vec<Event> {
    let execution = &instance.execution;
    let now = found.now.steady;
    let has_come = |moment| Option::is_some_and(moment, |moment| now >= moment);
    if instance.lease.as_ref().is_some_and(|lease| lease.has_expired(now)) {
        return run::lose(found, instance);
    }
    if let Some(purged) = &instance.purged {
        let is_over = instance.lease.is_none() && has_come(purged.forget_at);
        return is_over.then_some(Event::InstanceForgotten).into_iter().collect();
    }
    if !execution.status.is_live() {
        return Vec::new();
    }
    let Due { scheduled, start_by, run_until, retry_at, .. } = execution.due.value();
    if has_come(run_until) {
        return failed("RunTimeoutExceeded", "the execution ran longer than its run_timeout");
    }
    if has_come(scheduled) {
        return vec![Event::StartDue];
    }
    let fired = turn::fired(instance, now);
    if !fired.is_empty() {
        return fired;
    }
    if instance.lease.is_some() {
        return Vec::new();
    }
    if execution.status == Status::Pending && instance.turn_held.is_none() && has_come(start_by) {
        return failed("StartDeadlineExceeded", "no worker took the execution within its start_deadline");
    }
    if has_come(retry_at) {
        return vec![Event::RetryDue];
    }
    Vec::new()
}

fn failed(error_type: &str, message: &str) -> Vec<Event> {
    let failure = Arc::new(Failure::declared(error_type, message.into()));
    vec![Event::ExecutionFailed { failure, output: None }]
}
