//! Which rows each event writes.

use crate::{
    core::{
        command::Payload,
        event::Event,
        ids::{Arrival, InstanceKey, Revision},
        instance::Instance,
        limits,
        status::Transition,
        time::Now,
    },
    mutant::Mutant,
    store::{RowKey, Table, Write, record},
};

/// One row more than the transitions that are kept: it tells up to where a watcher that resumes must have come.
const TRANSITION_ROWS: u64 = limits::TRANSITIONS_KEPT + 1;

/// The rows of one change of one instance, as they come together.
pub struct Journal<'a> {
    key: &'a InstanceKey,
    arrival: Arrival,
    now: Now,
    writes: Vec<Write>,
    transitions: Vec<Transition>,
}

impl<'a> Journal<'a> {
    pub fn open(key: &'a InstanceKey, arrival: Arrival, now: Now) -> Journal<'a> {
        Journal { key, arrival, now, writes: Vec::with_capacity(4), transitions: Vec::new() }
    }

    pub fn key(&self) -> &'a InstanceKey {
        self.key
    }

    /// Before the event is applied: the rows that hold what it brings and the rows that it makes obsolete.
    pub fn event(&mut self, before: Option<&Instance>, event: &Event, revision: Revision) {
        match event {
            Event::ExecutionStarted { input, .. } | Event::ExecutionContinued { input, .. } => {
                if before.is_some() {
                    self.delete_through(Table::Payload, revision.0.saturating_sub(1));
                }
                self.payload(input.as_ref(), revision);
            }
            Event::ProgressReported { custom_status } => {
                if let Some(old) = before.and_then(|instance| instance.execution.custom_status) {
                    self.writes.push(Write::Delete { table: Table::Payload, key: self.row(old.0) });
                }
                self.payload(custom_status.as_ref(), revision);
            }
            Event::EventRaised { name, input } => {
                let number = before.map_or(0, |instance| instance.inbox_last) + 1;
                let bytes = record::encode_event(name, input.as_ref(), self.now.wall);
                self.put(Table::Event, number, bytes);
            }
            Event::EventsAcknowledged { through } => self.delete_through(Table::Event, *through),
            Event::RequestRemembered(remembered) => {
                self.put(Table::Request, revision.0, record::encode_request(remembered));
            }
            Event::RequestsForgotten { through } => self.delete_through(Table::Request, through.0),
            Event::ExecutionCompleted { output } => {
                self.payload(output.as_ref(), revision);
                self.empty_inbox(before);
            }
            Event::ExecutionFailed { .. } | Event::ExecutionTerminated { .. } => self.empty_inbox(before),
            Event::RunGranted { .. }
            | Event::RunAccepted
            | Event::LeaseLengthened { .. }
            | Event::LeaseEnded(_)
            | Event::RetryScheduled { .. }
            | Event::RetryDue => {}
        }
    }

    /// After the event was applied: the transition that watchers see.
    pub fn applied(&mut self, event: &Event, after: &Instance) {
        if !event.is_transition() {
            return;
        }
        let view = after.view(self.key, self.now);
        self.put(Table::Transition, after.sequence, record::encode_transition(&view));
        if let Some(obsolete) = after.sequence.checked_sub(TRANSITION_ROWS).filter(|number| *number > 0) {
            self.delete_through(Table::Transition, obsolete);
        }
        self.transitions.push(Transition { sequence: after.sequence, view });
    }

    /// All rows, with the instance's record as it stands now.
    pub fn close(mut self, after: &Instance) -> (Vec<Write>, Vec<Transition>) {
        if Mutant::LoseRecord.is_on() && after.revision.0.is_multiple_of(7) {
            return (self.writes, self.transitions);
        }
        self.put(Table::Record, 0, record::encode_instance(self.key, after));
        (self.writes, self.transitions)
    }

    fn payload(&mut self, payload: Option<&Payload>, revision: Revision) {
        if let Some(payload) = payload {
            self.put(Table::Payload, revision.0, payload.as_bytes().to_vec());
        }
    }

    fn empty_inbox(&mut self, before: Option<&Instance>) {
        if let Some(instance) = before.filter(|instance| instance.inbox_last > instance.inbox_after) {
            self.delete_through(Table::Event, instance.inbox_last);
        }
    }

    fn put(&mut self, table: Table, number: u64, bytes: Vec<u8>) {
        self.writes.push(Write::Put { table, key: self.row(number), bytes });
    }

    fn delete_through(&mut self, table: Table, number: u64) {
        self.writes.push(Write::DeleteThrough { table, key: self.row(number) });
    }

    fn row(&self, number: u64) -> RowKey {
        RowKey { arrival: self.arrival, number }
    }
}
