//! A file that appears under its name when it is whole and durable, and not before.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use super::Error;
use crate::files;

/// The file on its way: under the name with `.part` behind it, in the same folder. Dropped, it is gone.
pub struct Download {
    file: File,
    part: PathBuf,
    path: PathBuf,
    force: bool,
    done: bool,
}

impl Download {
    /// Refuses a file that is there unless `force` says that it may be replaced.
    pub fn begin(path: &Path, force: bool) -> Result<Download, Error> {
        check(path, force)?;
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let opened = File::options().write(true).create(true).truncate(false).open(&part);
        let file = opened.with_context(|| format!("{} can't be written", part.display()))?;
        // What is found there may be what a killed one has left, or be written by somebody else right now.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Other(anyhow!("{} is being written by another backup", part.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Whoever held it before may just have removed it: then another has a file of this name to itself.
        if !files::is_at(&file, &part) {
            return Err(Error::Other(anyhow!("{} was just removed by another backup; try again", part.display())));
        }
        let download = Download { file, part, path: path.into(), force, done: false };
        download.file.set_len(0)?;
        Ok(download)
    }

    /// Makes it durable, then gives it its name.
    pub fn finish(mut self) -> Result<(), Error> {
        let finish = || -> Result<(), Error> {
            self.file.sync_all()?;
            check(&self.path, self.force)?;
            fs::rename(&self.part, &self.path)?;
            Ok(())
        };
        finish().map_err(|error| match error {
            Error::Other(error) => Error::Other(error.context(format!("{} can't be written", self.path.display()))),
            error => error,
        })?;
        self.done = true;
        Ok(files::sync_folder_of(&self.path)?)
    }
}

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.done {
            // There is nobody to tell but who knows already that it failed.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn check(path: &Path, force: bool) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Error::Usage(format!("{} is there already, and is no file", path.display())))
        }
        Ok(_) if !force => Err(Error::Usage(format!("{} is there already: --force replaces it", path.display()))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup");
        fs::write(folder.path().join("backup.part"), "what a killed one has left").expect("a file");
        let mut download = Download::begin(&path, false).expect("there is no such file");
        download.write_all(b"first").expect("written");
        assert_eq!(names(folder.path()), ["backup.part"]);
        assert!(matches!(Download::begin(&path, false), Err(Error::Other(_))), "one at a time");
        drop(download);
        assert!(names(folder.path()).is_empty(), "what is not finished is gone");

        let mut download = Download::begin(&path, false).expect("there is no such file");
        download.write_all(b"second").expect("written");
        download.finish().expect("a name");
        assert_eq!((names(folder.path()), fs::read(&path).expect("a file")), (vec!["backup".into()], b"second".into()));
    }

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backup");
        fs::write(&path, "precious").expect("a file");
        assert!(matches!(Download::begin(&path, false), Err(Error::Usage(_))));
        assert!(matches!(Download::begin(folder.path(), true), Err(Error::Usage(_))), "a folder is no file");
        drop(Download::begin(&path, true).expect("by force"));
        assert_eq!(fs::read(&path).expect("a file"), b"precious", "not before the new one is whole");

        // It came while the backup was under way.
        let other = folder.path().join("other");
        let download = Download::begin(&other, false).expect("there is no such file");
        fs::write(&other, "precious").expect("a file");
        assert!(matches!(download.finish(), Err(Error::Usage(_))));
        assert_eq!(names(folder.path()), ["backup", "other"]);
    }
}
