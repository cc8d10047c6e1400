//! Room on the disk: what a backup takes, no commit may miss.

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::{io, path::PathBuf};

use super::super::{failure::Health, schema::PAGE_BYTES};

/// What stays free whatever a backup needs, for what is committed between two looks: 64 MiB.
const SPARE_BYTES: u64 = 64 << 20;

/// The disk that the data folder is on. A commit that finds it full ends the server; a backup that would is given up.
#[derive(Clone)]
pub(super) struct Room {
    folder: PathBuf,
    spare_bytes: u64,
    /// Looks until the disk is full.
    #[cfg(test)]
    looks: Option<Arc<AtomicU32>>,
}

impl Room {
    pub(super) fn new(folder: PathBuf) -> Room {
        Room {
            folder,
            spare_bytes: SPARE_BYTES,
            #[cfg(test)]
            looks: None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_spare(self, spare_bytes: u64) -> Room {
        Room { spare_bytes, ..self }
    }

    #[cfg(test)]
    pub(super) fn that_fills_after(self, looks: u32) -> Room {
        Room { looks: Some(Arc::new(AtomicU32::new(looks))), ..self }
    }

    #[cfg(not(test))]
    fn free(&self) -> io::Result<u64> {
        fs4::available_space(&self.folder)
    }

    #[cfg(test)]
    fn free(&self) -> io::Result<u64> {
        let is_full = self.looks.as_ref().is_some_and(|looks| {
            looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        });
        if is_full { Ok(0) } else { fs4::available_space(&self.folder) }
    }

    /// Whether a copy that grows by so many pages leaves enough to the commits: for the next ones, and for what is
    /// still in the log alone and has to go into the database.
    pub(super) fn check(&self, copy_pages: u64, health: &Health) -> io::Result<()> {
        let free = self.free()?;
        let log_pages = u64::from(health.log_rest());
        let needed = copy_pages.saturating_add(log_pages).saturating_mul(PAGE_BYTES.into());
        let needed = needed.saturating_add(self.spare_bytes);
        if free > needed {
            return Ok(());
        }
        let says = format!(
            "the disk of the data folder has {free} bytes free, and {needed} are needed to leave room for what is written meanwhile"
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, says))
    }
}
