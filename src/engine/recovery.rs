//! A fresh owner: everything that the store has, back into memory, and what is outstanding through the same effects.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::mpsc::{self, SyncSender},
    thread,
};

use parking_lot::Mutex;

use super::{Shared, partition::Receipt};
use crate::{
    core::{
        command::Command,
        effect::{Effect, outstanding},
        ids::{Arrival, InstanceKey},
        partitioning::{PARTITIONS, PartitionId},
        time::Now,
    },
    mutant::{self, Mutant},
    store::{ReadError, Row, RowKey, Store, Table, record},
};

/// Rows that are read at a time.
const PAGE: usize = 4096;

/// What is read or looked at before what came before it is put to use: pages, and instances to be taken up.
const AHEAD: usize = 4;

/// Threads that put instances into memory.
const LOADERS: usize = 2;

/// Instances that are looked at together before they are taken up.
const TAKEN_UP_TOGETHER: usize = 256;

/// Why what the store has could not be taken over. It was claimed already; what it holds of instances is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{table:?} row {}/{} can't be understood: {what}", .key.arrival.0, .key.number)]
    NotUnderstood { table: Table, key: RowKey, what: String },
}

impl Shared {
    /// Loads every instance with its remembered requests and queued starts. Blocks.
    pub(super) fn load(&self) -> Result<Vec<InstanceKey>, RecoveryError> {
        let found = self.load_instances()?;
        let waiting = found.iter().filter(|found| found.queued_starts > 0);
        let mut queues: BTreeMap<Arrival, Queued> =
            waiting.map(|found| (found.arrival, Queued { told: found.queued_starts, found: 0 })).collect();
        let keys: Vec<(Arrival, InstanceKey)> = found.into_iter().map(|found| (found.arrival, found.key)).collect();
        each_row(&*self.store, Table::Request, |row| {
            let request =
                record::decode_request(&row.bytes).map_err(|error| not_understood(Table::Request, row.key, &error))?;
            let key = owner(&keys, Table::Request, row.key)?;
            let revision = crate::core::ids::Revision(row.key.number);
            if !Mutant::ForgetRequestsAtRecovery.is_on() {
                self.partition(key).amend(key, |instance| instance.memory.remember(revision, request));
            }
            Ok(())
        })?;
        each_row(&*self.store, Table::Queue, |row| {
            let revision = crate::core::ids::Revision(row.key.number);
            let start = record::decode_queued(revision, &row.bytes)
                .map_err(|error| not_understood(Table::Queue, row.key, &error))?;
            let key = owner(&keys, Table::Queue, row.key)?;
            queues.entry(row.key.arrival).or_default().found += 1;
            if !Mutant::LoseQueueAtRecovery.is_on() {
                self.partition(key).amend(key, |instance| instance.queue.push(start));
            }
            Ok(())
        })?;
        whole(&queues)?;
        each_row(&*self.store, Table::Task, |row| {
            let task = record::decode_task(&row.bytes).map_err(|error| not_understood(Table::Task, row.key, &error))?;
            let (key, revision) = (owner(&keys, Table::Task, row.key)?, crate::core::ids::Revision(row.key.number));
            let now = self.clock.now();
            if !Mutant::LoseTasksAtRecovery.is_on() {
                self.partition(key).amend(key, |instance| {
                    instance.turns.get_or_insert_default().schedule(revision, task, now);
                });
            }
            Ok(())
        })?;
        each_row(&*self.store, Table::Mark, |row| {
            let revision =
                record::decode_mark(&row.bytes).map_err(|error| not_understood(Table::Mark, row.key, &error))?;
            let partition = |number: u64| u16::try_from(number).ok().filter(|id| *id < PARTITIONS).map(PartitionId);
            let unknown = || not_understood(Table::Mark, row.key, &"there is no such partition");
            let to = partition(row.key.arrival.0).ok_or_else(unknown)?;
            let from = partition(row.key.number).ok_or_else(unknown)?;
            self.partitions[usize::from(to.0)].restore_mark(from, revision);
            Ok(())
        })?;
        let keys_seen = if Mutant::ReuseArrivals.is_on() { &[] } else { keys.as_slice() };
        let next = keys_seen.last().map_or(1, |(arrival, _)| arrival.0 + 1);
        self.arrivals.store(next, std::sync::atomic::Ordering::Relaxed);
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// Loads every instance, as its record has it. Answers them in the order of their arrival.
    fn load_instances(&self) -> Result<Vec<Found>, RecoveryError> {
        let unread = Mutex::new(Unread { after: None, is_over: false });
        let mut found = thread::scope(|scope| {
            let load = || mutant::carry(|| self.load_pages(&unread));
            let loaders: Vec<_> = (0..LOADERS).map(|_| scope.spawn(load())).collect();
            let loaded = loaders.into_iter().map(|loader| loader.join().unwrap_or_else(|panic| resume_unwind(panic)));
            loaded.collect::<Result<Vec<Vec<Found>>, RecoveryError>>()
        })?
        .into_iter()
        .flatten()
        .collect::<Vec<Found>>();
        found.sort_unstable_by_key(|found| found.arrival);
        let mut waiting = BTreeMap::<PartitionId, usize>::new();
        for found in found.iter().filter(|found| found.waits) {
            *waiting.entry(PartitionId::of(&found.key)).or_default() += 1;
        }
        waiting.into_iter().for_each(|(partition, runs)| self.dispatch.make_room(partition, runs));
        Ok(found)
    }

    /// Loads one page after the other of those that nobody else has taken.
    fn load_pages(&self, unread: &Mutex<Unread>) -> Result<Vec<Found>, RecoveryError> {
        let mut found = Vec::new();
        loop {
            let page = unread.lock().next_page(&*self.store)?;
            if page.is_empty() {
                return Ok(found);
            }
            let now = self.clock.now();
            for row in page {
                found.push(self.load_instance(&row, now)?);
            }
        }
    }

    fn load_instance(&self, row: &Row, now: Now) -> Result<Found, RecoveryError> {
        let arrival = row.key.arrival;
        let record::Recovered { key, mut instance, queued_starts } = record::decode_instance(arrival, &row.bytes, now)
            .map_err(|error| not_understood(Table::Record, row.key, &error))?;
        instance.execution.spec = self.specs.share(instance.execution.spec);
        let waits = instance.is_grantable();
        self.partition(&key).restore(key.clone(), instance);
        Ok(Found { arrival, key, queued_starts, waits })
    }

    /// The messages that may not have arrived, in the order in which each partition has sent them.
    pub(super) fn letters(&self) -> Result<Vec<(RowKey, record::Letter)>, RecoveryError> {
        let mut letters = Vec::new();
        each_row(&*self.store, Table::Outbox, |row| {
            let letter =
                record::decode_letter(&row.bytes).map_err(|error| not_understood(Table::Outbox, row.key, &error))?;
            letters.push((row.key, letter));
            Ok(())
        })?;
        // The arrivals of those who have sent them are taken, also where nothing else is left of them.
        let next = letters.last().map_or(1, |(row, _)| row.arrival.0 + 1);
        self.arrivals.fetch_max(next, std::sync::atomic::Ordering::Relaxed);
        letters.sort_by_key(|(row, letter)| (letter.from, row.number));
        Ok(letters)
    }

    /// Sends them again: those that have arrived do nothing.
    pub(super) fn send_again(&self, letters: Vec<(RowKey, record::Letter)>) {
        let letters = letters.into_iter().filter(|_| !Mutant::LoseOutboxAtRecovery.is_on());
        for (row, record::Letter { from, to, message }) in letters {
            let number = crate::core::ids::Revision(row.number);
            let receipt = Receipt { from, arrival: row.arrival, number };
            self.partition(&to).receive(&to, receipt, message, self.clock.now());
        }
    }

    /// Takes up what is outstanding. Leases count anew from now: their workers could not renew them meanwhile.
    pub(super) fn take_up(&self, keys: &[InstanceKey]) {
        let (looks, looked_at) = mpsc::sync_channel(AHEAD);
        thread::scope(|scope| {
            // To find instances in memory takes as long as what is done about them.
            scope.spawn(mutant::carry(move || {
                for together in keys.chunks(TAKEN_UP_TOGETHER) {
                    let looks_at: Vec<_> = together.iter().map(|key| self.take_over(key)).collect();
                    // Whoever takes them up has panicked.
                    if looks.send(looks_at).is_err() {
                        return;
                    }
                }
            }));
            for (key, idle) in keys.iter().zip(looked_at.into_iter().flatten()) {
                let mut outstanding = idle.unwrap_or_else(|| self.lengthen(key));
                outstanding.retain(|effect| !is_lost(effect));
                self.effects(key, outstanding);
            }
        });
    }

    /// Answers what is outstanding for an instance without a lease.
    fn take_over(&self, key: &InstanceKey) -> Option<Vec<Effect>> {
        let now = self.clock.now();
        let idle = self.partition(key).amend(key, |instance| {
            instance.taken_over(now);
            if let Some(lease) = instance.lease.as_mut().filter(|_| Mutant::EndLeasesAtRecovery.is_on()) {
                lease.expires_at = now.steady;
            }
            instance.lease.is_none().then(|| outstanding(instance))
        });
        idle.flatten()
    }

    /// Its worker will be told today's lease duration when it comes back; by then this is durable, so that the next
    /// server respects it too. Answers what is outstanding.
    fn lengthen(&self, key: &InstanceKey) -> Vec<Effect> {
        let partition = self.partition(key);
        partition.submit(key, &Command::Lengthen(self.config.lease_ttl), self.clock.now(), None);
        partition.inspect(key, outstanding).unwrap_or_default()
    }
}

/// Rows that were read together, or why they were not.
type Page = Result<Vec<Row>, ReadError>;

/// The records that nobody has taken yet.
struct Unread {
    after: Option<RowKey>,
    is_over: bool,
}

impl Unread {
    /// Nothing behind the last page, nor behind one that could not be read.
    fn next_page(&mut self, store: &dyn Store) -> Result<Vec<Row>, ReadError> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(Vec::new());
        }
        let page = store.scan(Table::Record, self.after, PAGE)?;
        self.after = page.last().map(|row| row.key);
        self.is_over = page.is_empty();
        Ok(page)
    }
}

/// An instance that was loaded.
struct Found {
    arrival: Arrival,
    key: InstanceKey,
    queued_starts: u32,
    /// It will wait for a native worker.
    waits: bool,
}

/// The starts that wait behind one instance.
#[derive(Clone, Copy, Default)]
struct Queued {
    /// By what the instance's record says.
    told: u32,
    found: u32,
}

/// A row that is missing leaves no trace in its own table: an accepted start would never begin.
fn whole(queues: &BTreeMap<Arrival, Queued>) -> Result<(), RecoveryError> {
    let torn = queues.iter().find(|(_, queued)| queued.told != queued.found);
    torn.map_or(Ok(()), |(arrival, Queued { told, found })| {
        let key = RowKey { arrival: *arrival, number: 0 };
        Err(not_understood(Table::Record, key, &format!("it says that {told} starts wait, and there are {found}")))
    })
}

/// Only in a mutant.
fn is_lost(effect: &Effect) -> bool {
    match effect {
        Effect::Arm(_) => Mutant::LoseTimersAtRecovery.is_on(),
        Effect::Offer(_) => Mutant::LoseOffersAtRecovery.is_on(),
        _ => false,
    }
}

fn each_row(
    store: &dyn Store,
    table: Table,
    mut each: impl FnMut(Row) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let (pages, read) = mpsc::sync_channel(AHEAD);
    thread::scope(|scope| {
        scope.spawn(mutant::carry(move || read_pages(store, table, &pages)));
        read.into_iter().try_for_each(|page| page?.into_iter().try_for_each(&mut each))
    })
}

/// Reads a table, while what was read is put to use.
fn read_pages(store: &dyn Store, table: Table, pages: &SyncSender<Page>) {
    let mut after = None;
    loop {
        let page = store.scan(table, after, PAGE);
        let last = page.as_ref().ok().and_then(|page| page.last()).map(|row| row.key);
        // Nobody takes it once a row was not understood.
        if pages.send(page).is_err() || last.is_none() {
            return;
        }
        after = last;
    }
}

/// The instance that a row belongs to.
fn owner(keys: &[(Arrival, InstanceKey)], table: Table, row: RowKey) -> Result<&InstanceKey, RecoveryError> {
    let at = keys.binary_search_by_key(&row.arrival, |(arrival, _)| *arrival);
    at.map(|at| &keys[at].1).map_err(|_| not_understood(table, row, &"it belongs to no instance"))
}

fn not_understood(table: Table, key: RowKey, what: &dyn std::fmt::Display) -> RecoveryError {
    RecoveryError::NotUnderstood { table, key, what: what.to_string() }
}
