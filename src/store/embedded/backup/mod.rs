//! Backups of the running store: one at a time, copied from one snapshot, verified, sealed.
//!
//! A backup is a copy of the database with a seal behind it. It is made in a temporary file in the data folder, at the
//! speed of the disk, and read from there at the speed of whoever wants it: only while it is made does it keep the log
//! from being started anew.

mod copy;
pub(super) mod seal;

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use self::{
    copy::Copier,
    seal::{SEAL_BYTES, Sealing},
};
use super::{
    super::{Backup, BackupError, Stop},
    failure::{Failure, Health},
    folder::Folder,
    writer::Writer,
};

/// Makes the backups of one store.
pub(super) struct Backups {
    folder: Folder,
    writer: Arc<Mutex<Option<Writer>>>,
    health: Arc<Health>,
    turns: Arc<Turns>,
}

/// Whose turn it is.
#[derive(Default)]
struct Turns {
    state: Mutex<State>,
    copied: Condvar,
}

#[derive(Default)]
struct State {
    /// A backup is made or read.
    taken: bool,
    /// It is made.
    copying: bool,
    closed: bool,
}

/// The right to make a backup, and then to keep it; the next one's when it is dropped.
struct Turn(Arc<Turns>);

/// A finished copy as it is read: the database, then the seal.
struct Copy {
    file: File,
    sealing: Sealing,
    seal: io::Cursor<Vec<u8>>,
    _turn: Turn,
}

impl Backups {
    pub(super) fn new(folder: Folder, writer: Arc<Mutex<Option<Writer>>>, health: Arc<Health>) -> Backups {
        Backups { folder, writer, health, turns: Arc::default() }
    }

    pub(super) fn backup(&self, stop: &Stop) -> Result<Backup, BackupError> {
        self.health.check().map_err(failed)?;
        let turn = Turn::take(&self.turns)?;
        let goes_on = || !stop.is_stopped() && !self.turns.state.lock().closed;
        let copier = Copier { folder: &self.folder, writer: &self.writer, health: &self.health, goes_on: &goes_on };
        let mut file = copier.copy().inspect_err(|error| tracing::warn!("no backup: {error}"))?;
        let read = file.rewind().and_then(|()| file.metadata());
        let bytes = read.map_err(failed)?.len();
        turn.copied();
        tracing::info!(bytes, "the backup is copied");
        let copy = Copy { file, sealing: Sealing::new(bytes), seal: io::Cursor::default(), _turn: turn };
        Ok(Backup::new(copy, bytes + SEAL_BYTES as u64))
    }

    /// Stops the copy under way, and waits for that. What is copied can still be read.
    pub(super) fn close(&self) {
        let mut state = self.turns.state.lock();
        state.closed = true;
        while state.copying {
            self.turns.copied.wait(&mut state);
        }
    }
}

impl Turn {
    fn take(turns: &Arc<Turns>) -> Result<Turn, BackupError> {
        let mut state = turns.state.lock();
        match *state {
            State { closed: true, .. } => Err(failed(Failure::Closed)),
            State { taken: true, .. } => Err(BackupError::Running),
            State { .. } => {
                (state.taken, state.copying) = (true, true);
                Ok(Turn(turns.clone()))
            }
        }
    }

    fn copied(&self) {
        self.0.state.lock().copying = false;
        self.0.copied.notify_all();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.copied();
        self.0.state.lock().taken = false;
    }
}

impl Read for Copy {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.sealing.remaining_bytes()).unwrap_or(usize::MAX);
        if left == 0 {
            return self.seal.read(into);
        }
        let length = into.len().min(left);
        let read = self.file.read(&mut into[..length])?;
        self.sealing.update(&into[..read]);
        if self.sealing.remaining_bytes() == 0 {
            self.seal = io::Cursor::new(self.sealing.seal());
        }
        Ok(read)
    }
}

/// Removes what a server that died while it copied has left. Nothing depends on its being gone but room on the disk.
pub(super) fn remove_leftovers(folder: &Folder) {
    if let Err(error) = copy::remove(folder) {
        tracing::warn!("{} is left over from a backup and can't be removed: {error}", folder.copy().display());
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackupError {
    BackupError::Failed(error.into())
}
