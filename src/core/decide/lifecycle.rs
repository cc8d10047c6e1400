//! Holding an execution back, ending it from outside, and deleting what has ended.

use super::{Answer, Decision, Found, turn};
use crate::core::{
    command::{Payload, Purge, Resume, Suspend, Target, Terminate},
    event::{Event, LeaseEnd},
    ids::ExecutionId,
    lease::Cancellation,
    rejection::Rejection,
    time::Span,
};
use crate::mutant::Mutant;

/// Holds events and attempts back; a lease stands.
pub(super) fn suspend(found: Found<'_>, suspend: &Suspend) -> Result<Decision, Rejection> {
    let instance = found.live(suspend.expected_execution)?;
    let event = || Event::ExecutionSuspended { reason: suspend.reason.clone() };
    Ok(Decision::done((!instance.is_suspended()).then(event).into_iter().collect()))
}

pub(super) fn resume(found: Found<'_>, resume: &Resume) -> Result<Decision, Rejection> {
    let instance = found.live(resume.expected_execution)?;
    let event = || Event::ExecutionResumed { reason: resume.reason.clone() };
    Ok(Decision::done(instance.is_suspended().then(event).into_iter().collect()))
}

/// Ends the live execution at once; its lease, if any, stays until the worker has stopped. An execution that waits in
/// the queue never begins.
pub(super) fn terminate(found: Found<'_>, terminate: &Terminate) -> Result<Decision, Rejection> {
    let reason = terminate.reason.clone();
    let expected = match terminate.target {
        Target::Latest => None,
        Target::Expected(execution) => Some(execution),
        Target::Exactly(execution) => {
            let instance = found.present()?;
            if instance.queue.position(execution) > 0 {
                let withdrawn = vec![Event::StartWithdrawn { execution, reason }];
                return Ok(Decision { events: withdrawn, answer: Answer::Ended { execution } });
            }
            if instance.execution.id != execution {
                return Err(found.no_execution(execution));
            }
            None
        }
    };
    let execution = found.live(expected)?.execution.id;
    let (output, cancellation) = (terminate.output.clone(), Cancellation::Terminated);
    let mut events = vec![Event::ExecutionTerminated { reason, output: output.clone(), cancellation }];
    if terminate.recurse {
        events.extend(found.instance.into_iter().flat_map(|instance| turn::cascade(found, instance, output.clone())));
    }
    Ok(Decision { events, answer: Answer::Ended { execution } })
}

/// The end of an execution that its orchestrator, or another one, terminates.
pub(super) fn terminated(output: Option<Payload>) -> Event {
    Event::ExecutionTerminated { reason: "".into(), output, cancellation: Cancellation::Terminated }
}

/// Deletes an instance that has ended. Its lease stays until it is over, and its requests are remembered for their
/// time.
pub(super) fn purge(found: Found<'_>, purge: &Purge) -> Result<Decision, Rejection> {
    let instance = found.expected(purge.expected_execution)?;
    let execution = &instance.execution;
    let spares_live = !Mutant::SweepLive.is_on() || purge.ended_before.is_none();
    let ended_too_late = |limit| execution.completed_at.map_or(spares_live, |at| at >= limit);
    if execution.status.is_live() && spares_live || purge.ended_before.is_some_and(ended_too_late) {
        return Err(Rejection::StillLive(Box::new(instance.view(found.key, found.now))));
    }
    let newest = instance.memory.forgotten_at(purge.remember);
    let forget_at = newest.filter(|at| *at - found.now.steady > Span::ZERO && !Mutant::ForgetRequestsAtPurge.is_on());
    let mut events = vec![Event::InstancePurged { forget_at }];
    if Mutant::EndLeaseAtSweep.is_on() && purge.ended_before.is_some() && instance.lease.is_some() {
        events.insert(0, Event::LeaseEnded(LeaseEnd::Expired));
    }
    Ok(Decision { events, answer: Answer::Ended { execution: execution.id } })
}

impl Found<'_> {
    pub(super) fn no_execution(self, execution: ExecutionId) -> Rejection {
        Rejection::ExecutionNotFound { id: self.key.id().into(), execution }
    }
}
