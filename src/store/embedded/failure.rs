//! What went wrong while writing, and that it did: after the first failure nothing is written any more.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use rusqlite::{ErrorCode, ffi};

use super::checkpoint::Log;

/// Why the store does not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite could not do it; the text holds the cause down to the call of the operating system.
    #[error("{0}")]
    Sqlite(String),
    #[error("MARK can't be written: {0}")]
    Mark(String),
    /// The batch asks for what no table can hold: a bug in its maker.
    #[error("{0}")]
    Unstorable(String),
    #[error("nothing is written any more since a write failed: {0}")]
    Earlier(String),
    #[error("the store is closed")]
    Closed,
}

/// What the threads of a store know of each other: how far it is durable, whether it has failed, and what keeps its log
/// from being started anew.
#[derive(Default)]
pub(super) struct Health {
    failed: OnceLock<String>,
    durable: AtomicU64,
    log_pages: AtomicU32,
    log_rest: AtomicU32,
    pinned: AtomicBool,
}

impl Failure {
    pub(super) fn sqlite(error: &rusqlite::Error) -> Failure {
        Failure::Sqlite(describe(error))
    }
}

impl Health {
    /// Nobody may write from now on. The first failure stays the one that is told.
    pub(super) fn fail(&self, failure: &Failure) {
        if self.failed.set(failure.to_string()).is_ok() {
            tracing::error!("the store failed: {failure}");
        }
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        self.failed.get().map_or(Ok(()), |first| Err(Failure::Earlier(first.clone())))
    }

    /// The number of the last durable commit.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn set_durable(&self, commit_number: u64) {
        self.durable.store(commit_number, Ordering::Release);
    }

    /// The length of the log when it was last looked at.
    pub(super) fn log_pages(&self) -> u32 {
        self.log_pages.load(Ordering::Relaxed)
    }

    /// What of it was not in the database yet.
    pub(super) fn log_rest(&self) -> u32 {
        self.log_rest.load(Ordering::Relaxed)
    }

    pub(super) fn set_log(&self, log: Log) {
        self.log_pages.store(log.pages, Ordering::Relaxed);
        self.log_rest.store(log.rest(), Ordering::Relaxed);
    }

    /// Whether a backup reads an old snapshot, and will for a while: the log can't be started anew, and whoever tried
    /// would wait in vain, and with it every commit.
    pub(super) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Acquire)
    }

    /// Pinned under the writer's lock, so that nobody is just starting the log anew.
    pub(super) fn set_pinned(&self, pinned: bool) {
        self.pinned.store(pinned, Ordering::Release);
    }
}

/// SQLite's message and, since "disk I/O error" alone helps nobody, which call failed and what the system said.
///
/// To be called on the thread of the error, at once: the system's word is the thread's last one.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    let Some(code) = error.sqlite_error() else { return error.to_string() };
    match code.code {
        ErrorCode::SystemIoFailure => {
            let said = std::io::Error::last_os_error();
            format!(
                "{error}: {} (SQLite code {}); the system last said: {said}",
                call(code.extended_code),
                code.extended_code
            )
        }
        _ => format!("{error} (SQLite code {})", code.extended_code),
    }
}

fn call(extended_code: i32) -> &'static str {
    match extended_code {
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => "a read failed",
        ffi::SQLITE_IOERR_WRITE => "a write failed",
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => "a flush failed",
        ffi::SQLITE_IOERR_TRUNCATE => "a file could not be cut",
        ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP => "the log's index failed",
        _ => "a call of the system failed",
    }
}
