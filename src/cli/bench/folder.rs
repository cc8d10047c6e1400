//! A folder that is there for as long as the bench.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use crate::cli::Error;

/// Removed with all that is in it when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn make_in(place: &Path) -> Result<Folder, Error> {
        let path = place.join(format!("soloist-bench-{}", process::id()));
        let made = fs::create_dir(&path);
        made.map_err(|error| Error::Usage(format!("the folder {} can't be made: {error}", path.display())))?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed can be seen, and does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
