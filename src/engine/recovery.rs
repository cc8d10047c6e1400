//! A fresh owner: everything that the store has, back into memory, and what is outstanding through the same effects.

use std::collections::BTreeMap;

use super::Shared;
use crate::{
    core::{
        command::Command,
        effect::{Effect, outstanding},
        ids::{Arrival, InstanceKey},
        instance::Instance,
    },
    mutant::Mutant,
    store::{ReadError, Row, RowKey, Store, Table, record},
};

/// Rows that are read at a time.
const PAGE: usize = 4096;

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
        let mut keys: Vec<(Arrival, InstanceKey)> = Vec::new();
        let mut queues: BTreeMap<Arrival, Queued> = BTreeMap::new();
        each_row(&*self.store, Table::Record, |row| {
            let (key, instance) = record::decode_instance(row.key.arrival, &row.bytes, self.clock.now())
                .map_err(|error| not_understood(Table::Record, row.key, &error))?;
            keys.push((row.key.arrival, key.clone()));
            let told = record::decode_queue_length(&row.bytes)
                .map_err(|error| not_understood(Table::Record, row.key, &error))?;
            if told > 0 {
                queues.insert(row.key.arrival, Queued { told, found: 0 });
            }
            self.partition(&key).restore(key, instance);
            Ok(())
        })?;
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
        let keys_seen = if Mutant::ReuseArrivals.is_on() { &[] } else { keys.as_slice() };
        let next = keys_seen.last().map_or(1, |(arrival, _)| arrival.0 + 1);
        self.arrivals.store(next, std::sync::atomic::Ordering::Relaxed);
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// Takes up what is outstanding. Leases count anew from now: their workers could not renew them meanwhile.
    pub(super) fn take_up(&self, keys: Vec<InstanceKey>) {
        for key in keys {
            let partition = self.partition(&key);
            let now = self.clock.now();
            partition.amend(&key, |instance| {
                instance.taken_over(now);
                if let Some(lease) = instance.lease.as_mut().filter(|_| Mutant::EndLeasesAtRecovery.is_on()) {
                    lease.expires_at = now.steady;
                }
            });
            // Its worker will be told today's lease duration when it comes back; by then this is durable, so that the
            // next server respects it too.
            partition.submit(&key, &Command::Lengthen(self.config.lease_ttl), now, None);
            let effects = partition.inspect(&key, |instance: &Instance| outstanding(instance));
            let mut effects = effects.unwrap_or_default();
            effects.retain(|effect| !is_lost(effect));
            self.effects(&key, effects);
        }
    }
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
    let mut after = None;
    loop {
        let page = store.scan(table, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key);
        page.into_iter().try_for_each(&mut each)?;
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
