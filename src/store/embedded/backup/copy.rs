//! The copy of the database in a temporary file: one snapshot, in steps, while commits go on.
//!
//! All steps read the same snapshot, so a commit does not make SQLite begin again. It is durable as a whole: SQLite
//! shows a commit to readers once the log is flushed. Each step is flushed before the next one, so that the copy never
//! has much waiting for the disk that a commit's flush would have to wait for.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
};

use parking_lot::Mutex;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    super::{
        super::{BackupError, Table},
        connection,
        failure::{Failure, Health},
        folder::{Folder, beside},
        inspect, reader, schema,
        writer::Writer,
    },
    failed,
    room::Room,
};

/// The pages of one step, 2 MiB.
const STEP_PAGES: i32 = 256;

/// Rows that are read back between two looks at whether that may go on: a few milliseconds.
const ROWS_BETWEEN_LOOKS: u64 = 1_000;

/// The log's length, 1.5 GiB, at which a backup is given up: it keeps the log from being started anew, and commits
/// don't wait for it.
pub(super) const LOG_PAGES_MAX: u32 = 192_000;

/// Copies the database once.
pub(super) struct Copier<'a> {
    pub(super) folder: &'a Folder,
    pub(super) writer: &'a Mutex<Option<Writer>>,
    pub(super) health: &'a Health,
    pub(super) room: &'a Room,
    pub(super) log_pages_max: u32,
    pub(super) goes_on: &'a dyn Fn() -> bool,
}

/// The file, under its name in the data folder until it is dropped.
struct Temporary<'a> {
    folder: &'a Folder,
    file: File,
}

/// A snapshot that is read for a while.
struct Snapshot<'a> {
    /// Closed before the pin is gone.
    connection: Connection,
    pages: i64,
    _pin: Pin<'a>,
}

struct Pin<'a>(&'a Health);

impl Copier<'_> {
    /// The file has no name any more when this returns: whatever becomes of it, it leaves nothing behind.
    pub(super) fn copy(&self) -> Result<File, BackupError> {
        let temporary = Temporary::create(self.folder).map_err(failed)?;
        self.copy_pages(&temporary)?;
        self.verify()?;
        temporary.file.try_clone().map_err(failed)
    }

    fn copy_pages(&self, temporary: &Temporary<'_>) -> Result<(), BackupError> {
        let snapshot = self.snapshot()?;
        self.check_room(snapshot.pages)?;
        let mut to = open_copy(self.folder).map_err(|error| broken(&error))?;
        let backup = Backup::new(&snapshot.connection, &mut to).map_err(|error| broken(&error))?;
        loop {
            self.check()?;
            self.check_log()?;
            match backup.step(STEP_PAGES).map_err(|error| broken(&error))? {
                StepResult::Done => break,
                StepResult::More => temporary.file.sync_data().map_err(failed)?,
                // Nobody else has the copy open, and nobody writes through the snapshot's connection.
                other => return Err(failed(format!("SQLite does not go on: {other:?}"))),
            }
            self.check_room(backup.progress().remaining.into())?;
        }
        drop(backup);
        drop(snapshot);
        to.close().map_err(|(_, error)| broken(&error))?;
        temporary.file.sync_all().map_err(failed)
    }

    /// Everything that is committed now.
    fn snapshot(&self) -> Result<Snapshot<'_>, BackupError> {
        let connection = connection::readable(&self.folder.database()).map_err(|error| broken(&error))?;
        // Commits wait for this, and so does whoever starts the log anew.
        let mut writer = self.writer.lock();
        // The last commit may be long ago.
        writer.as_mut().ok_or_else(|| failed(Failure::Closed))?.look_at_log();
        self.check_log()?;
        let pin = Pin::set(self.health);
        let begin = || -> rusqlite::Result<i64> {
            connection.execute_batch("BEGIN")?;
            // It is the first read that takes the snapshot.
            connection.query_row(schema::SELECT_LAST_COMMIT, (), |row| row.get::<_, Option<i64>>(0))?;
            connection.query_row("PRAGMA page_count", (), |row| row.get(0))
        };
        let pages = begin().map_err(|error| broken(&error))?;
        Ok(Snapshot { connection, pages, _pin: pin })
    }

    /// Reads every row back, and with them every page that they stand on.
    fn verify(&self) -> Result<(), BackupError> {
        let copy = inspect::open(&self.folder.copy()).map_err(|error| broken(&error))?;
        let rows = Cell::new(0_u64);
        let goes_on = || {
            rows.set(rows.get() + 1);
            !rows.get().is_multiple_of(ROWS_BETWEEN_LOOKS) || self.check().is_ok()
        };
        for table in Table::ALL {
            let damaged = reader::first_damaged(&copy, table, goes_on).map_err(|error| broken(&error))?;
            if let Some(damaged) = damaged {
                return Err(BackupError::Damaged(damaged.to_string()));
            }
            self.check()?;
        }
        Ok(())
    }

    fn check_room(&self, pages: i64) -> Result<(), BackupError> {
        self.room.check(pages.unsigned_abs(), self.health).map_err(failed)
    }

    /// A log that is in the database as a whole is started anew by the next commit, however long it is.
    fn check_log(&self) -> Result<(), BackupError> {
        let is_overtaken = self.health.log_rest() > 0 && self.health.log_pages() >= self.log_pages_max;
        if is_overtaken { Err(BackupError::Overtaken) } else { Ok(()) }
    }

    /// Whether the copy may go on, and be kept.
    fn check(&self) -> Result<(), BackupError> {
        if (self.goes_on)() { self.check_room(0) } else { Err(BackupError::Stopped) }
    }
}

impl Temporary<'_> {
    fn create(folder: &Folder) -> io::Result<Temporary<'_>> {
        remove(folder)?;
        let file = File::options().read(true).write(true).create_new(true).open(folder.copy())?;
        Ok(Temporary { folder, file })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        super::remove_leftovers(self.folder);
    }
}

impl Pin<'_> {
    fn set(health: &Health) -> Pin<'_> {
        health.set_pinned(true);
        Pin(health)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.set_pinned(false);
    }
}

/// Removes the temporary file and what SQLite may have made beside it.
pub(super) fn remove(folder: &Folder) -> io::Result<()> {
    beside(&folder.copy()).into_iter().try_for_each(|path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Without a journal and without flushes of SQLite's own: a copy that is not finished is thrown away.
fn open_copy(folder: &Folder) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(folder.copy(), flags, inspect::UNSHARED)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

fn broken(error: &rusqlite::Error) -> BackupError {
    match (error.sqlite_error_code(), Failure::sqlite(error)) {
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), failure) => {
            BackupError::Damaged(failure.to_string())
        }
        (_, failure) => failed(failure),
    }
}
