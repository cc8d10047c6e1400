//! The tables on disk, and the making of a new database.

use std::fs::{self, File};

use rusqlite::{Connection, OpenFlags, params};

use super::{
    super::Table,
    FORMAT,
    folder::{Folder, OpenError, beside},
};
use crate::core::partitioning::{HASH, PARTITIONS, PartitionId};

/// The size of a page in bytes: large enough for some twenty records, small enough for a lone commit.
pub(super) const PAGE_BYTES: u32 = 8192;

/// The statements of one table.
pub(super) struct Sql {
    pub(super) create: &'static str,
    pub(super) put: &'static str,
    pub(super) delete: &'static str,
    pub(super) delete_through: &'static str,
    pub(super) scan: &'static str,
    pub(super) read: &'static str,
}

/// Meta holds what was fixed when the store was made; a partition's row the number of the last commit that wrote
/// it, so that a commit needs no page of its own for its number: the store's last commit is the greatest of them.
const CREATE: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE \"partition\" (
        id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, revision INTEGER NOT NULL,
        commit_number INTEGER NOT NULL
    ) STRICT;";

pub(super) const SELECT_META: &str = "SELECT name, value FROM meta";
pub(super) const SELECT_LAST_COMMIT: &str = "SELECT max(commit_number) FROM \"partition\"";
pub(super) const SELECT_PARTITIONS: &str =
    "SELECT id, epoch, sequence, revision, commit_number FROM \"partition\" ORDER BY id";
pub(super) const UPDATE_PARTITION: &str =
    "UPDATE \"partition\" SET epoch = ?2, sequence = ?3, revision = ?4, commit_number = ?5 WHERE id = ?1";

/// Where the revisions went on when the store was restored; no row if it never was.
pub(super) const SELECT_RESTORED: &str = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'restored'";
pub(super) const INSERT_RESTORED: &str = "INSERT OR REPLACE INTO meta VALUES ('restored', CAST(?1 AS TEXT))";
pub(super) const SELECT_LAST_REVISION: &str = "SELECT max(revision) FROM \"partition\"";
pub(super) const RAISE_REVISIONS: &str = "UPDATE \"partition\" SET revision = ?1";

/// What is fixed when a store is made, as (name, text).
pub(super) fn meta() -> [(&'static str, String); 3] {
    [("format", FORMAT.to_string()), ("hash", HASH.to_string()), ("partitions", PARTITIONS.to_string())]
}

/// The parameters are, in this order: arrival, number, checksum, bytes; of a scan and a read: the key, the limit.
macro_rules! numbered {
    ($name:literal) => {
        Sql {
            create: concat!(
                "CREATE TABLE ",
                $name,
                " (arrival INTEGER NOT NULL, number INTEGER NOT NULL, ",
                "checksum INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (arrival, number)) STRICT, WITHOUT ROWID"
            ),
            put: concat!("INSERT OR REPLACE INTO ", $name, " VALUES (?1, ?2, ?3, ?4)"),
            delete: concat!("DELETE FROM ", $name, " WHERE arrival = ?1 AND number = ?2"),
            delete_through: concat!("DELETE FROM ", $name, " WHERE arrival = ?1 AND number <= ?2"),
            scan: concat!(
                "SELECT arrival, number, checksum, bytes FROM ",
                $name,
                " WHERE (arrival, number) > (?1, ?2) ORDER BY arrival, number LIMIT ?3"
            ),
            read: concat!(
                "SELECT arrival, number, checksum, bytes FROM ",
                $name,
                " WHERE arrival = ?1 AND number >= ?2 ORDER BY number LIMIT ?3"
            ),
        }
    };
}

/// There is one record an instance, so the arrival alone is the key, and SQLite's own row number: the cheapest there
/// is. The number is bound all the same, and is 0 wherever it matters.
const RECORD: Sql = Sql {
    create: "CREATE TABLE record (arrival INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT",
    put: "INSERT OR REPLACE INTO record VALUES (?1, ?3, ?4)",
    delete: "DELETE FROM record WHERE arrival = ?1 AND ?2 = 0",
    delete_through: "DELETE FROM record WHERE arrival = ?1 AND 0 <= ?2",
    scan: "SELECT arrival, 0, checksum, bytes FROM record WHERE arrival > ?1 ORDER BY arrival LIMIT ?3",
    read: "SELECT arrival, 0, checksum, bytes FROM record WHERE arrival = ?1 AND 0 >= ?2 LIMIT ?3",
};
const TRANSITION: Sql = numbered!("transition");
const PAYLOAD: Sql = numbered!("payload");
const EVENT: Sql = numbered!("event");
const QUEUE: Sql = numbered!("queue");
const HISTORY: Sql = numbered!("history");
const REQUEST: Sql = numbered!("request");
const TASK: Sql = numbered!("task");
const OUTBOX: Sql = numbered!("outbox");
const MARK: Sql = numbered!("mark");

pub(super) const fn sql(table: Table) -> &'static Sql {
    match table {
        Table::Record => &RECORD,
        Table::Transition => &TRANSITION,
        Table::Payload => &PAYLOAD,
        Table::Event => &EVENT,
        Table::Queue => &QUEUE,
        Table::History => &HISTORY,
        Table::Request => &REQUEST,
        Table::Task => &TASK,
        Table::Outbox => &OUTBOX,
        Table::Mark => &MARK,
    }
}

/// Makes a new store. The database gets its name last: whatever was interrupted before that starts over.
pub(super) fn create(folder: &Folder) -> Result<(), OpenError> {
    let path = folder.unfinished_database();
    for stale in beside(&path) {
        match fs::remove_file(stale) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder.unusable(error)),
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(&path, flags).map_err(|source| folder.refused(source))?;
    fill(&mut database).map_err(|source| folder.refused(source))?;
    database.close().map_err(|(_, source)| folder.refused(source))?;

    let published = || {
        File::options().write(true).open(&path)?.sync_all()?;
        folder.write_format()
    };
    published().map_err(|source| folder.unusable(source))?;
    folder.sync()?;
    fs::rename(&path, folder.database()).map_err(|source| folder.unusable(source))?;
    folder.sync()
}

fn fill(database: &mut Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "page_size", PAGE_BYTES)?;
    let transaction = database.transaction()?;
    transaction.execute_batch(CREATE)?;
    for table in Table::ALL {
        transaction.execute_batch(sql(table).create)?;
    }
    for (name, value) in meta() {
        transaction.execute("INSERT INTO meta VALUES (?1, ?2)", params![name, value])?;
    }
    for partition in PartitionId::all() {
        transaction.execute("INSERT INTO \"partition\" VALUES (?1, 0, 0, 0, 0)", params![partition.0])?;
    }
    transaction.commit()?;
    database.pragma_update(None, "journal_mode", "WAL")
}
