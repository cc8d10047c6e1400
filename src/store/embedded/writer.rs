//! The one connection that writes: claims and commits.

use std::{
    fs::File,
    sync::{Arc, mpsc::SyncSender},
};

use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior, params};

use super::{
    super::{Batch, Claim, CommitError, Table, Write, fence::Positions},
    checkpoint::{self, CHECKPOINT_PAGES, LOG_PAGES_MAX, Log, Mode},
    connection,
    failure::{Failure, Health},
    folder::{Folder, OpenError},
    row, schema,
};
use crate::core::{
    ids::Revision,
    partitioning::{PARTITIONS, PartitionId},
};

/// Writes, and remembers where the partitions stand, so that no commit has to read.
pub(super) struct Writer {
    connection: Connection,
    positions: Positions,
    commit_number: u64,
    log: Log,
    /// At this length commits wait until the log is copied.
    log_pages_max: u32,
    health: Arc<Health>,
    checkpointer: SyncSender<()>,
}

/// The statements of one transaction, prepared when they are first needed.
struct Statements<'c> {
    connection: &'c Connection,
    prepared: [[Option<CachedStatement<'c>>; 3]; Table::ALL.len()],
}

#[derive(Clone, Copy)]
enum Verb {
    Put,
    Delete,
    DeleteThrough,
}

impl Writer {
    /// Opens the database for writing, and makes durable whatever is found in it.
    pub(super) fn open(
        folder: &Folder,
        pages_max: Option<u32>,
        health: Arc<Health>,
        checkpointer: SyncSender<()>,
    ) -> Result<Writer, OpenError> {
        // The former server may have died between a write and its flush, or because a flush failed: what we see may
        // be in nothing but the system's memory. So the log is flushed, then written into the database anew.
        if folder.log().exists() {
            let flushed = File::options().write(true).open(folder.log()).and_then(|log| log.sync_all());
            flushed.map_err(|source| folder.unusable(source))?;
        }
        let opened = || -> rusqlite::Result<_> {
            let connection = connection::writable(&folder.database())?;
            let log = checkpoint::checkpoint(&connection, Mode::Truncate)?;
            if let Some(pages) = pages_max {
                connection.pragma_update(None, "max_page_count", pages)?;
            }
            let (positions, commit_number) = read_partitions(&connection)?;
            Ok((connection, log, positions, commit_number))
        };
        let (connection, log, positions, commit_number) = opened().map_err(|source| folder.refused(source))?;
        let positions = positions.ok_or_else(|| folder.damaged("its partitions are not those it was made with"))?;
        health.set_durable(commit_number);
        Ok(Writer { connection, positions, commit_number, log, log_pages_max: LOG_PAGES_MAX, health, checkpointer })
    }

    /// The number of the last commit; all up to it are durable.
    pub(super) fn commit_number(&self) -> u64 {
        self.commit_number
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    pub(super) fn claim(&mut self, partitions: &[PartitionId]) -> Result<Vec<Claim>, Failure> {
        self.health.check()?;
        let mut positions = self.positions.clone();
        let claimed = positions.claim(partitions).map_err(Failure::Unstorable)?;
        self.durably(positions, partitions.iter().copied(), |_| Ok(()))?;
        Ok(claimed)
    }

    pub(super) fn commit(&mut self, batches: &[Batch]) -> Result<(), CommitError> {
        let unknown = |failure: Failure| CommitError::OutcomeUnknown(failure.into());
        self.health.check().map_err(unknown)?;
        let mut positions = self.positions.clone();
        positions.advance(batches)?;
        self.bound_log();
        let written = batches.iter().map(|batch| batch.partition);
        self.durably(positions, written, |connection| {
            let mut statements = Statements::new(connection);
            batches.iter().flat_map(|batch| &batch.writes).try_for_each(|write| statements.execute(write))
        })
        .map_err(unknown)
    }

    /// One transaction: the rows that `write` writes, and where these partitions stand now. If it fails anywhere,
    /// nobody writes any more.
    fn durably(
        &mut self,
        positions: Positions,
        written: impl Iterator<Item = PartitionId>,
        write: impl FnOnce(&Connection) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let number = self.commit_number + 1;
        let sqlite = |error: rusqlite::Error| Failure::sqlite(&error);
        let attempt = || {
            // Dropped on failure, it rolls back; that can fail too, and does not matter any more.
            let transaction = rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
            let transaction = transaction.map_err(sqlite)?;
            write(&transaction)?;
            write_positions(&transaction, &positions, written, number)?;
            transaction.commit().map_err(sqlite)
        };
        attempt().inspect_err(|failure| self.health.fail(failure))?;
        self.positions = positions;
        self.commit_number = number;
        self.health.set_durable(number);
        self.look_at_log();
        Ok(())
    }

    /// Wakes the checkpointer if there is enough to copy.
    pub(super) fn look_at_log(&mut self) {
        match checkpoint::checkpoint(&self.connection, Mode::Look) {
            Ok(log) => self.log_is(log),
            // The commit is durable, whatever is wrong here: it is the next one's concern.
            Err(error) => return self.health.fail(&Failure::sqlite(&error)),
        }
        if self.log.rest() >= CHECKPOINT_PAGES {
            // Full: it is awake already. Closed: it has ended, and so will we.
            let _ = self.checkpointer.try_send(());
        }
    }

    fn log_is(&mut self, log: Log) {
        let begins_anew = log.pages < self.log.pages;
        // What has grown under a backup can't be copied all at once at its end, while commits wait: the checkpointer
        // has as long for it as the log takes to grow by its bound.
        self.log_pages_max = match self.health.is_pinned() {
            true => log.pages.saturating_add(LOG_PAGES_MAX),
            false if begins_anew => LOG_PAGES_MAX,
            false => self.log_pages_max,
        };
        self.log = log;
        self.health.set_log(log);
    }

    /// Where the checkpointer can't keep up, commits wait; not for a backup, which gives up by itself.
    fn bound_log(&mut self) {
        if self.log.pages < self.log_pages_max || self.health.is_pinned() {
            return;
        }
        match checkpoint::unless_busy(checkpoint::checkpoint(&self.connection, Mode::Restart)) {
            Ok(Some(log)) if !log.busy => {}
            Ok(_) => tracing::warn!("a reader keeps the database's log from being emptied: {} pages", self.log.pages),
            Err(error) => self.health.fail(&Failure::sqlite(&error)),
        }
    }
}

impl<'c> Statements<'c> {
    fn new(connection: &'c Connection) -> Statements<'c> {
        Statements { connection, prepared: Default::default() }
    }

    fn execute(&mut self, write: &Write) -> Result<(), Failure> {
        write.check().map_err(Failure::Unstorable)?;
        match write {
            Write::Put { table, key, bytes } => {
                let (arrival, number) = (signed(key.arrival.0)?, signed(key.number)?);
                let checksum = row::checksum(*table, arrival, number, bytes);
                self.prepared(*table, Verb::Put)?.execute(params![arrival, number, checksum, bytes])
            }
            Write::Delete { table, key } => {
                let (arrival, number) = (signed(key.arrival.0)?, signed(key.number)?);
                self.prepared(*table, Verb::Delete)?.execute([arrival, number])
            }
            Write::DeleteThrough { table, key } => {
                let (arrival, number) = (signed(key.arrival.0)?, signed(key.number)?);
                self.prepared(*table, Verb::DeleteThrough)?.execute([arrival, number])
            }
        }
        .map(|_| ())
        .map_err(|error| Failure::sqlite(&error))
    }

    fn prepared(&mut self, table: Table, verb: Verb) -> Result<&mut CachedStatement<'c>, Failure> {
        let sql = schema::sql(table);
        let sql = match verb {
            Verb::Put => sql.put,
            Verb::Delete => sql.delete,
            Verb::DeleteThrough => sql.delete_through,
        };
        match &mut self.prepared[table as usize][verb as usize] {
            Some(statement) => Ok(statement),
            none => {
                let statement = self.connection.prepare_cached(sql).map_err(|error| Failure::sqlite(&error))?;
                Ok(none.insert(statement))
            }
        }
    }
}

fn signed(number: u64) -> Result<i64, Failure> {
    i64::try_from(number).map_err(|_| Failure::Unstorable(format!("{number} is beyond what a row can hold")))
}

fn write_positions(
    connection: &Connection,
    positions: &Positions,
    written: impl Iterator<Item = PartitionId>,
    commit_number: u64,
) -> Result<(), Failure> {
    let sqlite = |error: rusqlite::Error| Failure::sqlite(&error);
    let mut update = connection.prepare_cached(schema::UPDATE_PARTITION).map_err(sqlite)?;
    let commit_number = signed(commit_number)?;
    for partition in written {
        let claim = positions.of(partition).map_err(Failure::Unstorable)?;
        let (epoch, sequence) = (signed(claim.epoch)?, signed(claim.sequence)?);
        let updated = params![partition.0, epoch, sequence, signed(claim.revision.0)?, commit_number];
        update.execute(updated).map_err(sqlite)?;
    }
    Ok(())
}

/// `None` if the partitions are not the ones there must be.
pub(super) fn read_partitions(connection: &Connection) -> rusqlite::Result<(Option<Positions>, u64)> {
    let mut statement = connection.prepare(schema::SELECT_PARTITIONS)?;
    let mut rows = statement.query(())?;
    let (mut claims, mut last) = (Vec::new(), 0);
    let restored = connection.query_row(schema::SELECT_RESTORED, (), |row| row.get::<_, i64>(0)).optional()?;
    let restored = Revision(restored.and_then(|revision| u64::try_from(revision).ok()).unwrap_or_default());
    while let Some(row) = rows.next()? {
        let unsigned = |n| row.get::<_, i64>(n).map(|number| u64::try_from(number).ok());
        let (Some(epoch), Some(sequence), Some(revision), Some(number)) =
            (unsigned(1)?, unsigned(2)?, unsigned(3)?, unsigned(4)?)
        else {
            return Ok((None, 0));
        };
        let partition = PartitionId(row.get(0)?);
        claims.push(Claim { partition, epoch, sequence, revision: Revision(revision), restored });
        last = last.max(number);
    }
    let expected = PartitionId::all();
    let whole = claims.len() == usize::from(PARTITIONS) && claims.iter().map(|claim| claim.partition).eq(expected);
    Ok((whole.then(|| Positions::new(claims)), last))
}

#[cfg(test)]
mod tests {
    use super::{super::checkpoint::wake, *};

    /// The first commit after a backup copied all that the log had grown to under it, while everybody waited.
    #[test]
    fn after_a_backup_commits_do_not_wait_for_what_it_kept_in_the_log() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(home.path().into());
        schema::create(&folder).expect("a new store");
        let health = Arc::new(Health::default());
        let mut writer = Writer::open(&folder, None, health.clone(), wake().0).expect("a writer");
        let mut bound_at = |pinned, pages| {
            health.set_pinned(pinned);
            writer.log_is(Log { busy: false, pages, copied_pages: 0 });
            writer.log_pages_max
        };
        assert_eq!(bound_at(false, 10), LOG_PAGES_MAX);
        assert_eq!(bound_at(true, 20), 20 + LOG_PAGES_MAX);
        assert_eq!(bound_at(true, 3 * LOG_PAGES_MAX), 4 * LOG_PAGES_MAX);
        assert_eq!(bound_at(false, 3 * LOG_PAGES_MAX + 1), 4 * LOG_PAGES_MAX);
        assert_eq!(bound_at(false, 1), LOG_PAGES_MAX, "it was started anew");
    }
}
