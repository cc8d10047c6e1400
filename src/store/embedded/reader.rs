//! The connections that read: a bounded pool, opened as they are needed.
//!
//! A read is one statement. Nothing holds a snapshot for longer, since the log can't be emptied past one.

use std::path::PathBuf;

use parking_lot::{Condvar, Mutex};
use rusqlite::{CachedStatement, Connection, ErrorCode, types::Type};

use super::{
    super::{ReadError, Row, RowKey, Table},
    connection,
    failure::{Failure, describe},
    row, schema,
};
use crate::core::ids::Arrival;

/// The most rows that room is made for before they are read.
const ROWS_RESERVED_MAX: usize = 1024;

/// The pool.
pub(super) struct Readers {
    database: PathBuf,
    connections_max: usize,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    /// Idle or out.
    open: usize,
    closed: bool,
}

/// A connection that is out; goes back when it is dropped.
struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn new(database: PathBuf, connections_max: usize) -> Readers {
        let pool = Mutex::new(Pool { idle: Vec::new(), open: 0, closed: false });
        Readers { database, connections_max: connections_max.max(1), pool, returned: Condvar::new() }
    }

    pub(super) fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError> {
        let (arrival, number) = match after {
            // Not 0: a row that strayed below it is to be noticed.
            None => (i64::MIN, i64::MIN),
            Some(RowKey { arrival, number }) => match i64::try_from(arrival.0) {
                Ok(arrival) => (arrival, i64::try_from(number).unwrap_or(i64::MAX)),
                // Nothing stands behind what no row can be numbered with.
                Err(_) => return Ok(Vec::new()),
            },
        };
        self.query(table, schema::sql(table).scan, (arrival, number), limit)
    }

    pub(super) fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        match (i64::try_from(arrival.0), i64::try_from(from)) {
            (Ok(arrival), Ok(from)) => self.query(table, schema::sql(table).read, (arrival, from), limit),
            _ => Ok(Vec::new()),
        }
    }

    fn query(&self, table: Table, sql: &str, start: (i64, i64), limit: usize) -> Result<Vec<Row>, ReadError> {
        let reader = self.take()?;
        let read = || {
            let mut statement: CachedStatement<'_> = reader.connection().prepare_cached(sql)?;
            let limit_signed = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut found = statement.query((start.0, start.1, limit_signed))?;
            let mut rows = Vec::with_capacity(limit.min(ROWS_RESERVED_MAX));
            while let Some(row) = found.next()? {
                match verified(table, row) {
                    Ok((key, bytes)) => rows.push(Row { key, bytes: bytes.to_vec() }),
                    Err(damaged) => return Ok(Err(damaged)),
                }
            }
            Ok(Ok(rows))
        };
        read().unwrap_or_else(|error| Err(unread(table, start, error)))
    }

    /// Closes the connections, those that are out as soon as they are back, and waits for that.
    pub(super) fn close(&self) {
        let mut pool = self.pool.lock();
        pool.closed = true;
        // Every read is one bounded statement, so each comes back.
        while pool.open > pool.idle.len() {
            self.returned.wait(&mut pool);
        }
        pool.idle.clear();
        pool.open = 0;
    }

    fn take(&self) -> Result<Reader<'_>, ReadError> {
        let mut pool = self.pool.lock();
        loop {
            if pool.closed {
                return Err(ReadError::Unreadable(Failure::Closed.into()));
            }
            if let Some(connection) = pool.idle.pop() {
                return Ok(Reader { readers: self, connection: Some(connection) });
            }
            if pool.open < self.connections_max {
                pool.open += 1;
                drop(pool);
                // Counted as open, and uncounted by its drop if it can't be opened.
                let mut reader = Reader { readers: self, connection: None };
                let opened = connection::readable(&self.database);
                reader.connection = Some(opened.map_err(|error| unreadable(&error))?);
                return Ok(reader);
            }
            self.returned.wait(&mut pool);
        }
    }
}

impl Reader<'_> {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.open -= 1,
        }
        self.readers.returned.notify_all();
    }
}

/// What is wrong with the first row of the table that is not what was written; nothing if it was not found before
/// `goes_on` ended the search.
pub(super) fn first_damaged(
    connection: &Connection,
    table: Table,
    goes_on: impl Fn() -> bool,
) -> rusqlite::Result<Option<ReadError>> {
    const BEFORE_ALL: i64 = i64::MIN;
    const UNLIMITED: i64 = -1;
    let mut statement = connection.prepare(schema::sql(table).scan)?;
    let mut rows = statement.query((BEFORE_ALL, BEFORE_ALL, UNLIMITED))?;
    while let (Some(row), true) = (rows.next()?, goes_on()) {
        if let Err(damaged) = verified(table, row) {
            return Ok(Some(damaged));
        }
    }
    Ok(None)
}

/// The row, if it is what was written.
fn verified<'a>(table: Table, row: &'a rusqlite::Row<'_>) -> Result<(RowKey, &'a [u8]), ReadError> {
    let number = |n| row.get::<_, i64>(n).ok();
    let (arrival_signed, number_signed) = (number(0).unwrap_or(-1), number(1).unwrap_or(-1));
    let key = key(arrival_signed, number_signed);
    let damaged = |what: &str| ReadError::Damaged { table, key, what: what.into() };
    let checksum = number(2).ok_or_else(|| damaged("it has no checksum"))?;
    let bytes = row.get_ref(3).ok().and_then(|value| match value.data_type() {
        Type::Blob => value.as_blob().ok(),
        _ => None,
    });
    let bytes = bytes.ok_or_else(|| damaged("it has no bytes"))?;
    if checksum != row::checksum(table, arrival_signed, number_signed, bytes) {
        return Err(damaged("its checksum is wrong"));
    }
    Ok((key, bytes))
}

/// What SQLite's error means for the rows from `start` on.
fn unread(table: Table, start: (i64, i64), error: rusqlite::Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            let what = format!("at this row or behind it: {}", describe(&error));
            ReadError::Damaged { table, key: key(start.0, start.1), what }
        }
        _ => unreadable(&error),
    }
}

fn unreadable(error: &rusqlite::Error) -> ReadError {
    ReadError::Unreadable(Failure::sqlite(error).into())
}

fn key(arrival: i64, number: i64) -> RowKey {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or_default();
    RowKey { arrival: Arrival(unsigned(arrival)), number: unsigned(number) }
}
