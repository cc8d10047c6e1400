//! The disk, with a ledger of everything that ever became durable: what the others saw is held against it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use soloist::{
    clock::Clock,
    core::{
        ids::{Arrival, ExecutionId, InstanceKey, Revision},
        instance::Instance,
        partitioning::PartitionId,
        status::{Status, Transition},
        time::{Now, Steady, Timestamp},
    },
    store::{
        Batch, Claim, CommitError, ReadError, Row, RowKey, Store, Table, Write,
        memory::{Fault, Memory},
        record,
    },
};

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
    revisions: HashMap<PartitionId, Revision>,
    /// Grants and ends of leases that nobody has fetched yet.
    pub news: Vec<(InstanceKey, News)>,
    /// What must never become durable, but did.
    pub wrong: Option<String>,
}

/// One instance as it became durable.
pub struct Entry {
    pub latest: Instance,
    pub transitions: Vec<Transition>,
}

#[derive(Clone, Debug)]
pub enum News {
    Granted { worker: String, execution: ExecutionId, token: u64, attempt: u32 },
    LeaseEnded { token: u64 },
    EventRaised,
    Moved,
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

    pub fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    fn note(&mut self, batches: &[Batch], clock: &dyn Clock) {
        for batch in batches {
            self.revisions.insert(batch.partition, batch.revision);
            let puts = || {
                batch.writes.iter().filter_map(|write| match write {
                    Write::Put { table, key, bytes } => Some((*table, *key, bytes)),
                    Write::Delete { .. } | Write::DeleteThrough { .. } => None,
                })
            };
            let records = |(table, key, bytes): (Table, RowKey, &Vec<u8>)| {
                let decoded =
                    (table == Table::Record).then(|| record::decode_instance(key.arrival, bytes, clock.now()));
                decoded.map(|decoded| decoded.expect("what was just written can be read"))
            };
            for (key, instance) in puts().filter_map(records) {
                self.keys.insert(instance.arrival, key);
            }
            for put in puts() {
                match put.0 {
                    Table::Transition => self.transition(put.1, put.2),
                    Table::Record => {
                        let Some((key, instance)) = records(put) else { continue };
                        if instance.revision > batch.revision {
                            self.wrong(format!(
                                "{key:?} is durable at {}, its partition at {}",
                                instance.revision, batch.revision
                            ));
                        }
                        self.record(key, instance);
                    }
                    Table::Payload | Table::Event | Table::Queue | Table::History | Table::Request => {}
                }
            }
        }
    }

    fn transition(&mut self, row: RowKey, bytes: &[u8]) {
        let Some(key) = self.keys.get(&row.arrival).cloned() else {
            return self.wrong(format!("a transition {} of nobody", row.number));
        };
        let transition = record::decode_transition(&key, row.number, bytes).expect("what was just written can be read");
        let known = self.instances.get(&key).and_then(|entry| entry.transitions.last());
        if let Some(fault) = follows(known, &transition) {
            return self.wrong(format!("{key:?}: {fault}"));
        }
        self.news.push((key.clone(), News::Moved));
        match self.instances.get_mut(&key) {
            Some(entry) => entry.transitions.push(transition),
            None => {
                let latest = Instance::create(
                    row.arrival,
                    transition.view.execution.id,
                    &transition.view.execution.spec,
                    false,
                    Revision(0),
                    Now { wall: Timestamp(0), steady: Steady(0) },
                );
                self.instances.insert(key, Entry { latest, transitions: vec![transition] });
            }
        }
    }

    fn record(&mut self, key: InstanceKey, next: Instance) {
        let Some(entry) = self.instances.get_mut(&key) else {
            return self.wrong(format!("{key:?} became durable without a transition"));
        };
        let before = std::mem::replace(&mut entry.latest, next.clone());
        if next.inbox_last > before.inbox_last {
            self.news.push((key.clone(), News::EventRaised));
        }
        let last = entry.transitions.last().map_or(0, |transition| transition.sequence);
        let proof_of = |instance: &Instance| instance.lease.as_ref().map(|lease| lease.proof());
        let mut faults = Vec::new();
        if before.arrival != next.arrival {
            faults.push("it arrived a second time".into());
        }
        if next.revision <= before.revision {
            faults.push(format!("revision {} after {}", next.revision, before.revision));
        }
        if next.sequence != last {
            faults.push(format!("its record is at transition {}, its transitions at {last}", next.sequence));
        }
        if next.fencing_token < before.fencing_token {
            faults.push(format!("token {} after {}", next.fencing_token, before.fencing_token));
        }
        if let (Some(proof), Some(lease)) =
            (proof_of(&next).filter(|proof| proof_of(&before) != Some(*proof)), &next.lease)
        {
            if let Some(former) = proof_of(&before) {
                faults.push(format!("granted with token {} while the lease {} stood", proof.token, former.token));
            }
            if proof.token <= before.fencing_token {
                faults.push(format!("granted with token {} after {}", proof.token, before.fencing_token));
            }
            let granted = News::Granted {
                worker: lease.worker.to_string(),
                execution: lease.execution,
                token: proof.token.0,
                attempt: next.execution.attempt,
            };
            self.news.push((key.clone(), granted));
        }
        if let Some(former) = proof_of(&before).filter(|former| proof_of(&next) != Some(*former)) {
            self.news.push((key.clone(), News::LeaseEnded { token: former.token.0 }));
        }
        if let Some(fault) = faults.into_iter().next() {
            self.wrong(format!("{key:?}: {fault}"));
        }
    }
}

/// What is wrong with a transition after the one before it.
fn follows(before: Option<&Transition>, next: &Transition) -> Option<String> {
    let expected = before.map_or(1, |before| before.sequence + 1);
    if next.sequence != expected {
        return Some(format!("transition {} came where {expected} was due", next.sequence));
    }
    let before = before?;
    let (was, is) = (&before.view.execution, &next.view.execution);
    if next.view.revision <= before.view.revision {
        return Some(format!("transition {} has revision {}", next.sequence, next.view.revision));
    }
    if is.last_updated_at <= was.last_updated_at {
        return Some(format!("transition {} goes back in time", next.sequence));
    }
    let continued = is.status == Status::Running;
    if was.id != is.id && was.status.is_live() && !continued {
        return Some(format!("execution {} was started while {} was live", is.id, was.id));
    }
    if was.id == is.id && !was.status.is_live() {
        return Some(format!("execution {} went on after its end", is.id));
    }
    None
}
