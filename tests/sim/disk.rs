//! The disk, with a ledger of everything that ever became durable: what the others saw is held against it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use soloist::{
    clock::Clock,
    core::{
        history::HistoryEvent,
        ids::{Arrival, ExecutionId, InstanceKey, Revision},
        instance::Instance,
        partitioning::PartitionId,
        queue::QueuedStart,
        status::{Status, Transition},
        time::Timestamp,
    },
    store::{
        Batch, Claim, CommitError, ReadError, Row, RowKey, Store, Table, Write,
        memory::{Fault, Memory},
        record,
    },
};

use crate::{entry::Entry, rows::Rows};

/// The memory store as one server sees it; all servers share the ledger.
pub struct Disk {
    memory: Memory,
    clock: Arc<dyn Clock>,
    pub ledger: Arc<Mutex<Ledger>>,
}

/// Everything that became durable.
#[derive(Default)]
pub struct Ledger {
    keys: HashMap<Arrival, InstanceKey>,
    pub instances: BTreeMap<InstanceKey, Entry>,
    rows: Rows,
    revisions: HashMap<PartitionId, Revision>,
    /// What nobody has fetched yet.
    pub news: Vec<(InstanceKey, News)>,
    /// What must never become durable, but did.
    pub wrong: Option<String>,
}

#[derive(Clone, Debug)]
pub enum News {
    /// The first transition of a life.
    Born,
    Granted {
        worker: String,
        execution: ExecutionId,
        token: u64,
        attempt: u32,
    },
    LeaseEnded {
        token: u64,
    },
    EventRaised,
    Moved,
    /// It was suspended, or resumed.
    Paced,
    Purged {
        ended_at: Option<Timestamp>,
    },
}

impl Disk {
    pub fn new(clock: Arc<dyn Clock>) -> Disk {
        Disk { memory: Memory::new(), clock, ledger: Arc::default() }
    }

    /// The same disk after a crash, for the next server.
    pub fn reopen(&self, clock: Arc<dyn Clock>) -> Disk {
        Disk { memory: self.memory.reopen(), clock, ledger: self.ledger.clone() }
    }

    pub fn plan(&self, fault: Fault) {
        self.memory.plan(fault);
    }
}

impl Store for Disk {
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError> {
        self.memory.claim(partitions)
    }

    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError> {
        let before = self.memory.commits();
        let committed = self.memory.commit(batches);
        let mut ledger = self.ledger.lock();
        if self.memory.commits() > before {
            ledger.note(batches, &*self.clock);
        }
        if let Err(CommitError::Fenced { .. }) = &committed {
            ledger.wrong(format!("the only server was fenced: {committed:?}"));
        }
        committed
    }

    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.memory.scan(table, after, limit)
    }

    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.memory.read(table, arrival, from, limit)
    }

    fn check(&self) -> Result<(), CommitError> {
        Store::check(&self.memory)
    }

    fn close(&self) -> Result<(), CommitError> {
        self.memory.close()
    }
}

impl Ledger {
    /// Up to where the instance's partition is durable.
    pub fn durable(&self, key: &InstanceKey) -> u64 {
        self.revisions.get(&PartitionId::of(key)).map_or(0, |revision| revision.0)
    }

    /// The instance as it is durable, if callers can find it.
    pub fn there(&self, key: &InstanceKey) -> Option<&Instance> {
        self.instances.get(key).filter(|entry| entry.is_there()).map(|entry| &entry.latest)
    }

    /// The starts that wait, in their order.
    pub fn queue(&self, key: &InstanceKey) -> Vec<QueuedStart> {
        self.instances
            .get(key)
            .map(|entry| self.rows.queue(entry.latest.arrival).cloned().collect())
            .unwrap_or_default()
    }

    /// The history of the latest execution.
    pub fn history(&self, key: &InstanceKey) -> Vec<HistoryEvent> {
        self.instances.get(key).map(|entry| self.rows.history(entry.latest.arrival)).unwrap_or_default()
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    fn note(&mut self, batches: &[Batch], clock: &dyn Clock) {
        for batch in batches {
            self.revisions.insert(batch.partition, batch.revision);
            let mut touched = BTreeSet::new();
            for write in &batch.writes {
                if let Write::Put { table: Table::Record, key, bytes } = write {
                    let (of, _) = decode(*key, bytes, clock);
                    self.keys.insert(key.arrival, of);
                }
            }
            for write in &batch.writes {
                let (Write::Put { table, key, .. }
                | Write::Delete { table, key }
                | Write::DeleteThrough { table, key }) = write;
                touched.insert(key.arrival);
                let taken = self.rows.note(write);
                match write {
                    Write::Put { table: Table::Transition, key, bytes } => self.transition(*key, bytes),
                    Write::Put { table: Table::Record, key, bytes } => self.record(*key, bytes, batch.revision, clock),
                    Write::Delete { .. } if *table == Table::Record => self.forgotten(key.arrival),
                    Write::Put { .. } | Write::Delete { .. } | Write::DeleteThrough { .. } => {}
                }
                if let (Some(taken), Some(of)) = (taken, self.keys.get(&key.arrival))
                    && let Some(entry) = self.instances.get_mut(of)
                {
                    entry.taken = Some(taken);
                }
            }
            for arrival in touched {
                self.check_rows(arrival);
            }
        }
    }

    fn transition(&mut self, row: RowKey, bytes: &[u8]) {
        let Some(key) = self.keys.get(&row.arrival).cloned() else {
            return self.wrong(format!("a transition {} of nobody", row.number));
        };
        let transition = record::decode_transition(&key, row.number, bytes).expect("what was just written can be read");
        let known = self.instances.get(&key).and_then(|entry| entry.first_of_life());
        match known.filter(|_| row.number == 1) {
            // Its row comes with the second, and tells what the record told before.
            Some(known) if shown(known) == shown(&transition) => {}
            Some(known) => self.wrong(format!("{key:?} began as {known:?}, says its record, and as {transition:?}")),
            None => self.moved(row.arrival, key, transition),
        }
    }

    fn moved(&mut self, arrival: Arrival, key: InstanceKey, transition: Transition) {
        let entry = self.instances.entry(key.clone()).or_insert_with(|| Entry::new(arrival, &transition));
        let before = entry.transitions().last().map(|before| before.view.execution.status);
        let is_paced = [before, Some(transition.view.execution.status)].contains(&Some(Status::Suspended));
        let is_birth = transition.sequence == 1;
        if let Err(fault) = entry.moved(transition) {
            return self.wrong(format!("{key:?}: {fault}"));
        }
        self.news.extend(is_birth.then(|| (key.clone(), News::Born)));
        self.news.extend(is_paced.then(|| (key.clone(), News::Paced)));
        self.news.push((key, News::Moved));
    }

    fn record(&mut self, row: RowKey, bytes: &[u8], durable: Revision, clock: &dyn Clock) {
        let (key, next) = decode(row, bytes, clock);
        let begun = next.first_transition(&key, clock.now());
        let known = self.instances.get(&key).and_then(|entry| entry.first_of_life());
        if let Some(first) = begun.filter(|_| known.is_none_or(|known| known.view.revision != next.born)) {
            self.moved(row.arrival, key.clone(), first);
        }
        let Some(entry) = self.instances.get_mut(&key) else {
            return self.wrong(format!("{key:?} became durable without a transition"));
        };
        let mut faults = Vec::new();
        if next.revision > durable {
            faults.push(format!("durable at {}, its partition at {durable}", next.revision));
        }
        let (news, wrong) = entry.recorded(next);
        faults.extend(wrong);
        self.news.extend(news.into_iter().map(|news| (key.clone(), news)));
        if let Some(fault) = faults.into_iter().next() {
            self.wrong(format!("{key:?}: {fault}"));
        }
    }

    fn forgotten(&mut self, arrival: Arrival) {
        let Some(entry) = self.keys.get(&arrival).and_then(|key| self.instances.get_mut(key)) else { return };
        let news = entry.forget().map(|news| (entry.key.clone(), news));
        let ended_at = entry.latest.execution.completed_at;
        let purge = (!entry.was_purged()).then(|| (entry.key.clone(), News::Purged { ended_at }));
        let news: Vec<(InstanceKey, News)> = news.into_iter().chain(purge).collect();
        self.news.extend(news);
    }

    /// The rows of an instance are those that it refers to, and no others.
    fn check_rows(&mut self, arrival: Arrival) {
        let entry = self.keys.get(&arrival).and_then(|key| self.instances.get(key));
        let entry = entry.filter(|entry| entry.latest.arrival == arrival && entry.is_recorded());
        if let Err(fault) = self.rows.check(arrival, entry.map(|entry| &entry.latest)) {
            let key = self.keys.get(&arrival).cloned();
            self.wrong(format!("{key:?}: {fault}"));
        }
    }
}

/// What callers see of it, but for a lease of a former life, which may have ended since.
fn shown(transition: &Transition) -> Transition {
    let mut shown = transition.clone();
    (shown.view.worker, shown.view.lease_expires_at) = (None, None);
    (shown.view.execution.history, shown.view.execution.due) = (0, Default::default());
    shown
}

fn decode(row: RowKey, bytes: &[u8], clock: &dyn Clock) -> (InstanceKey, Instance) {
    let read = record::decode_instance(row.arrival, bytes, clock.now()).expect("what was just written can be read");
    (read.key, read.instance)
}
