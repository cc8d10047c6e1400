//! A copy of a whole store, made while it is written.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A finished copy, to be read once from its beginning to its end. What it occupies is free again when it is dropped.
pub struct Backup {
    contents: Box<dyn Contents>,
    remaining_bytes: u64,
}

/// What a backup is read from.
pub trait Contents: Read + Send + Sync {
    /// Fails if it has to make way: what it occupies is needed for what is written.
    fn check(&self) -> io::Result<()>;
}

/// Tells a backup under way that nobody wants it any more.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// Why there is no backup. The store goes on, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is one at a time, from when it begins to be copied until it is read or dropped. Try again later.
    #[error("another backup is under way; try again when it has ended")]
    Running,
    /// This kind of store has tools of its own for it.
    #[error("a store of this kind is not backed up by the server: use its own tools")]
    Unsupported,
    /// Somebody said [`Stop`], or the store is being closed.
    #[error("the backup was stopped")]
    Stopped,
    /// While it was copied so much was written that what the copy keeps from being tidied up reached its bound. Try
    /// again when less is written.
    #[error("the store is written faster than it can be copied; try again when less is written")]
    Overtaken,
    /// What the store has is not what was written: its copy is worth nothing. An older backup may be.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The copy could not be made or read, such as for want of room. Mend the cause and try again.
    #[error("the copy failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Backup {
    /// `contents` yields `bytes` bytes; fewer are an error.
    pub fn new(contents: impl Contents + 'static, bytes: u64) -> Backup {
        Backup { contents: Box::new(contents), remaining_bytes: bytes }
    }

    /// What is left to read.
    pub fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes
    }

    /// Whether it may still be kept; to be asked every second or so while nobody reads.
    pub fn check(&self) -> io::Result<()> {
        self.contents.check()
    }

    /// The next bytes, `bytes_max` of them unless fewer are left. Blocks.
    pub fn next(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.remaining_bytes).map_or(bytes_max, |remaining| remaining.min(bytes_max));
        let mut piece = vec![0; length];
        self.check()?;
        self.contents.read_exact(&mut piece)?;
        self.remaining_bytes -= length as u64;
        Ok(piece)
    }
}

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
