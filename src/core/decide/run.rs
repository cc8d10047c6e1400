//! Runs: who is granted one, and what its worker reports.

use std::sync::Arc;

use super::{Decision, Found};
use crate::core::{
    command::{Grant, Report, ReportBody},
    event::{Event, LeaseEnd},
    instance::Instance,
    lease::{FinalReport, NotHeld, Proof},
    limits,
    rejection::Rejection,
    status::Failure,
    time::Span,
};

/// Grants the run to a worker, unless the offer was overtaken.
pub(super) fn grant(found: Found<'_>, grant: &Grant) -> Result<Decision, Rejection> {
    found
        .instance
        .filter(|instance| instance.is_grantable() && instance.execution.id == grant.execution)
        .ok_or(Rejection::NotGrantable)?;
    Ok(Decision::done(vec![Event::RunGranted { claim: grant.claim, worker: grant.worker.clone(), ttl: grant.ttl }]))
}

/// Takes a report of the worker that holds the lease.
pub(super) fn report(found: Found<'_>, report: &Report) -> Result<Decision, Rejection> {
    let stale = || Rejection::StaleFencingToken { presented: report.proof.token };
    let instance = found.instance.ok_or_else(stale)?;
    let receipt = report.body.final_digest().map(|digest| FinalReport { proof: report.proof, digest });
    if receipt.is_some() && receipt.as_ref() == instance.last_report.as_deref() {
        return Ok(Decision::done(Vec::new()));
    }
    let lease = instance.lease.as_ref().ok_or_else(stale)?;
    match lease.check(report.proof, found.now.steady) {
        Ok(()) => {
            // Whoever reports has taken the run on: the attempt counts, with or without an Accept.
            let unaccepted = !lease.accepted && !matches!(report.body, ReportBody::Accept | ReportBody::Stopped);
            let mut events: Vec<Event> = unaccepted.then_some(Event::RunAccepted).into_iter().collect();
            events.extend(accept(found, instance, &report.body, receipt));
            Ok(Decision::done(events))
        }
        Err(NotHeld::Cancelled(_)) if matches!(report.body, ReportBody::Stopped) => Ok(Decision::done(ended(receipt))),
        Err(NotHeld::Cancelled(why)) => Err(Rejection::Cancelled(why)),
        Err(NotHeld::Lost | NotHeld::Reported) => Err(stale()),
    }
}

fn accept(found: Found<'_>, instance: &Instance, body: &ReportBody, receipt: Option<FinalReport>) -> Vec<Event> {
    let mut events = ended(receipt);
    match body {
        ReportBody::Accept => events.push(Event::RunAccepted),
        ReportBody::Progress { custom_status: None } if instance.execution.custom_status.is_none() => {}
        ReportBody::Progress { custom_status } => {
            events.push(Event::ProgressReported { custom_status: custom_status.clone() });
        }
        ReportBody::EventsAcked { through } => {
            let through = (*through).min(instance.inbox_last);
            events.extend((through > instance.inbox_after).then_some(Event::EventsAcknowledged { through }));
        }
        ReportBody::Completed { output } => events.push(Event::ExecutionCompleted { output: output.clone() }),
        ReportBody::ContinueAsNew { input, execution } => {
            events.push(Event::ExecutionContinued { execution: *execution, input: input.clone() });
        }
        ReportBody::Failed { failure } => events.push(next_attempt_or_failed(found, instance, failure.clone())),
        ReportBody::Stopped => events.push(after_stop(found, instance, "gave the run back before it had ended")),
    }
    events
}

/// The end of the lease, where the report is final.
fn ended(receipt: Option<FinalReport>) -> Vec<Event> {
    receipt.map(|receipt| Event::LeaseEnded(LeaseEnd::Reported(receipt))).into_iter().collect()
}

/// Ends a lease that its worker let run out.
pub(super) fn lose(found: Found<'_>, instance: &Instance) -> Vec<Event> {
    let lost = instance.lease.as_ref().filter(|lease| lease.cancelled.is_none() && lease.accepted);
    let mut events = vec![Event::LeaseEnded(LeaseEnd::Expired)];
    events.extend(lost.map(|_| after_stop(found, instance, "let its lease run out")));
    events
}

/// What follows a run that has stopped without a result.
fn after_stop(found: Found<'_>, instance: &Instance, how: &str) -> Event {
    match &instance.lease {
        Some(lease) if lease.accepted => {
            let message = format!("worker '{}' {how} (attempt {})", lease.worker, instance.execution.attempt);
            let lost = Failure { non_retriable: false, ..Failure::declared("WorkerLost", message) };
            next_attempt_or_failed(found, instance, lost)
        }
        _ => Event::RetryScheduled { failure: None, at: found.now.steady + limits::DECLINED_BACKOFF },
    }
}

fn next_attempt_or_failed(found: Found<'_>, instance: &Instance, failure: Failure) -> Event {
    let execution = &instance.execution;
    let next = execution.spec.retry.next_attempt(execution.attempt, found.now.steady);
    let retriable = next.filter(|_| !failure.non_retriable);
    let failure = Arc::new(failure);
    match retriable {
        Some(at) => Event::RetryScheduled { failure: Some(failure), at },
        None => Event::ExecutionFailed { failure, output: None },
    }
}

/// Ends the lease of a run that never left the server.
pub(super) fn take_back(found: Found<'_>, proof: Proof) -> Result<Decision, Rejection> {
    found
        .instance
        .and_then(|instance| instance.lease.as_ref())
        .filter(|lease| lease.proof() == proof && !lease.accepted)
        .ok_or(Rejection::StaleFencingToken { presented: proof.token })?;
    Ok(Decision::done(vec![Event::LeaseEnded(LeaseEnd::TakenBack)]))
}

/// Makes the lease longer, where it is shorter and could be renewed.
pub(super) fn lengthen(found: Found<'_>, ttl: Span) -> Decision {
    let lease = found.instance.and_then(|instance| instance.lease.as_ref());
    let shorter = lease.filter(|lease| lease.ttl < ttl && lease.check(lease.proof(), found.now.steady).is_ok());
    Decision::done(shorter.map(|_| Event::LeaseLengthened { ttl }).into_iter().collect())
}
