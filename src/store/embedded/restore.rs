//! A data folder made from a backup, so that nothing of what the lost server did after the backup is mistaken for ours.
//!
//! The lost server went on after the backup: it granted fencing tokens and told watchers of revisions that the backup
//! does not know. Were the partitions to go on from where the backup ends, the same numbers would be given out again: a
//! worker of the lost server could pass for the holder of a new grant, and a watcher could resume in a history that
//! never was. So every partition goes on from a number that no server has reached.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};

use super::{
    super::Table,
    FORMAT,
    backup::seal::{Seal, Sealing},
    checkpoint, connection,
    failure::describe,
    folder::{Folder, Lock, OpenError, beside},
    inspect::{self, Found},
    mark::Mark,
    schema, writer,
};
use crate::core::{ids::Revision, time::Timestamp};

/// What the revisions are raised by where the clock can't be right: 2^40, more than a partition gives out in years.
const RAISE: i64 = 1 << 40;

/// 2025-01-01, in microseconds.
const BEFORE_ALL: i64 = 1_735_689_600_000_000;

/// What is read from the backup at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What a file system may keep in a folder that is otherwise empty.
const NOT_OURS: &str = "lost+found";

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The size of the database.
    pub bytes: u64,
    /// Where the revisions of all partitions go on.
    pub revision: Revision,
}

/// Why nothing was restored. The folder is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup can't be read.
    #[error("the backup {} can't be read: {source}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// It has no seal: another file, or one that was cut, or whose making was interrupted. Take another one.
    #[error("{} is not a whole backup of Soloist: it was cut, or it never was one", .file.display())]
    NotWhole { file: PathBuf },
    /// A newer server made it: use that one.
    #[error("the backup {} has format {found}, this program reads formats up to {supported}: use a newer one",
        .file.display())]
    FormatNewer { file: PathBuf, found: u32, supported: u32 },
    /// It is not what was written. Take another one.
    #[error("the backup {} is damaged: {what}", .file.display())]
    Damaged { file: PathBuf, what: String },
    /// A store is never overwritten, nor mixed with other files: choose another folder, or empty this one.
    #[error("the data folder {} is not empty: it holds {found:?}", .folder.display())]
    NotEmpty { folder: PathBuf, found: String },
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
}

/// Makes a data folder of a backup; `now` is the wall time. Blocks.
///
/// A folder in which this was interrupted is refused by [`Embedded::open`](super::Embedded::open), and can be restored
/// into again.
///
/// # Errors
/// See [`RestoreError`]. Nothing is left of what failed.
pub fn restore(file: &Path, folder: impl Into<PathBuf>, now: Timestamp) -> Result<Restored, RestoreError> {
    let unreadable = |source| RestoreError::Unreadable { file: file.into(), source };
    let mut source = File::open(file).map_err(unreadable)?;
    let seal = Seal::read(&mut source).map_err(unreadable)?;
    let seal = seal.ok_or_else(|| RestoreError::NotWhole { file: file.into() })?;
    match seal.format {
        FORMAT => {}
        found if found > FORMAT => {
            return Err(RestoreError::FormatNewer { file: file.into(), found, supported: FORMAT });
        }
        _ => return Err(RestoreError::NotWhole { file: file.into() }),
    }
    let site = Site::take(folder.into())?;
    site.unpack(file, source, &seal)?;
    site.check(file)?;
    let (revision, commit_number) = site.raise(file, now)?;
    site.publish(commit_number)?;
    Ok(Restored { bytes: seal.bytes, revision })
}

/// The folder while it is made. Dropped before it is whole, it is as it was before.
struct Site {
    folder: Folder,
    lock: Option<Lock>,
    created: bool,
    stage: Stage,
}

/// Whose the files in the folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not ours to touch.
    Foreign,
    /// Ours to take away again.
    Unfinished,
    /// A store.
    Whole,
}

impl Site {
    /// Takes an empty folder, or what an interrupted restore has left of one.
    fn take(path: PathBuf) -> Result<Site, RestoreError> {
        let folder = Folder::new(path);
        let created = !folder.path().try_exists().map_err(|source| folder.unusable(source))?;
        let lock = folder.lock()?;
        let mut site = Site { folder, lock: Some(lock), created, stage: Stage::Foreign };
        site.check_empty()?;
        site.stage = Stage::Unfinished;
        let staged = [site.folder.format(), site.folder.mark()];
        staged.iter().try_for_each(|path| remove(path)).map_err(|source| site.folder.unusable(source))?;
        Ok(site)
    }

    fn check_empty(&self) -> Result<(), RestoreError> {
        let folder = &self.folder;
        let unusable = |source| RestoreError::Folder(folder.unusable(source));
        let interrupted = folder.restoring().try_exists().map_err(unusable)?;
        let mut ours = vec![folder.path().join("LOCK"), folder.path().join(NOT_OURS)];
        if interrupted {
            ours.extend(beside(&folder.restoring()).into_iter().chain([folder.format(), folder.mark()]));
        }
        for entry in fs::read_dir(folder.path()).map_err(unusable)? {
            let path = entry.map_err(unusable)?.path();
            if !ours.contains(&path) {
                let found = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(RestoreError::NotEmpty { folder: folder.path().into(), found });
            }
        }
        Ok(())
    }

    /// Writes the database, and checks that it is what was sealed.
    fn unpack(&self, file: &Path, mut source: File, seal: &Seal) -> Result<(), RestoreError> {
        let unusable = |source| self.folder.unusable(source);
        let mut database = File::create(self.folder.restoring()).map_err(unusable)?;
        // Whatever else is put here, a crash must not leave it without the sign that it is not finished.
        self.folder.sync()?;
        let mut sealing = Sealing::new(seal.bytes);
        let mut piece = vec![0; PIECE_BYTES];
        while sealing.remaining_bytes() > 0 {
            let length = usize::try_from(sealing.remaining_bytes()).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let read = source.read_exact(&mut piece[..length]);
            read.map_err(|source| RestoreError::Unreadable { file: file.into(), source })?;
            sealing.update(&piece[..length]);
            database.write_all(&piece[..length]).map_err(unusable)?;
        }
        if !sealing.is(seal) {
            let what = "its bytes are not those that were sealed".into();
            return Err(RestoreError::Damaged { file: file.into(), what });
        }
        database.sync_all().map_err(unusable)?;
        Ok(())
    }

    /// Whether a server could use it: its layout is ours, its pages hang together, each row is what was written.
    fn check(&self, file: &Path) -> Result<(), RestoreError> {
        let damaged = |what: String| RestoreError::Damaged { file: file.into(), what };
        let path = self.folder.restoring();
        let Found { meta, damage, .. } =
            inspect::look(&path, &Table::ALL).map_err(|error| damaged(describe(&error)))?;
        inspect::check_meta(&self.folder, &meta)?;
        if let Some(damage) = damage {
            return Err(damaged(damage.to_string()));
        }
        let pages = inspect::open(&path)
            .and_then(|database| database.query_row("PRAGMA quick_check(1)", (), |row| row.get::<_, String>(0)));
        match pages.map_err(|error| damaged(describe(&error)))? {
            fine if fine == "ok" => Ok(()),
            what => Err(damaged(what)),
        }
    }

    /// Raises the revisions. Answers where they go on, and the number of the last commit.
    fn raise(&self, file: &Path, now: Timestamp) -> Result<(Revision, u64), RestoreError> {
        let damaged = |what: &str| RestoreError::Damaged { file: file.into(), what: what.into() };
        let raised = || -> rusqlite::Result<_> {
            let mut database = connection::writable(&self.folder.restoring())?;
            database.pragma_update(None, "journal_mode", "WAL")?;
            let (positions, commit_number) = writer::read_partitions(&database)?;
            let raised = raise(&mut database, now)?;
            checkpoint::finish(database)?;
            Ok(raised.filter(|_| positions.is_some()).map(|revision| (revision, commit_number)))
        };
        let raised = raised().map_err(|error| self.folder.refused(error))?;
        raised.ok_or_else(|| damaged("its partitions are not those it was made with"))
    }

    fn clear(&self) {
        // What says that this was not finished goes last.
        let [database, rest @ ..] = beside(&self.folder.restoring());
        for path in rest.into_iter().chain([self.folder.format(), self.folder.mark(), database]) {
            if let Err(error) = remove(&path) {
                tracing::warn!("{} can't be removed again: {error}", path.display());
            }
        }
    }

    /// Makes a store of it, with the last step.
    fn publish(mut self, commit_number: u64) -> Result<(), RestoreError> {
        let folder = &self.folder;
        let staged = || -> io::Result<()> {
            File::options().write(true).open(folder.restoring())?.sync_all()?;
            Mark::open(&folder.mark())?.write(commit_number)?;
            folder.write_format()
        };
        staged().map_err(|source| folder.unusable(source))?;
        folder.sync()?;
        fs::rename(folder.restoring(), folder.database()).map_err(|source| folder.unusable(source))?;
        self.stage = Stage::Whole;
        Ok(self.folder.sync()?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        match self.stage {
            Stage::Whole => return,
            Stage::Unfinished => self.clear(),
            Stage::Foreign => {}
        }
        if let Some(lock) = self.lock.take() {
            lock.undo();
        }
        if self.created {
            // Its parents stay, like those of a new store.
            let _ = fs::remove_dir(self.folder.path());
        }
    }
}

/// Sets all partitions to one revision that no server which had this data has reached. `None` if there is none.
fn raise(database: &mut Connection, now: Timestamp) -> rusqlite::Result<Option<Revision>> {
    let transaction = database.transaction()?;
    let last: i64 = transaction.query_row(schema::SELECT_LAST_REVISION, (), |row| row.get(0))?;
    let Some(raised) = beyond(last, now) else { return Ok(None) };
    transaction.execute(schema::RAISE_REVISIONS, params![raised])?;
    transaction.execute(schema::INSERT_RESTORED, params![raised])?;
    transaction.commit()?;
    Ok(u64::try_from(raised).ok().map(Revision))
}

/// The wall time in microseconds: no partition gives out a revision a microsecond, so whatever a server that began at
/// an earlier time has given out since is less, be it one that was restored from the same backup. Where the clock is
/// behind what the backup holds it is wrong; if only it goes on, a second restore still comes after the first. Below
/// 2^53 until the year 2255, so that programs which keep numbers as doubles can compare the tokens.
fn beyond(last: i64, now: Timestamp) -> Option<i64> {
    if now.as_micros() > last {
        Some(now.as_micros())
    } else {
        last.checked_add(RAISE)?.checked_add(now.as_micros().saturating_sub(BEFORE_ALL).max(0))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_only_go_forward() {
        const NOW: i64 = 1_763_856_000_000_000;
        const SINCE: i64 = NOW - BEFORE_ALL;
        let cases = [
            (0, NOW, Some(NOW)),
            (1_000_000, NOW, Some(NOW)),
            (NOW - 1, NOW, Some(NOW)),
            (NOW, NOW, Some(NOW + RAISE + SINCE)),
            (NOW, NOW - 1, Some(NOW + RAISE + SINCE - 1)),
            (NOW, 0, Some(NOW + RAISE)),
            (7, -7, Some(7 + RAISE)),
            (i64::MAX - 1, NOW, None),
        ];
        for (last, now, expected) in cases {
            assert_eq!(beyond(last, Timestamp::from_micros(now)), expected, "{last} at {now}");
        }
    }
}
