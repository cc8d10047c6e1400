//! The store of a single server: SQLite in a data folder, one writer, readers beside it.
//!
//! A commit is one transaction, and is durable when it returns. What the folder holds is checked before anything in
//! it is touched: a folder that is refused stays byte for byte as it was. From the first failed write or flush on,
//! nothing can be proved any more, so nothing is written any more.

mod backup;
mod checkpoint;
mod connection;
mod failure;
mod folder;
mod inspect;
mod mark;
mod reader;
mod restore;
mod row;
mod schema;
mod writer;

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use self::{
    backup::Backups,
    checkpoint::Checkpointer,
    failure::{Failure, Health},
    folder::{Folder, Lock, State},
    mark::{Mark, Marker},
    reader::Readers,
    writer::Writer,
};
pub use self::{
    backup::seal::SealCheck,
    folder::OpenError,
    restore::{RestoreError, Restored, restore},
};
use super::{Backup, BackupError, Batch, Claim, CommitError, ReadError, Row, RowKey, Stop, Store, Table};
use crate::core::{ids::Arrival, partitioning::PartitionId};

/// The format of the data folder that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Where the store lives and how much it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data folder; created, with its parents, if it is not there.
    pub folder: PathBuf,
    /// The most reads that run at once; further ones wait. At least one.
    pub readers_max: usize,
    /// The most pages of 8 KiB that the database may grow to; a commit that needs more fails as on a full disk.
    /// `None`: as many as the disk holds.
    pub pages_max: Option<u32>,
}

/// The embedded store. Dropped without [`Store::close`] it leaves what a crash would leave.
pub struct Embedded {
    health: Arc<Health>,
    /// Empty once it is closed. The checkpointer locks it to keep writes away for a moment.
    writer: Arc<Mutex<Option<Writer>>>,
    readers: Readers,
    backups: Backups,
    threads: Mutex<Option<Threads>>,
    /// Released last.
    lock: Mutex<Option<Lock>>,
}

/// What works beside the commits.
struct Threads {
    checkpointer: Checkpointer,
    marker: Marker,
}

impl Config {
    /// The defaults, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Config {
        Config { folder: folder.into(), readers_max: 4, pages_max: None }
    }
}

impl Embedded {
    /// Opens the store in the folder, or makes a new one there if there is none.
    ///
    /// What a former server had written when it died, acknowledged or not, is durable before this returns.
    ///
    /// # Errors
    /// [`OpenError`] says in words for people why the folder was refused. A refused store was not changed.
    pub fn open(config: Config) -> Result<Embedded, OpenError> {
        let folder = Folder::new(config.folder.clone());
        let lock = folder.lock()?;
        match Embedded::open_locked(&config, &folder) {
            Ok(parts) => Ok(parts.into_store(lock)),
            Err(error) => {
                lock.undo();
                Err(error)
            }
        }
    }

    fn open_locked(config: &Config, folder: &Folder) -> Result<Parts, OpenError> {
        match folder.state()? {
            State::Fresh => schema::create(folder)?,
            State::Whole => inspect::inspect(folder)?,
        }
        // From here on the folder is ours to write.
        backup::remove_leftovers(folder);
        let health = Arc::new(Health::default());
        let (wake, woken) = checkpoint::wake();
        let writer = Writer::open(folder, config.pages_max, health.clone(), wake)?;
        let mut mark = Mark::open(&folder.mark()).map_err(|source| folder.unusable(source))?;
        mark.write(writer.commit_number()).map_err(|source| folder.unusable(source))?;
        folder.sync()?;

        let writer = Arc::new(Mutex::new(Some(writer)));
        let marker = Marker::start(mark, health.clone()).map_err(|source| folder.unusable(source))?;
        let checkpointer = Checkpointer::start(folder, woken, writer.clone(), health.clone())?;
        let readers = Readers::new(folder.database(), config.readers_max);
        let backups = Backups::new(Folder::new(config.folder.clone()), writer.clone(), health.clone());
        Ok(Parts { health, writer, readers, backups, threads: Threads { checkpointer, marker } })
    }

    /// Ends the threads and lets go of the folder.
    fn shut(&self) -> Result<(), Failure> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.backups.close();
        let writer = self.writer.lock().take().map(Writer::into_connection);
        threads.checkpointer.join();
        let mark = threads.marker.join();
        self.readers.close();
        self.health.check()?;
        if let Some(connection) = writer {
            checkpoint::finish(connection).map_err(|source| Failure::sqlite(&source))?;
        }
        if let Some(mut mark) = mark {
            mark.write(self.health.durable()).map_err(|source| Failure::Mark(source.to_string()))?;
        }
        Ok(())
    }
}

/// An opened store that does not own its lock yet.
struct Parts {
    health: Arc<Health>,
    writer: Arc<Mutex<Option<Writer>>>,
    readers: Readers,
    backups: Backups,
    threads: Threads,
}

impl Parts {
    fn into_store(self, lock: Lock) -> Embedded {
        let Parts { health, writer, readers, backups, threads } = self;
        Embedded { health, writer, readers, backups, threads: Mutex::new(Some(threads)), lock: Mutex::new(Some(lock)) }
    }
}

impl Store for Embedded {
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError> {
        let mut writer = self.writer.lock();
        let claimed = writer.as_mut().ok_or(Failure::Closed).and_then(|writer| writer.claim(partitions));
        claimed.map_err(|failure| ReadError::Unreadable(failure.into()))
    }

    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError> {
        match self.writer.lock().as_mut() {
            Some(writer) => writer.commit(batches),
            None => Err(CommitError::OutcomeUnknown(Failure::Closed.into())),
        }
    }

    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.readers.scan(table, after, limit)
    }

    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        self.readers.read(table, arrival, from, limit)
    }

    /// Copies into a temporary file in the data folder first, so that the speed of whoever reads the backup does not
    /// matter to the commits. It takes as much room as the database.
    fn backup(&self, stop: &Stop) -> Result<Backup, BackupError> {
        self.backups.backup(stop)
    }

    fn check(&self) -> Result<(), CommitError> {
        self.health.check().map_err(|failure| CommitError::OutcomeUnknown(failure.into()))
    }

    /// Waits for the reads that run, empties the log into the database, writes MARK and lets go of the folder. Every
    /// later call fails.
    fn close(&self) -> Result<(), CommitError> {
        let shut = self.shut();
        *self.lock.lock() = None;
        shut.map_err(|failure| CommitError::OutcomeUnknown(failure.into()))
    }
}

impl Drop for Embedded {
    /// Ends the threads, and leaves the files as a crash would.
    fn drop(&mut self) {
        let Some(threads) = self.threads.get_mut().take() else { return };
        drop(self.writer.lock().take());
        threads.checkpointer.join();
        threads.marker.join();
    }
}
