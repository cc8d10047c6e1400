//! Messages to a live instance.

use super::{Answer, Decision, Found};
use crate::core::{
    command::{RaiseEvent, Signal},
    event::Event,
    instance::Instance,
    limits,
    rejection::Rejection,
};

/// Puts an external event into the inbox.
pub(super) fn raise_event(found: Found<'_>, raise: &RaiseEvent) -> Result<Decision, Rejection> {
    let instance = found.live(raise.expected_execution)?;
    let answer = Answer::EventRaised { execution: instance.execution.id, sequence: instance.inbox_last + 1 };
    Ok(Decision { events: vec![raised(found, instance, &raise.signal)?], answer })
}

/// The event in the inbox of a live instance, if it has room.
pub(super) fn raised(found: Found<'_>, instance: &Instance, signal: &Signal) -> Result<Event, Rejection> {
    if instance.inbox_last - instance.inbox_after >= limits::INBOX_EVENTS_MAX {
        return Err(Rejection::InboxFull { id: found.key.id().into() });
    }
    Ok(Event::EventRaised { name: signal.name.clone(), input: signal.input.clone() })
}
