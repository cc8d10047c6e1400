//! Room on the disk: what a backup takes, no commit may miss.

use std::{io, path::PathBuf, sync::Arc};

use super::super::{failure::Health, schema::PAGE_BYTES};

/// What stays free whatever a backup needs, for what is committed between two looks: 64 MiB.
const SPARE_BYTES: u64 = 64 << 20;

/// The disk that the data folder is on. A commit that finds it full ends the server; a backup that would is given up.
#[derive(Clone)]
pub(super) struct Room {
    free_bytes: Arc<dyn Fn() -> io::Result<u64> + Send + Sync>,
}

impl Room {
    pub(super) fn of(folder: PathBuf) -> Room {
        Room::new(move || fs4::available_space(&folder))
    }

    pub(super) fn new(free_bytes: impl Fn() -> io::Result<u64> + Send + Sync + 'static) -> Room {
        Room { free_bytes: Arc::new(free_bytes) }
    }

    /// Whether a copy that grows by so many pages leaves enough to the commits: for the next ones, and for what is
    /// still in the log alone and has to go into the database.
    pub(super) fn check(&self, copy_pages: u64, health: &Health) -> io::Result<()> {
        let pages = copy_pages.saturating_add(health.log_rest().into());
        let needed = pages.saturating_mul(PAGE_BYTES.into()).saturating_add(SPARE_BYTES);
        let free = (self.free_bytes)()?;
        if free >= needed {
            return Ok(());
        }
        let says = format!(
            "the disk of the data folder has {free} bytes free, and {needed} are needed to leave room for what is \
             written meanwhile"
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, says))
    }
}
