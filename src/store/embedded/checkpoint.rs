//! Checkpoints: how the log's pages get into the database, off the path of the commits.
//!
//! A thread copies pages while commits go on (a passive checkpoint). SQLite starts the log anew only if a commit finds
//! everything copied, which never happens under constant load; so, when little is left, the thread keeps commits
//! away for the moment that the rest takes, and starts the log anew itself.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, config::DbConfig};

use super::{
    connection,
    failure::{Failure, Health},
    folder::{Folder, OpenError},
    writer::Writer,
};

/// So many pages that are not copied yet wake the checkpointer: 32 MiB. A pass costs two flushes however little it
/// copies, and a page that was written many times is copied once.
pub(super) const CHECKPOINT_PAGES: u32 = 4_000;

/// From this many pages on (128 MiB) the log is worth starting anew.
const RESTART_PAGES: u32 = 16_000;

/// So few pages (2 MiB) are copied and flushed in a few milliseconds: for that long commits may be kept waiting.
const REST_PAGES: u32 = 256;

/// How often a pass is repeated to get the rest down to [`REST_PAGES`] before the next wake-up.
const PASSES_MAX: usize = 8;

/// The log's bound, 512 MiB: here commits wait until it is copied, however long that takes. What it has grown to under
/// a backup, which keeps it from being started anew, comes on top until it is. Only readers that never end can make it
/// grow beyond.
pub(super) const LOG_PAGES_MAX: u32 = 64_000;

/// How a checkpoint is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Only says where the log stands.
    Look,
    /// Copies what it can without waiting for anybody.
    Passive,
    /// Copies all, waits for readers, and has the next commit begin at the log's start.
    Restart,
    /// The same, and cuts the file to nothing.
    Truncate,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Somebody was in the way; not all was done.
    pub(super) busy: bool,
    pub(super) pages: u32,
    pub(super) copied_pages: u32,
}

/// The thread that checkpoints. It ends when the writer, which holds the other end of its channel, is gone.
pub(super) struct Checkpointer {
    thread: JoinHandle<()>,
}

/// Both ends of what wakes the checkpointer; one wake-up waits at most.
pub(super) fn wake() -> (SyncSender<()>, Receiver<()>) {
    mpsc::sync_channel(1)
}

pub(super) fn checkpoint(connection: &Connection, mode: Mode) -> rusqlite::Result<Log> {
    let sql = match mode {
        Mode::Look => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    connection.prepare_cached(sql)?.query_row((), |row| {
        // Where there is no log the numbers are -1.
        let pages = |n| row.get::<_, i64>(n).map(|pages| u32::try_from(pages).unwrap_or(0));
        Ok(Log { busy: row.get::<_, i64>(0)? != 0, pages: pages(1)?, copied_pages: pages(2)? })
    })
}

/// Empties the log into the database and closes the last connection, which removes the log.
pub(super) fn finish(connection: Connection) -> rusqlite::Result<()> {
    checkpoint(&connection, Mode::Truncate)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.close().map_err(|(_, error)| error)
}

impl Log {
    pub(super) fn rest(&self) -> u32 {
        self.pages.saturating_sub(self.copied_pages)
    }
}

impl Checkpointer {
    pub(super) fn start(
        folder: &Folder,
        woken: Receiver<()>,
        writer: Arc<Mutex<Option<Writer>>>,
        health: Arc<Health>,
    ) -> Result<Checkpointer, OpenError> {
        let connection = connection::writable(&folder.database()).map_err(|source| folder.refused(source))?;
        let run = move || {
            while woken.recv().is_ok() {
                let done =
                    health.check().and_then(|()| tidy(&connection, &writer, &health).map_err(|e| Failure::sqlite(&e)));
                // A flush of the database that failed once may seem to succeed the next time, with pages lost.
                if let Err(failure) = done {
                    health.fail(&failure);
                }
            }
        };
        let thread = thread::Builder::new().name("store-checkpoint".into()).spawn(run);
        Ok(Checkpointer { thread: thread.map_err(|source: io::Error| folder.unusable(source))? })
    }

    /// Waits for the thread's end; the writer must be gone.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the checkpointer panicked");
        }
    }
}

/// Copies while commits go on; then, if the log is long and nearly copied, finishes it while they wait.
fn tidy(connection: &Connection, writer: &Mutex<Option<Writer>>, health: &Health) -> rusqlite::Result<()> {
    for _ in 0..PASSES_MAX {
        let log = unless_busy(checkpoint(connection, Mode::Passive))?;
        if health.is_pinned() || log.is_none_or(|log| log.busy || log.pages < RESTART_PAGES) {
            return Ok(());
        }
        if log.is_some_and(|log| log.rest() <= REST_PAGES) {
            let _commits_wait = writer.lock();
            // It may have been pinned since; not from here on, since that takes the same lock.
            if health.is_pinned() {
                return Ok(());
            }
            return unless_busy(checkpoint(connection, Mode::Restart)).map(|_| ());
        }
    }
    Ok(())
}

/// Somebody who reads the database from outside may hold it for a moment: no failure, the next pass comes.
pub(super) fn unless_busy<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{super::schema, *};

    /// A database whose log is long enough to be started anew, and the connection that wrote it.
    fn long_log(folder: &tempfile::TempDir) -> (Folder, Connection) {
        let folder = Folder::new(folder.path().into());
        schema::create(&folder).expect("a new store");
        let writer = connection::writable(&folder.database()).expect("a writer");
        write(&writer, RESTART_PAGES * schema::PAGE_BYTES);
        assert!(look(&writer).pages >= RESTART_PAGES);
        (folder, writer)
    }

    fn write(connection: &Connection, bytes: u32) {
        let sql = "INSERT OR REPLACE INTO record VALUES (1, 0, zeroblob(?1))";
        connection.execute(sql, [bytes]).expect("a commit");
    }

    fn look(connection: &Connection) -> Log {
        checkpoint(connection, Mode::Look).expect("a look")
    }

    #[test]
    fn a_long_log_is_copied_and_started_anew() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let (folder, writer) = long_log(&temporary);
        let ours = connection::writable(&folder.database()).expect("a connection");
        tidy(&ours, &Mutex::new(None), &Health::default()).expect("a pass");
        write(&writer, 1);
        let log = look(&writer);
        assert!(log.pages < 100, "{log:?}");
    }

    /// While a backup was copied the checkpointer waited five seconds for its snapshot to end, and all commits with it.
    #[test]
    fn nobody_waits_for_who_has_pinned_the_log() {
        static WAITED: AtomicBool = AtomicBool::new(false);
        let waits = |_| {
            WAITED.store(true, Ordering::Relaxed);
            false
        };
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let (folder, writer) = long_log(&temporary);
        let mut ours = connection::writable(&folder.database()).expect("a connection");
        ours.busy_handler(Some(waits)).expect("a handler");
        let reader = connection::readable(&folder.database()).expect("a reader");
        let mut statement = reader.prepare(schema::SELECT_PARTITIONS).expect("a statement");
        let mut rows = statement.query(()).expect("a query");
        assert!(rows.next().expect("a row").is_some());
        write(&writer, 1);

        let health = Health::default();
        health.set_pinned(true);
        tidy(&ours, &Mutex::new(None), &health).expect("a pass");
        assert!(!WAITED.load(Ordering::Relaxed));
        let log = look(&writer);
        assert!(log.copied_pages >= RESTART_PAGES && log.rest() <= REST_PAGES, "what can be copied is: {log:?}");
        health.set_pinned(false);
        tidy(&ours, &Mutex::new(None), &health).expect("a pass");
        assert!(WAITED.load(Ordering::Relaxed), "the reader is not in the way");
    }

    /// Somebody reads an old snapshot while the log is tidied: nothing fails, and it is tidied once they are done.
    #[test]
    fn a_reader_only_puts_it_off() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let (folder, writer) = long_log(&temporary);
        let ours = connection::writable(&folder.database()).expect("a connection");
        ours.busy_timeout(std::time::Duration::ZERO).expect("a timeout");
        let reader = connection::readable(&folder.database()).expect("a reader");
        let mut statement = reader.prepare(schema::SELECT_PARTITIONS).expect("a statement");
        let mut rows = statement.query(()).expect("a query");
        assert!(rows.next().expect("a row").is_some());
        write(&writer, 1);
        tidy(&ours, &Mutex::new(None), &Health::default()).expect("a pass that is put off");
        write(&writer, 1);
        assert!(look(&writer).pages > RESTART_PAGES);
        drop(rows);
        tidy(&ours, &Mutex::new(None), &Health::default()).expect("a pass");
        write(&writer, 1);
        let log = look(&writer);
        assert!(log.pages < 100, "{log:?}");
    }
}
