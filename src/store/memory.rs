//! A store in memory, for tests: it fails as it was told to, and forgets at a restart what was not committed.
//!
//! ```
//! use soloist::{core::partitioning::PartitionId, store::{Store, memory::{Fault, Memory}}};
//!
//! let memory = Memory::new();
//! memory.plan(Fault::AfterApplied { commits: 1 });
//! let claim = memory.claim(&[PartitionId(0)])?[0];
//! assert_eq!((claim.epoch, claim.sequence), (1, 0));
//! # Ok::<(), soloist::store::ReadError>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use super::{Batch, Claim, CommitError, ReadError, Row, RowKey, Store, Table, Write, fence::Positions};
use crate::core::{
    ids::{Arrival, Revision},
    partitioning::PartitionId,
};

/// A handle on the store, as a server would have it. [`Memory::reopen`] is the restart: it ends this handle.
pub struct Memory {
    disk: Arc<Disk>,
    /// Which restart this handle comes from.
    boot: u64,
}

/// What goes wrong, and when. Commits are counted from the moment of the plan, 1 being the next; refused ones
/// don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The commit fails and nothing of it is durable.
    BeforeApplied { commits: u64 },
    /// The commit fails, yet all of it is durable.
    AfterApplied { commits: u64 },
}

/// Why the store in memory does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("a planned fault")]
    Planned,
    #[error("nothing is written any more since a planned fault")]
    Earlier,
    #[error("the store was reopened")]
    Reopened,
    #[error("the store is closed")]
    Closed,
}

/// What all handles share.
struct Disk {
    state: Mutex<State>,
    /// Rung when the gate opens, a commit comes to it, or the store restarts.
    changed: Condvar,
}

struct State {
    tables: BTreeMap<Table, BTreeMap<RowKey, Vec<u8>>>,
    positions: Positions,
    /// Applied since the store was made.
    commits: u64,
    boot: u64,
    closed: bool,
    failed: bool,
    /// Counted from the last restart.
    attempts: u64,
    faults: BTreeSet<(u64, Fault)>,
    held: bool,
    waiting: usize,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        let claim = |partition| {
            let (revision, restored) = (Revision(0), Revision(0));
            Claim { partition, epoch: 0, sequence: 0, revision, restored }
        };
        let state = State {
            tables: BTreeMap::new(),
            positions: Positions::new(PartitionId::all().map(claim).collect()),
            commits: 0,
            boot: 0,
            closed: false,
            failed: false,
            attempts: 0,
            faults: BTreeSet::new(),
            held: false,
            waiting: 0,
        };
        Memory { disk: Arc::new(Disk { state: Mutex::new(state), changed: Condvar::new() }), boot: 0 }
    }

    /// Adds a fault. Whichever kind it is, the commit's outcome is unknown to the caller, and every later commit of
    /// this handle fails. What was planned is forgotten at a restart.
    pub fn plan(&self, fault: Fault) {
        let mut state = self.disk.state.lock();
        let (Fault::BeforeApplied { commits } | Fault::AfterApplied { commits }) = fault;
        let attempt = state.attempts + commits;
        state.faults.insert((attempt, fault));
    }

    /// Closes the gate: commits wait before anything of them is applied.
    pub fn hold(&self) {
        self.disk.state.lock().held = true;
    }

    /// Opens the gate.
    pub fn release(&self) {
        self.disk.state.lock().held = false;
        self.disk.changed.notify_all();
    }

    /// Waits, blocking the thread, until so many commits stand at the gate.
    pub fn wait_held(&self, commits: usize) {
        let mut state = self.disk.state.lock();
        while state.waiting < commits {
            self.disk.changed.wait(&mut state);
        }
    }

    /// How many commits were applied since the store was made, through whichever handle. Claims don't count.
    pub fn commits(&self) -> u64 {
        self.disk.state.lock().commits
    }

    /// A crash and a restart: a new handle on what was durable. Commits that wait at the gate are lost, this handle
    /// is dead, faults and gate are gone.
    pub fn reopen(&self) -> Memory {
        let mut state = self.disk.state.lock();
        state.boot += 1;
        (state.closed, state.failed, state.held, state.attempts) = (false, false, false, 0);
        state.faults.clear();
        self.disk.changed.notify_all();
        Memory { disk: self.disk.clone(), boot: state.boot }
    }

    fn check(&self, state: &State) -> Result<(), Failure> {
        match state {
            State { boot, .. } if *boot != self.boot => Err(Failure::Reopened),
            State { closed: true, .. } => Err(Failure::Closed),
            _ => Ok(()),
        }
    }

    fn check_writable(&self, state: &State) -> Result<(), Failure> {
        self.check(state)?;
        if state.failed { Err(Failure::Earlier) } else { Ok(()) }
    }

    fn rows(
        &self,
        table: Table,
        from: RowKey,
        limit: usize,
        wanted: impl Fn(&RowKey) -> bool,
    ) -> Result<Vec<Row>, ReadError> {
        let state = self.disk.state.lock();
        self.check(&state).map_err(|failure| ReadError::Unreadable(failure.into()))?;
        let rows = state.tables.get(&table).into_iter().flat_map(|rows| rows.range(from..));
        let rows = rows.take_while(|(key, _)| wanted(key)).take(limit);
        Ok(rows.map(|(key, bytes)| Row { key: *key, bytes: bytes.clone() }).collect())
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Store for Memory {
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError> {
        let mut state = self.disk.state.lock();
        self.check_writable(&state).map_err(|failure| ReadError::Unreadable(failure.into()))?;
        let mut positions = state.positions.clone();
        let claimed = positions.claim(partitions).map_err(|no_such| ReadError::Unreadable(no_such.into()))?;
        state.positions = positions;
        Ok(claimed)
    }

    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError> {
        let unknown = |failure: Failure| CommitError::OutcomeUnknown(failure.into());
        let mut state = self.disk.state.lock();
        self.check_writable(&state).map_err(unknown)?;
        if state.held {
            state.waiting += 1;
            self.disk.changed.notify_all();
            while state.held && state.boot == self.boot {
                self.disk.changed.wait(&mut state);
            }
            state.waiting -= 1;
            self.check_writable(&state).map_err(unknown)?;
        }
        let mut positions = state.positions.clone();
        positions.advance(batches)?;
        if let Err(unstorable) = batches.iter().flat_map(|batch| &batch.writes).try_for_each(Write::check) {
            state.failed = true;
            return Err(CommitError::OutcomeUnknown(unstorable.into()));
        }
        state.attempts += 1;
        let fault = state.faults.iter().find(|(attempt, _)| *attempt == state.attempts).map(|(_, fault)| *fault);
        state.failed = fault.is_some();
        match fault {
            None => state.apply(batches, positions),
            Some(Fault::BeforeApplied { .. }) => {}
            Some(Fault::AfterApplied { .. }) => state.apply(batches, positions),
        }
        fault.map_or(Ok(()), |_| Err(unknown(Failure::Planned)))
    }

    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        let from = match after {
            None => RowKey { arrival: Arrival(0), number: 0 },
            Some(key) => match key.next() {
                Some(next) => next,
                None => return Ok(Vec::new()),
            },
        };
        self.rows(table, from, limit, |_| true)
    }

    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.rows(table, RowKey { arrival, number: from }, limit, |key| key.arrival == arrival)
    }

    fn check(&self) -> Result<(), CommitError> {
        let state = self.disk.state.lock();
        if state.failed { Err(CommitError::OutcomeUnknown(Failure::Earlier.into())) } else { Ok(()) }
    }

    fn close(&self) -> Result<(), CommitError> {
        let mut state = self.disk.state.lock();
        if state.boot == self.boot {
            state.closed = true;
        }
        if state.failed { Err(CommitError::OutcomeUnknown(Failure::Earlier.into())) } else { Ok(()) }
    }
}

impl State {
    fn apply(&mut self, batches: &[Batch], positions: Positions) {
        for write in batches.iter().flat_map(|batch| &batch.writes) {
            let (Write::Put { table, .. } | Write::Delete { table, .. } | Write::DeleteThrough { table, .. }) = write;
            let rows = self.tables.entry(*table).or_default();
            match write {
                Write::Put { key, bytes, .. } => {
                    rows.insert(*key, bytes.clone());
                }
                Write::Delete { key, .. } => {
                    rows.remove(key);
                }
                Write::DeleteThrough { key, .. } => {
                    let first = RowKey { number: 0, ..*key };
                    let gone: Vec<RowKey> = rows.range(first..=*key).map(|(key, _)| *key).collect();
                    gone.iter().for_each(|key| drop(rows.remove(key)));
                }
            }
        }
        self.positions = positions;
        self.commits += 1;
    }
}

impl RowKey {
    fn next(self) -> Option<RowKey> {
        let RowKey { arrival, number } = self;
        match number.checked_add(1) {
            Some(number) => Some(RowKey { arrival, number }),
            None => arrival.0.checked_add(1).map(|arrival| RowKey { arrival: Arrival(arrival), number: 0 }),
        }
    }
}
