//! Ending an execution from outside.

use super::{Decision, Found};
use crate::core::{command::Terminate, event::Event, lease::Cancellation, rejection::Rejection};

/// Ends the live execution at once; its lease, if any, stays until the worker has stopped.
pub(super) fn terminate(found: Found<'_>, terminate: &Terminate) -> Result<Decision, Rejection> {
    found.live(terminate.expected_execution)?;
    let reason = terminate.reason.clone();
    Ok(Decision::done(vec![Event::ExecutionTerminated { reason, cancellation: Cancellation::Terminated }]))
}
