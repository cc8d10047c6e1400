//! A partition: its instances, and the critical section in which a command becomes a numbered, queued change.
//!
//! There is no `async` in this file: what happens under an entry's lock can neither wait nor fail.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{committer::CommitQueue, journal::Journal};
use crate::{
    core::{
        command::Command,
        decide::{Answer, Decision, Found, decide},
        effect::{Effect, Outlook, effects},
        event::Event,
        ids::{Arrival, CompletionToken, ExecutionId, InstanceKey, PayloadRow, Revision},
        instance::Instance,
        lease::{NotHeld, Proof},
        partitioning::PartitionId,
        rejection::Rejection,
        status::{Execution, News, Status, View},
        time::Now,
        turn::{Message, Turns},
    },
    metrics::Population,
    mutant::Mutant,
    store::{Batch, Claim, RowKey, Table, Write, record},
};

/// A partition has few instances under one lock at a time; 128 partitions have plenty of shards together.
const SHARDS: usize = 4;

/// The instances of one partition and the changes of theirs that wait for the committer.
pub struct Partition {
    pub id: PartitionId,
    /// See [`Claim::restored`].
    pub restored: Revision,
    instances: DashMap<InstanceKey, Box<Instance>, RandomState>,
    log: Mutex<Log>,
    durable: watch::Sender<Durable>,
    arrivals: Arc<AtomicU64>,
    queue: Arc<CommitQueue>,
}

/// Numbers the changes and keeps those that are not committed yet.
struct Log {
    epoch: u64,
    sequence: u64,
    revision: Revision,
    changes: Vec<Change>,
    /// Of the instances as they are in memory.
    population: Population,
    /// Up to where the messages of other partitions have arrived.
    marks: HashMap<PartitionId, Revision>,
    /// Numbered, but not queued: only in a mutant.
    late: Option<Change>,
}

/// What one command changed, on its way to the disk and then to whom it concerns.
pub struct Change {
    pub key: InstanceKey,
    pub effects: Vec<Effect>,
    /// The message that caused it: its sender may forget it.
    pub receipt: Option<Receipt>,
    writes: Vec<Write>,
    /// Given back once the change is carried out.
    _place: Option<Place>,
}

/// What comes with a command.
struct With {
    now: Now,
    place: Option<Place>,
    /// The message that the command is.
    receipt: Option<Receipt>,
}

/// A place in the committer's queue.
pub type Place = OwnedSemaphorePermit;

/// How far a partition is durable, and whether it will get any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub revision: Revision,
    pub fallen: bool,
}

/// What became of a command. Nobody may hear of it before the partition is durable up to `speaks_of`.
#[derive(Debug)]
pub struct Verdict {
    pub result: Result<(Answer, View), Rejection>,
    pub speaks_of: Revision,
}

/// A turn that a worker is given, as the instance stood when it was. Not to be told before the partition is durable up
/// to `speaks_of`.
pub struct TurnClaim {
    pub arrival: Arrival,
    pub execution: Execution,
    pub inbox_after: u64,
    pub inbox_last: u64,
    /// Without its tasks. Nothing before the first turn of an instance.
    pub turns: Option<Turns>,
    pub speaks_of: Revision,
}

/// A message on its way from another partition: where its row lies there.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub from: PartitionId,
    pub arrival: Arrival,
    pub number: Revision,
}

/// An instance as it stands, not before the partition is durable up to `speaks_of`.
pub struct Snapshot<T> {
    pub found: T,
    pub speaks_of: Revision,
}

impl Partition {
    pub fn new(claim: Claim, arrivals: Arc<AtomicU64>, queue: Arc<CommitQueue>) -> Partition {
        let (changes, late) = (Vec::new(), None);
        let back = u64::from(Mutant::StepBackAtRecovery.is_on());
        let revision = Revision(claim.revision.0.saturating_sub(back));
        let log = Log {
            epoch: claim.epoch,
            sequence: claim.sequence,
            revision,
            changes,
            population: Population::default(),
            marks: HashMap::new(),
            late,
        };
        Partition {
            id: claim.partition,
            restored: claim.restored,
            instances: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            log: Mutex::new(log),
            durable: watch::Sender::new(Durable { revision: claim.revision, fallen: false }),
            arrivals,
            queue,
        }
    }

    /// Puts an instance in that the store had.
    pub fn restore(&self, key: InstanceKey, instance: Instance) {
        self.log.lock().population.moved(None, standing(&instance));
        self.instances.insert(key, Box::new(instance));
    }

    /// Changes a restored instance while nobody else is there yet.
    pub fn amend<T>(&self, key: &InstanceKey, amend: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        self.instances.get_mut(key).map(|mut entry| amend(&mut entry))
    }

    /// Decides the command, and numbers, queues and applies what it does, as one step.
    pub fn submit(&self, key: &InstanceKey, command: &Command, now: Now, place: Option<Place>) -> Verdict {
        self.submit_with(key, command, With { now, place, receipt: None })
    }

    fn submit_with(&self, key: &InstanceKey, command: &Command, with: With) -> Verdict {
        let now = with.now;
        match self.instances.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let instance = entry.get_mut();
                let found = Found { key, instance: Some(instance), now };
                match decide(found, command) {
                    Ok(decision) => {
                        let ended = self.carry_out(key, instance, &decision, with);
                        let view = ended.unwrap_or_else(|| instance.view(key, now));
                        let speaks_of = instance.revision;
                        if instance.is_forgotten() {
                            entry.remove();
                        }
                        Verdict { result: Ok((decision.answer, view)), speaks_of }
                    }
                    // An answer about absence: what was purged is not there.
                    Err(rejection @ Rejection::NotFound { .. }) => self.absent(rejection),
                    Err(rejection) => Verdict { result: Err(rejection), speaks_of: instance.revision },
                }
            }
            Entry::Vacant(entry) => match decide(Found { key, instance: None, now }, command) {
                Ok(Decision { events, answer }) => match self.create(key, &events, with) {
                    Some(instance) => {
                        let view = instance.view(key, now);
                        entry.insert(Box::new(instance));
                        Verdict { speaks_of: view.revision, result: Ok((answer, view)) }
                    }
                    None => self.absent(Rejection::NotFound { id: key.id().into() }),
                },
                Err(rejection) => self.absent(rejection),
            },
        }
    }

    /// What is said of an id that isn't there speaks of everything that was queued: it may just have been removed.
    fn absent(&self, rejection: Rejection) -> Verdict {
        Verdict { result: Err(rejection), speaks_of: self.queued() }
    }

    /// Answers how the caller is shown the execution that it has ended, if that is what it did.
    fn carry_out(&self, key: &InstanceKey, instance: &mut Instance, decision: &Decision, with: With) -> Option<View> {
        let Decision { events, answer } = decision;
        if events.is_empty() && with.receipt.is_none() {
            return None;
        }
        let (before, stood) = (Outlook::of(instance), standing(instance));
        let mut log = self.log.lock();
        let journal = Journal::open(key, instance.arrival, with.now);
        let ended = self.record(&mut log, journal, instance, before, events, events, with, *answer);
        log.population.moved(stood, standing(instance));
        ended
    }

    /// The first event of an instance makes it; there is none for commands that find nothing to do.
    fn create(&self, key: &InstanceKey, events: &[Event], with: With) -> Option<Instance> {
        let (first, rest) = events.split_first()?;
        let Event::ExecutionStarted { execution, spec, input } = first else { return None };
        let mut log = self.log.lock();
        let revision = log.next_revision();
        let arrival = Arrival(self.arrivals.fetch_add(1, Ordering::Relaxed));
        let mut instance =
            Instance::create(arrival, *execution, spec, PayloadRow::of(input.as_ref(), revision), revision, with.now);
        let mut journal = Journal::open(key, arrival, with.now);
        journal.event(None, first, revision);
        journal.applied(first, &instance);
        self.record(&mut log, journal, &mut instance, Outlook::default(), events, rest, with, Answer::Done);
        log.population.moved(None, standing(&instance));
        Some(instance)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the critical section, called from its two branches")]
    fn record(
        &self,
        log: &mut Log,
        mut journal: Journal<'_>,
        instance: &mut Instance,
        before: Outlook,
        events: &[Event],
        to_apply: &[Event],
        with: With,
        answer: Answer,
    ) -> Option<View> {
        let key = journal.key();
        for event in to_apply {
            let revision = log.next_revision();
            journal.event(Some(instance), event, revision);
            instance.apply(event, revision, with.now);
            journal.applied(event, instance);
        }
        let (mut writes, news) = journal.close(instance);
        let receipt = with.receipt.as_ref().filter(|_| !Mutant::LoseMark.is_on());
        writes.extend(receipt.map(|receipt| self.mark_row(receipt)));
        let ended = match answer {
            Answer::Ended { execution } => {
                news.iter().rev().map(News::view).find(|view| view.execution.id == execution).cloned()
            }
            Answer::Start { .. } | Answer::EventRaised { .. } | Answer::Done => None,
        };
        let effects = effects(before, events, news, instance);
        let first = log.changes.is_empty();
        let change = Change { key: key.clone(), effects, receipt: with.receipt, writes, _place: with.place };
        match log.late.take() {
            None if Mutant::NumberThenQueue.is_on() => log.late = Some(change),
            late => log.changes.extend([change].into_iter().chain(late)),
        }
        if first {
            self.queue.announce(self.id);
        }
        ended
    }

    /// Takes a message of another instance, unless it has arrived before. Its mark is durable with what it does.
    pub fn receive(&self, key: &InstanceKey, receipt: Receipt, message: Message, now: Now) {
        let with = With { now, place: None, receipt: Some(receipt.clone()) };
        // One that comes twice, or too late to be of use, does nothing; its sender may forget it all the same.
        let is_new = self.mark(&receipt);
        let done = is_new && self.submit_with(key, &Command::Receive(message), with).result.is_ok();
        if !done {
            let row = self.mark_row(&receipt);
            self.queue_writes(key, is_new.then_some(row).into_iter().collect(), Some(receipt));
        }
    }

    fn mark_row(&self, receipt: &Receipt) -> Write {
        let key = RowKey { arrival: Arrival(self.id.0.into()), number: receipt.from.0.into() };
        Write::Put { table: Table::Mark, key, bytes: record::encode_mark(receipt.number) }
    }

    /// Whether the message is new.
    fn mark(&self, receipt: &Receipt) -> bool {
        let mut log = self.log.lock();
        let mark = log.marks.entry(receipt.from).or_insert(Revision(0));
        let is_new = *mark < receipt.number;
        *mark = receipt.number.max(*mark);
        is_new
    }

    /// Up to where the messages of another partition had arrived when the store was left.
    pub fn restore_mark(&self, from: PartitionId, revision: Revision) {
        if !Mutant::ForgetMarksAtRecovery.is_on() {
            self.log.lock().marks.insert(from, revision);
        }
    }

    /// A message has arrived, durably: its row may go.
    pub fn acknowledge(&self, key: &InstanceKey, arrival: Arrival, number: Revision) {
        let row = RowKey { arrival, number: number.0 };
        self.queue_writes(key, vec![Write::Delete { table: Table::Outbox, key: row }], None);
    }

    /// Queues rows that are no change of an instance.
    fn queue_writes(&self, key: &InstanceKey, writes: Vec<Write>, receipt: Option<Receipt>) {
        let mut log = self.log.lock();
        let first = log.changes.is_empty();
        log.changes.push(Change { key: key.clone(), effects: Vec::new(), receipt, writes, _place: None });
        if first {
            self.queue.announce(self.id);
        }
    }

    /// Takes the turn that waits, if one does, for whoever holds this token. Soft state: nothing is queued.
    pub fn claim_turn(&self, key: &InstanceKey, execution: ExecutionId, token: CompletionToken) -> Option<TurnClaim> {
        let mut instance = self.instances.get_mut(key)?;
        if !instance.awaits_turn() || instance.execution.id != execution {
            return None;
        }
        instance.turn_held = Some(Box::new(token));
        Some(TurnClaim {
            arrival: instance.arrival,
            execution: instance.execution.clone(),
            inbox_after: instance.inbox_after,
            inbox_last: instance.inbox_last,
            turns: instance.turns.as_deref().map(Turns::without_tasks),
            speaks_of: instance.revision,
        })
    }

    /// Whether the turn is still that of whoever holds this token.
    pub fn holds_turn(&self, key: &InstanceKey, token: CompletionToken) -> bool {
        self.inspect(key, |instance| instance.turn_held.as_deref() == Some(&token)).unwrap_or(false)
    }

    /// Gives a turn back that was not completed. Answers what is to be done about it.
    pub fn release_turn(&self, key: &InstanceKey, token: CompletionToken) -> Vec<Effect> {
        let Some(mut instance) = self.instances.get_mut(key) else { return Vec::new() };
        if instance.turn_held.as_deref() != Some(&token) || Mutant::KeepReleasedTurn.is_on() {
            return Vec::new();
        }
        let before = Outlook::of(&instance);
        instance.turn_held = None;
        effects(before, &[], Vec::new(), &instance)
    }

    /// Takes everything that waits, as one batch.
    pub fn take_batch(&self) -> (Batch, Vec<Change>) {
        let mut log = self.log.lock();
        let mut changes = std::mem::take(&mut log.changes);
        if let Some(late) = log.late.take() {
            log.changes.push(late);
            self.queue.announce(self.id);
        }
        log.sequence += 1;
        let writes = changes.iter_mut().flat_map(|change| std::mem::take(&mut change.writes)).collect();
        let batch =
            Batch { partition: self.id, epoch: log.epoch, sequence: log.sequence, revision: log.revision, writes };
        (batch, changes)
    }

    /// Renews a lease. Soft state: nothing is queued.
    pub fn renew(&self, key: &InstanceKey, proof: Proof, now: Now) -> Result<(), NotHeld> {
        self.instances.get_mut(key).ok_or(NotHeld::Lost)?.renew(proof, now.steady)
    }

    /// Renews a lease for a worker that came back with it.
    /// Answers whether the run is suspended.
    pub fn attach(&self, key: &InstanceKey, proof: Proof, now: Now) -> Snapshot<Result<bool, NotHeld>> {
        match self.instances.get_mut(key) {
            Some(mut instance) => {
                let found = instance.renew(proof, now.steady).map(|()| instance.is_suspended());
                Snapshot { found, speaks_of: instance.revision }
            }
            None => Snapshot { found: Err(NotHeld::Lost), speaks_of: self.queued() },
        }
    }

    /// Looks at an instance as callers find it: what `look` makes of it, or nothing if it isn't there.
    pub fn look<T>(&self, key: &InstanceKey, look: impl FnOnce(&Instance) -> T) -> Snapshot<Option<T>> {
        if let Some(instance) = self.instances.get(key).filter(|instance| instance.is_there()) {
            return Snapshot { found: Some(look(&instance)), speaks_of: instance.revision };
        }
        // With the entry held nothing can begin meanwhile: whatever begins later has a greater revision than this.
        match self.instances.entry(key.clone()) {
            Entry::Occupied(entry) if entry.get().is_there() => {
                Snapshot { found: Some(look(entry.get())), speaks_of: entry.get().revision }
            }
            Entry::Occupied(_entry) => Snapshot { found: None, speaks_of: self.queued() },
            Entry::Vacant(_entry) => Snapshot { found: None, speaks_of: self.queued() },
        }
    }

    /// Looks at what the partition has, also at what a purge has left.
    pub fn inspect<T>(&self, key: &InstanceKey, inspect: impl FnOnce(&Instance) -> T) -> Option<T> {
        self.instances.get(key).map(|instance| inspect(&instance))
    }

    /// The newest revision that was given out.
    pub fn queued(&self) -> Revision {
        self.log.lock().revision
    }

    /// How many instances stand where.
    pub fn population(&self) -> Population {
        self.log.lock().population
    }

    /// Everything up to `revision` is durable and carried out.
    pub fn has_become_durable(&self, revision: Revision) {
        self.durable.send_modify(|durable| durable.revision = revision);
    }

    /// Nothing more will become durable.
    pub fn has_fallen(&self) {
        self.durable.send_modify(|durable| durable.fallen = true);
    }

    /// How far the partition is durable, now and from now on.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    pub fn is_durable(&self, revision: Revision) -> bool {
        self.durable.borrow().revision >= revision
    }
}

/// Where an instance stands, if it is one that callers find.
fn standing(instance: &Instance) -> Option<Status> {
    instance.is_there().then_some(instance.execution.status)
}

impl Log {
    fn next_revision(&mut self) -> Revision {
        self.revision = Revision(self.revision.0 + 1);
        self.revision
    }
}

#[cfg(test)]
mod tests;
