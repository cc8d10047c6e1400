//! Backups of the running store: one at a time, copied from one snapshot, verified, sealed.
//!
//! A backup is a copy of the database with a seal behind it. It is made in a temporary file in the data folder, at the
//! speed of the disk, and read from there at the speed of whoever wants it: only while it is made does it keep the log
//! from being started anew.

mod copy;
mod room;
pub(super) mod seal;

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use self::{
    copy::{Copier, LOG_PAGES_MAX},
    room::Room,
    seal::{SEAL_BYTES, Sealing},
};
use super::{
    super::{Backup, BackupError, Contents, Stop},
    failure::{Failure, Health},
    folder::Folder,
    writer::Writer,
};

/// Makes the backups of one store.
pub(super) struct Backups {
    folder: Folder,
    writer: Arc<Mutex<Option<Writer>>>,
    health: Arc<Health>,
    room: Room,
    log_pages_max: u32,
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
    room: Room,
    health: Arc<Health>,
    _turn: Turn,
}

impl Backups {
    pub(super) fn new(folder: Folder, writer: Arc<Mutex<Option<Writer>>>, health: Arc<Health>) -> Backups {
        let room = Room::of(folder.path().into());
        Backups { folder, writer, health, room, log_pages_max: LOG_PAGES_MAX, turns: Arc::default() }
    }

    pub(super) fn backup(&self, stop: &Stop) -> Result<Backup, BackupError> {
        self.health.check().map_err(failed)?;
        let turn = Turn::take(&self.turns)?;
        let goes_on = || !stop.is_stopped() && !self.turns.state.lock().closed;
        let copier = Copier {
            folder: &self.folder,
            writer: &self.writer,
            health: &self.health,
            room: &self.room,
            log_pages_max: self.log_pages_max,
            goes_on: &goes_on,
        };
        let mut file = copier.copy().inspect_err(|error| tracing::warn!("no backup: {error}"))?;
        let read = file.rewind().and_then(|()| file.metadata());
        let bytes = read.map_err(failed)?.len();
        turn.copied();
        tracing::info!(bytes, "the backup is copied");
        let (room, health) = (self.room.clone(), self.health.clone());
        let copy = Copy { file, sealing: Sealing::new(bytes), seal: io::Cursor::default(), room, health, _turn: turn };
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

impl Contents for Copy {
    /// It takes room until it is read, however slowly.
    fn check(&self) -> io::Result<()> {
        self.room.check(0, &self.health)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tempfile::TempDir;

    use super::{
        super::{checkpoint, connection, schema},
        *,
    };
    use crate::{core::partitioning::PartitionId, store::Table};

    /// A store's backups, and whoever else holds its parts.
    fn backups(home: &TempDir) -> Backups {
        let folder = || Folder::new(home.path().into());
        schema::create(&folder()).expect("a new store");
        let health = Arc::new(Health::default());
        let writer = Writer::open(&folder(), None, health.clone(), checkpoint::wake().0).expect("a writer");
        Backups::new(folder(), Arc::new(Mutex::new(Some(writer))), health)
    }

    fn copy_is_gone(backups: &Backups) -> bool {
        !backups.health.is_pinned() && !backups.folder.copy().exists() && !backups.turns.state.lock().taken
    }

    /// A backup filled the disk, and the commit that found it full ended the server.
    #[test]
    fn a_backup_leaves_room_to_the_commits() {
        let home = tempfile::tempdir().expect("a folder");
        let mut backups = backups(&home);
        let says = |error: &dyn std::error::Error| assert!(error.to_string().contains("bytes free, and "), "{error}");
        // There is room at first, and none after so many looks at it.
        let fills_after = |looks: usize| {
            let left = AtomicUsize::new(looks);
            let looks = move |left: usize| left.checked_sub(1);
            Room::new(move || match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, looks) {
                Ok(_) => Ok(u64::MAX),
                Err(_) => Ok(0),
            })
        };
        let mut looks = 0;
        let mut backup = loop {
            backups.room = fills_after(looks);
            match backups.backup(&Stop::default()) {
                Ok(backup) => break backup,
                Err(refused) => says(&refused),
            }
            assert!(copy_is_gone(&backups));
            looks += 1;
        };
        assert!(looks >= 2 + Table::ALL.len(), "it looks at each step, and while it reads the rows back");
        says(&backup.next(10).expect_err("no room is left"));
        says(&backup.check().expect_err("no room is left"));
        drop(backup);
        assert!(copy_is_gone(&backups));
        backups.health.check().expect("the store goes on");
    }

    /// The log can't be started anew while a backup is copied: there is a length at which it is the backup that ends.
    #[test]
    fn a_backup_is_given_up_where_the_log_has_become_too_long() {
        let home = tempfile::tempdir().expect("a folder");
        let mut backups = backups(&home);
        backups.log_pages_max = 1;
        // Whatever was written is in the database: there is nothing that it would keep.
        drop(backups.backup(&Stop::default()).expect("the log is empty"));
        let claimed = |backups: &Backups| {
            let claimed = backups.writer.lock().as_mut().map(|writer| writer.claim(&[PartitionId(0)]));
            claimed.expect("it is open").expect("a commit");
        };
        claimed(&backups);
        assert!(matches!(backups.backup(&Stop::default()), Err(BackupError::Overtaken)));
        assert!(copy_is_gone(&backups));
        let pages = backups.health.log_pages();
        backups.log_pages_max = pages + 1;
        drop(backups.backup(&Stop::default()).expect("it is short enough"));

        // The checkpointer has copied it since, and no commit has come: a server that fell idle had no backup for ever.
        backups.log_pages_max = 1;
        let ours = connection::writable(&backups.folder.database()).expect("a connection");
        checkpoint::checkpoint(&ours, checkpoint::Mode::Passive).expect("a pass");
        backups.backup(&Stop::default()).expect("the log is copied");
    }
}
