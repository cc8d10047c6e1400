//! The data folder: its files, its lock, and why it is refused.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{FORMAT, failure::describe};
use crate::files;

/// The files of a store.
pub(super) struct Folder {
    path: PathBuf,
}

/// What was found in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No store, or one whose making was interrupted before anything could be committed.
    Fresh,
    /// A database and its FORMAT.
    Whole,
}

/// The right to use the folder, for as long as it lives.
pub(super) struct Lock {
    /// Locked; the operating system releases it when it is closed, also when the process dies.
    _file: File,
    path: PathBuf,
    created: bool,
}

/// Why a data folder was refused. The store in it was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it can't be created, read or written.
    #[error("the data folder {} can't be used: {source}", .folder.display())]
    Unusable { folder: PathBuf, source: io::Error },
    /// Two servers can't share a folder: stop the other one, or choose another folder.
    #[error("the data folder {} is in use by another server", .folder.display())]
    Locked { folder: PathBuf },
    /// A newer server wrote this folder: use that one.
    #[error("the data folder {} has format {found}, this server reads formats up to {supported}: use a newer server",
        .folder.display())]
    FormatNewer { folder: PathBuf, found: u32, supported: u32 },
    /// Nobody can say what this folder holds.
    #[error("{} is not the FORMAT file of a store: it says {found:?}", .file.display())]
    FormatUnreadable { file: PathBuf, found: String },
    /// A file of the store was removed, or was not copied along.
    #[error("the data folder {} holds {present} but no {missing}: restore the missing file, or choose another folder",
        .folder.display())]
    Incomplete { folder: PathBuf, present: &'static str, missing: &'static str },
    /// A restore into the folder was interrupted: run it again, or empty the folder.
    #[error("a restore into the data folder {} was not finished: run it again, or empty the folder", .folder.display())]
    Unrestored { folder: PathBuf },
    /// The store was made for another layout of partitions; its instances could not be found.
    #[error("the data folder {} was made with {what} {found:?}, this server uses {expected:?}", .folder.display())]
    LayoutDiffers { folder: PathBuf, what: &'static str, found: String, expected: String },
    /// Commits that were durable are missing. Restore the right files; what is missing can't be made up.
    #[error(
        "the database in {} ends at commit {found}, but its MARK says that commit {mark} was durable: it was damaged \
         or replaced by an older copy", .folder.display())]
    ShortOfMark { folder: PathBuf, found: u64, mark: u64 },
    /// The database is not one, or is not whole. Restore a copy.
    #[error("the database {} is damaged: {what}", .file.display())]
    Damaged { file: PathBuf, what: String },
    /// SQLite can't open or write the database.
    #[error("the database {} can't be opened: {what}", .file.display())]
    Database { file: PathBuf, what: String, source: rusqlite::Error },
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("soloist.db")
    }

    /// The database while it is made. Where this stands and the database does not, nothing was ever committed.
    pub(super) fn unfinished_database(&self) -> PathBuf {
        self.path.join("soloist.db.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("soloist.db-wal")
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.path.join("MARK")
    }

    /// A copy on its way to whoever backs the store up. Left over by a server that died, it is worth nothing.
    pub(super) fn copy(&self) -> PathBuf {
        self.path.join("soloist.db.copy")
    }

    /// A database on its way from a backup. Where this stands, what else there is was not finished.
    pub(super) fn restoring(&self) -> PathBuf {
        self.path.join("soloist.db.restoring")
    }

    pub(super) fn format(&self) -> PathBuf {
        self.path.join("FORMAT")
    }

    /// Takes the folder, which is made first if it is not there.
    pub(super) fn lock(&self) -> Result<Lock, OpenError> {
        create_durably(&self.path).map_err(|source| self.unusable(source))?;
        let path = self.path.join("LOCK");
        let created = !path.try_exists().map_err(|source| self.unusable(source))?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|source| self.unusable(source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { folder: self.path.clone() }),
            Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
        }
        // Another server may have removed the file (see `Lock::undo`) between our open and our lock: then we hold
        // nothing.
        if !files::is_at(&file, &path) {
            return Err(OpenError::Locked { folder: self.path.clone() });
        }
        Ok(Lock { _file: file, path, created })
    }

    pub(super) fn state(&self) -> Result<State, OpenError> {
        let exists = |path: PathBuf| path.try_exists().map_err(|source| self.unusable(source));
        // A new store in its place would look like success to whoever wants the old one back.
        if exists(self.restoring())? {
            return Err(OpenError::Unrestored { folder: self.path.clone() });
        }
        let (format, database) = (exists(self.format())?, exists(self.database())?);
        let (log, mark) = (exists(self.log())?, exists(self.mark())?);
        let unfinished = exists(self.unfinished_database())?;
        let incomplete = |present, missing| Err(OpenError::Incomplete { folder: self.path.clone(), present, missing });
        match (format, database) {
            (true, true) => self.check_format().map(|()| State::Whole),
            (false, true) => incomplete("a database", "FORMAT"),
            (_, false) if mark => incomplete("a MARK", "database"),
            (_, false) if log => incomplete("a database's log (soloist.db-wal)", "database"),
            (true, false) if !unfinished => incomplete("a FORMAT", "database"),
            (_, false) => Ok(State::Fresh),
        }
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let bytes = fs::read(self.format()).map_err(|source| self.unusable(source))?;
        let text = String::from_utf8_lossy(&bytes);
        let number = text.strip_prefix("soloist-store ").and_then(|rest| rest.trim_end().parse::<u32>().ok());
        match number {
            Some(FORMAT) => Ok(()),
            Some(found) if found > FORMAT => {
                Err(OpenError::FormatNewer { folder: self.path.clone(), found, supported: FORMAT })
            }
            _ => {
                let found = text.chars().take(FORMAT_SHOWN_MAX).collect();
                Err(OpenError::FormatUnreadable { file: self.format(), found })
            }
        }
    }

    pub(super) fn write_format(&self) -> io::Result<()> {
        let mut file = File::create(self.format())?;
        writeln!(file, "soloist-store {FORMAT}")?;
        file.sync_all()
    }

    /// Makes the names of the files durable.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        files::sync_folder(&self.path).map_err(|source| self.unusable(source))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Unusable { folder: self.path.clone(), source }
    }

    /// What an error of SQLite means for the whole database.
    pub(super) fn refused(&self, source: rusqlite::Error) -> OpenError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
        match source.sqlite_error_code() {
            // Unknown: our statements don't fit its tables. None: what it holds is not of the kind that we wrote.
            Some(DatabaseCorrupt | NotADatabase | Unknown) | None => self.damaged(describe(&source)),
            Some(_) => OpenError::Database { file: self.database(), what: describe(&source), source },
        }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged { file: self.database(), what: what.into() }
    }
}

/// As much of an unreadable FORMAT as an error shows.
const FORMAT_SHOWN_MAX: usize = 64;

impl Lock {
    /// Leaves a refused folder as it was found.
    pub(super) fn undo(self) {
        // Removed while it is still locked, so that it can't be another server's lock that we remove.
        if self.created && fs::remove_file(&self.path).is_err() {
            tracing::debug!("{} could not be removed again", self.path.display());
        }
    }
}

/// A database's file and those that SQLite may make beside it.
pub(super) fn beside(database: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|ending| {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        name.into()
    })
}

/// Makes the folder and its parents, and their names durable.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
    fs::create_dir_all(path)?;
    for made in missing {
        files::sync_folder_of(made)?;
    }
    Ok(())
}
