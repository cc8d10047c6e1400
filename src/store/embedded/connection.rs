//! How the database is opened: once for writing, several times for reading.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{checkpoint::LOG_PAGES_MAX, schema::PAGE_BYTES};

/// What the writer keeps of the database in memory, in KiB: the pages that commits come back to.
const WRITER_CACHE_KIB: i64 = 64 * 1024;

/// A reader's share: enough for the inner pages of every table.
const READER_CACHE_KIB: i64 = 8 * 1024;

/// More than the statements of all tables.
const STATEMENTS_MAX: usize = 32;

/// Opens for writing. Nothing is checkpointed but on purpose: neither by commits nor when the connection is closed.
pub(super) fn writable(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // What it grew beyond its bound, it gives back when it is started anew.
    connection.pragma_update(None, "journal_size_limit", i64::from(LOG_PAGES_MAX) * i64::from(PAGE_BYTES))?;
    Ok(connection)
}

pub(super) fn readable(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Else statements are prepared anew for each limit that is bound: most of what it costs to read few rows.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where a plain fsync stops short of the disk (macOS), ask for the whole way.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}
