//! Which rows each event writes.

use std::sync::Arc;

use crate::{
    core::{
        command::{Payload, Signal},
        event::Event,
        history::HistoryEvent,
        ids::{Arrival, ExecutionId, InstanceKey, Name, Revision},
        instance::Instance,
        limits,
        partitioning::PartitionId,
        status::{News, Status, Told, Transition},
        time::Now,
        turn::{Note, Task, TaskKind, TaskOutcome},
    },
    mutant::Mutant,
    store::{RowKey, Table, Write, record},
};

/// One row more than the transitions that are kept: it tells up to where a watcher that resumes must have come.
const TRANSITION_ROWS: u64 = limits::TRANSITIONS_KEPT + 1;

/// What the next execution of an instance takes over from the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    Input,
    CustomStatus,
}

/// The rows of one change of one instance, as they come together.
pub struct Journal<'a> {
    key: &'a InstanceKey,
    arrival: Arrival,
    now: Now,
    writes: Vec<Write>,
    news: Vec<News>,
    /// The function of the execution that makes way.
    left: Option<Name>,
}

impl<'a> Journal<'a> {
    pub fn open(key: &'a InstanceKey, arrival: Arrival, now: Now) -> Journal<'a> {
        Journal { key, arrival, now, writes: Vec::with_capacity(4), news: Vec::new(), left: None }
    }

    pub fn key(&self) -> &'a InstanceKey {
        self.key
    }

    /// Before the event is applied: the rows that hold what it brings and the rows that it makes obsolete.
    pub fn event(&mut self, before: Option<&Instance>, event: &Event, revision: Revision) {
        if event.is_transition()
            && let Some(first) = before.and_then(|instance| instance.first_transition(self.key, self.now))
        {
            self.put(Table::Transition, first.sequence, record::encode_transition(&first.view));
        }
        match event {
            Event::ExecutionStarted { input, .. } | Event::ExecutionContinued { input, .. } => {
                self.replace_execution(before, Kept::Nothing);
                self.payload(input.as_ref(), revision);
            }
            Event::ExecutionRestarted { .. } => self.replace_execution(before, Kept::Input),
            Event::ExecutionDequeued => {
                self.replace_execution(before, Kept::Nothing);
                if let Some(first) = before.and_then(|instance| instance.queue.first()) {
                    self.delete(Table::Queue, first.ticket.0);
                }
            }
            Event::StartQueued { input, .. } => self.payload(input.as_ref(), revision),
            Event::StartCoalesced { execution, input, .. } => {
                self.delete_queued_input(before, *execution);
                self.payload(input.as_ref(), revision);
            }
            Event::StartWithdrawn { execution, reason } => {
                self.delete_queued_input(before, *execution);
                self.withdrawn(before, *execution, reason, revision);
            }
            Event::ProgressReported { custom_status } => {
                if let Some(old) = before.and_then(|instance| instance.execution.custom_status) {
                    self.delete(Table::Payload, old.number());
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
            Event::ExecutionCompleted { output }
            | Event::ExecutionFailed { output, .. }
            | Event::ExecutionTerminated { output, .. } => {
                self.payload(output.as_ref(), revision);
                self.empty_inbox(before);
            }
            Event::TurnCompleted { through, notes, .. } => self.turn(before, *through, notes),
            Event::TaskScheduled(task) => self.put(Table::Task, revision.0, record::encode_task(task)),
            Event::TaskEnded { task, outcome } => self.task_ended(before, *task, outcome),
            Event::MessageSent(message) => {
                let (from, to) = (PartitionId::of(self.key), self.key.sibling(&message.to));
                let letter = record::Letter { from, to, message: message.clone() };
                self.put(Table::Outbox, revision.0, record::encode_letter(&letter));
            }
            Event::ExecutionRenewed { input, carried, .. } => {
                self.replace_execution(before, Kept::CustomStatus);
                self.payload(input.as_ref(), revision);
                self.carry_over(before, carried);
            }
            Event::InstancePurged { forget_at } => {
                for table in [Table::Transition, Table::Payload, Table::Event, Table::Task, Table::History] {
                    if Mutant::LeaveRowsAtPurge.is_on() && table == Table::History {
                        continue;
                    }
                    self.delete_through(table, Write::NUMBER_MAX);
                }
                if forget_at.is_none() {
                    self.delete_through(Table::Request, Write::NUMBER_MAX);
                }
                if let Some(instance) = before {
                    self.tell(Told::Purged(self.transition(instance)));
                }
            }
            Event::InstanceForgotten => self.delete_through(Table::Request, Write::NUMBER_MAX),
            Event::StartDue
            | Event::ExecutionSuspended { .. }
            | Event::ExecutionResumed { .. }
            | Event::RunGranted { .. }
            | Event::RunAccepted
            | Event::LeaseLengthened { .. }
            | Event::LeaseEnded(_)
            | Event::RetryScheduled { .. }
            | Event::RetryDue => {}
        }
    }

    /// After the event was applied: the transition that watchers see, and what is kept of it for later.
    pub fn applied(&mut self, event: &Event, after: &Instance) {
        if let Event::StartQueued { execution, .. } | Event::StartCoalesced { execution, .. } = event
            && let Some((_, start)) = after.queue.find(*execution)
        {
            self.put(Table::Queue, start.ticket.0, record::encode_queued(start));
        }
        if let Some(noted) = HistoryEvent::of(event, after, self.now) {
            let number = after.execution.history;
            self.put(Table::History, number, record::encode_history(&noted));
            if let Some(obsolete) = number.checked_sub(limits::HISTORY_KEPT).filter(|number| *number > 0) {
                self.delete_through(Table::History, obsolete);
            }
        }
        if event.is_transition() {
            let transition = self.transition(after);
            // The first gets its row when another follows: until then the record tells it.
            if after.sequence > 1 {
                self.put(Table::Transition, after.sequence, record::encode_transition(&transition.view));
            }
            if let Some(obsolete) = after.sequence.checked_sub(TRANSITION_ROWS).filter(|number| *number > 0) {
                self.delete_through(Table::Transition, obsolete);
            }
            self.tell(Told::Transition(transition));
        }
    }

    /// All rows, with the instance's record as it stands now, and what watchers are told.
    pub fn close(mut self, after: &Instance) -> (Vec<Write>, Vec<News>) {
        if Mutant::LoseRecord.is_on() && after.revision.0.is_multiple_of(7) {
            return (self.writes, self.news);
        }
        if after.is_forgotten() {
            self.writes.push(Write::Delete { table: Table::Record, key: self.row(0) });
        } else {
            self.put(Table::Record, 0, record::encode_instance(self.key, after));
        }
        (self.writes, self.news)
    }

    fn transition(&self, instance: &Instance) -> Transition {
        Transition { sequence: instance.sequence, view: instance.view(self.key, self.now) }
    }

    /// The rows of an execution that makes way for another one. Those of queued starts stay: they are others.
    fn replace_execution(&mut self, before: Option<&Instance>, kept: Kept) {
        let Some(instance) = before.filter(|instance| instance.is_there()) else { return };
        let execution = &instance.execution;
        self.left = Some(execution.spec.function.clone());
        let input = execution.input.filter(|_| kept != Kept::Input);
        let custom_status = execution.custom_status.filter(|_| kept != Kept::CustomStatus);
        if instance.turns.as_ref().is_some_and(|turns| turns.tasks().next().is_some()) {
            self.delete_through(Table::Task, Write::NUMBER_MAX);
        }
        // Its output stays a while, for whoever waited for it.
        let obsolete_output = instance.obsolete_output().filter(|_| kept != Kept::CustomStatus);
        for row in [input, custom_status, obsolete_output].into_iter().flatten() {
            self.delete(Table::Payload, row.number());
        }
        if execution.history > 0 {
            self.delete_through(Table::History, execution.history);
        }
    }

    /// The turn's part of the history takes the place of what was in the inbox. What was noted before it was known that
    /// the execution is run in turns makes way.
    fn turn(&mut self, before: Option<&Instance>, through: u64, notes: &[Note]) {
        let Some(instance) = before else { return };
        let history = instance.execution.history;
        if instance.turns.is_none() && history > 0 {
            self.delete_through(Table::History, history);
        }
        for (number, note) in (history + 1..).zip(notes) {
            self.put(Table::History, number, record::encode_note(note));
        }
        if through > instance.inbox_after {
            self.delete_through(Table::Event, through);
        }
    }

    fn task_ended(&mut self, before: Option<&Instance>, revision: Revision, outcome: &TaskOutcome) {
        let Some(instance) = before else { return };
        let Some(task) = instance.turns.as_ref().and_then(|turns| turns.task(revision)) else { return };
        let event = record::encode_outcome(instance.execution.id, task, outcome, self.now);
        self.put(Table::Event, instance.inbox_last + 1, event);
        match &task.kind {
            TaskKind::Child { instance, .. } => {
                let kind = TaskKind::Child { instance: instance.clone(), ended: true };
                self.put(Table::Task, revision.0, record::encode_task(&Task { id: task.id, kind }));
            }
            TaskKind::Activity { .. } | TaskKind::Timer { .. } => self.delete(Table::Task, revision.0),
        }
    }

    /// Events that the next execution is told first; see [`Instance::apply`] for their numbers.
    fn carry_over(&mut self, before: Option<&Instance>, carried: &[Signal]) {
        let Some(instance) = before else { return };
        let after = match instance.inbox_after.checked_sub(carried.len() as u64) {
            Some(after) => after,
            None => instance.inbox_last,
        };
        for (number, signal) in (after + 1..).zip(carried) {
            let bytes = record::encode_event(&signal.name, signal.input.as_ref(), self.now.wall);
            self.put(Table::Event, number, bytes);
        }
    }

    /// An execution that has ended waits for no task any more. Its sub-orchestrations are remembered.
    fn end_tasks(&mut self, before: Option<&Instance>) {
        let turns = before.and_then(|instance| instance.turns.as_deref());
        for (revision, task) in turns.into_iter().flat_map(|turns| turns.tasks()) {
            if !matches!(task.kind, TaskKind::Child { .. }) {
                self.delete(Table::Task, revision.0);
            }
        }
    }

    fn delete_queued_input(&mut self, before: Option<&Instance>, execution: ExecutionId) {
        let start = before.and_then(|instance| instance.queue.find(execution));
        if let Some(input) = start.and_then(|(_, start)| start.input) {
            self.delete(Table::Payload, input.number());
        }
    }

    fn withdrawn(&mut self, before: Option<&Instance>, execution: ExecutionId, reason: &Arc<str>, revision: Revision) {
        let Some(instance) = before else { return };
        if let Some((_, start)) = instance.queue.find(execution) {
            self.delete(Table::Queue, start.ticket.0);
        }
        if let Some(mut view) = instance.view_of(execution, self.key, self.now) {
            view.revision = revision;
            view.queue_position = 0;
            let at = view.execution.last_updated_at.advance_to(self.now.wall);
            view.execution.status = Status::Terminated;
            view.execution.termination_reason = Some(Arc::clone(reason));
            view.execution.last_updated_at = at;
            view.execution.completed_at = Some(at);
            self.tell(Told::Withdrawn(view));
        }
    }

    fn payload(&mut self, payload: Option<&Payload>, revision: Revision) {
        if let Some(payload) = payload {
            self.put(Table::Payload, revision.0, payload.as_bytes().to_vec());
        }
    }

    fn empty_inbox(&mut self, before: Option<&Instance>) {
        self.end_tasks(before);
        if let Some(instance) = before.filter(|instance| instance.inbox_last > instance.inbox_after) {
            self.delete_through(Table::Event, instance.inbox_last);
        }
    }

    fn tell(&mut self, told: Told) {
        let left = self.left.take().filter(|left| match &told {
            Told::Transition(transition) => *left != transition.view.execution.spec.function,
            Told::Withdrawn(_) | Told::Purged(_) => false,
        });
        self.news.push(News { arrival: self.arrival, told, left });
    }

    fn put(&mut self, table: Table, number: u64, bytes: Vec<u8>) {
        self.writes.push(Write::Put { table, key: self.row(number), bytes });
    }

    fn delete(&mut self, table: Table, number: u64) {
        self.writes.push(Write::Delete { table, key: self.row(number) });
    }

    fn delete_through(&mut self, table: Table, number: u64) {
        self.writes.push(Write::DeleteThrough { table, key: self.row(number) });
    }

    fn row(&self, number: u64) -> RowKey {
        RowKey { arrival: self.arrival, number }
    }
}
