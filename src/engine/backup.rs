//! Backups: the store's copy, asked for and read without holding up the runtime.

use tokio::task::spawn_blocking;

use super::{Engine, Refusal};
use crate::store::{self, BackupError, Stop};

/// A finished copy of the store. Dropped, it frees what it occupies.
pub struct Backup {
    /// Out while it is read.
    copy: Option<store::Backup>,
}

/// Why there is no backup. The server goes on, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// Nothing was copied.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Failed(#[from] BackupError),
}

/// Tells the copying thread when nobody waits for it any more.
struct StopWhenDropped(Stop);

impl Engine {
    /// Copies the store while everything goes on: all that was acknowledged before this call is in it. Nobody is
    /// answered before what he hears of is durable, so what is durable now is enough. Dropped, it stops.
    pub async fn backup(&self) -> Result<Backup, NoBackup> {
        self.shared.check_store()?;
        let stop = Stop::default();
        let _stop_when_dropped = StopWhenDropped(stop.clone());
        let store = self.shared.store.clone();
        let copied = spawn_blocking(move || store.backup(&stop)).await;
        Ok(Backup { copy: Some(copied.map_err(|_| SHUTTING_DOWN)??) })
    }
}

impl Backup {
    pub fn remaining_bytes(&self) -> u64 {
        self.copy.as_ref().map_or(0, store::Backup::remaining_bytes)
    }

    /// Fails if it has to make way for what is written; to be asked every second or so while nobody reads.
    pub fn check(&self) -> Result<(), NoBackup> {
        let checked = self.copy.as_ref().map_or(Ok(()), store::Backup::check);
        Ok(checked.map_err(|error| BackupError::Failed(error.into()))?)
    }

    /// The next bytes, `bytes_max` of them unless fewer are left. Nothing can be read any more if this is dropped.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<u8>, NoBackup> {
        let Some(mut copy) = self.copy.take() else { return Err(BackupError::Stopped.into()) };
        let read = spawn_blocking(move || {
            let piece = copy.next(bytes_max);
            (copy, piece)
        });
        let (copy, piece) = read.await.map_err(|_| SHUTTING_DOWN)?;
        self.copy = Some(copy);
        Ok(piece.map_err(|error| BackupError::Failed(error.into()))?)
    }
}

const SHUTTING_DOWN: Refusal = Refusal::Unavailable("the server is shutting down");

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
