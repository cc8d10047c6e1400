//! The look at a database before it is used, which changes nothing in the folder.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    super::{ReadError, Table},
    FORMAT,
    folder::{Folder, OpenError},
    mark, reader, schema,
};

/// A file system of SQLite's that takes no locks and shares no memory: nobody else has the database open, since we
/// hold the folder's lock.
#[cfg(unix)]
pub(super) const UNSHARED: &std::ffi::CStr = c"unix-none";
#[cfg(not(unix))]
pub(super) const UNSHARED: &std::ffi::CStr = c"win32-none";

/// Whether this server may use the database: what it was made with is ours, and it is not short of its MARK.
pub(super) fn inspect(folder: &Folder) -> Result<(), OpenError> {
    let mark = mark::read(&folder.mark()).map_err(|source| folder.unusable(source))?;
    let had_log = folder.log().try_exists().map_err(|source| folder.unusable(source))?;
    let read = look(&folder.database(), &READ_AT_START);
    // SQLite makes an empty log where there is none.
    if !had_log {
        match fs::remove_file(folder.log()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(folder.unusable(error)),
            _ => {}
        }
    }
    let Found { meta, last_commit, damage } = read.map_err(|source| folder.refused(source))?;
    check_meta(folder, &meta)?;
    let commit_number = last_commit.and_then(|number| u64::try_from(number).ok());
    let found = commit_number.ok_or_else(|| folder.damaged("its partitions are missing"))?;
    if let Some(mark) = mark.filter(|mark| found < *mark) {
        return Err(OpenError::ShortOfMark { folder: folder.path().into(), found, mark });
    }
    if let Some(damage) = damage {
        return Err(folder.damaged(damage.to_string()));
    }
    match mark {
        Some(_) => Ok(()),
        None => {
            // A copy without its MARK is still a good copy, and a MARK that was torn before its first line was whole
            // is no fault of the database. What is lost is the proof that no commit is missing.
            tracing::warn!(
                "{} is missing or unreadable: that the database, which ends at commit {found}, is whole can't be checked",
                folder.mark().display()
            );
            Ok(())
        }
    }
}

pub(super) type Meta = BTreeMap<String, String>;

/// What a database says before it is used.
pub(super) struct Found {
    pub(super) meta: Meta,
    pub(super) last_commit: Option<i64>,
    /// The first row of the tables looked at that is not what was written.
    pub(super) damage: Option<ReadError>,
}

/// What every start reads in any case. That it is whole must be known before the first write, which a refused
/// database would have to be rid of again; the other rows are checked when they are asked for.
const READ_AT_START: [Table; 6] =
    [Table::Record, Table::Queue, Table::Request, Table::Task, Table::Outbox, Table::Mark];

/// Looks at a database that nobody else has open, and at each row of these tables.
pub(super) fn look(database: &Path, tables: &[Table]) -> rusqlite::Result<Found> {
    let database = open(database)?;
    let mut statement = database.prepare(schema::SELECT_META)?;
    let meta = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Meta>>()?;
    let last_commit = database.query_row(schema::SELECT_LAST_COMMIT, (), |row| row.get(0))?;
    let mut damage = None;
    for table in tables {
        damage = damage.or(reader::first_damaged(&database, *table, || true)?);
    }
    Ok(Found { meta, last_commit, damage })
}

/// Opens it to read through the log without touching a file: its index is built in memory, where an exclusive
/// connection keeps it, instead of in the shared file beside the database.
pub(super) fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags_and_vfs(database, flags, UNSHARED)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(database)
}

pub(super) fn check_meta(folder: &Folder, meta: &Meta) -> Result<(), OpenError> {
    if let Some(found) = meta.get("format").and_then(|text| text.parse().ok()).filter(|format| *format > FORMAT) {
        return Err(OpenError::FormatNewer { folder: folder.path().into(), found, supported: FORMAT });
    }
    for (what, expected) in schema::meta() {
        let found =
            meta.get(what).ok_or_else(|| folder.damaged(format!("it does not say with which {what} it was made")))?;
        if *found != expected {
            let found = found.clone();
            return Err(OpenError::LayoutDiffers { folder: folder.path().into(), what, found, expected });
        }
    }
    Ok(())
}
