//! Messages to a live instance.

use super::{Answer, Decision, Found};
use crate::core::{command::RaiseEvent, event::Event, limits, rejection::Rejection};

/// Puts an external event into the inbox.
pub(super) fn raise_event(found: Found<'_>, raise: &RaiseEvent) -> Result<Decision, Rejection> {
    let instance = found.live(raise.expected_execution)?;
    if instance.inbox_last - instance.inbox_after >= limits::INBOX_EVENTS_MAX {
        return Err(Rejection::InboxFull { id: found.key.id().into() });
    }
    let answer = Answer::EventRaised { execution: instance.execution.id, sequence: instance.inbox_last + 1 };
    let raised = Event::EventRaised { name: raise.name.clone(), input: raise.input.clone() };
    Ok(Decision { events: vec![raised], answer })
}
