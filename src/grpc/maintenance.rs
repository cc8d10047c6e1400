//! `soloist.v1.MaintenanceService`.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::{Door, door::draining, status::unavailable};
use crate::proto::v1::{self, maintenance_service_server::MaintenanceService};

/// The bytes of one piece: the most that the protocol allows.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that the transport has not taken yet: then the backup waits.
const PIECES_AHEAD: usize = 2;
/// How long a piece waits to be taken: others want a backup too, and the copy takes room.
const PIECE_TAKEN: Duration = Duration::from_secs(60);
/// How long a stream that ends waits for its last word to be taken.
const LAST_WORD: Duration = Duration::from_secs(5);

pub struct Maintenance {
    pub door: Door,
}

#[async_trait]
impl MaintenanceService for Maintenance {
    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        self.door.enter(request)?;
        let (outbound, pieces) = mpsc::channel(PIECES_AHEAD);
        self.door.tasks.spawn(BackupStream { door: self.door.clone(), outbound }.serve());
        Ok(Response::new(ReceiverStream::new(pieces)))
    }
}

/// One Backup stream. Whatever ends it drops the backup, and with it what the backup occupies.
struct BackupStream {
    door: Door,
    outbound: mpsc::Sender<Result<v1::BackupResponse, Status>>,
}

impl BackupStream {
    async fn serve(self) {
        let ended = tokio::select! {
            ended = self.send() => ended,
            () = self.door.drain.cancelled() => Err(draining()),
            () = self.outbound.closed() => return,
        };
        if let Err(status) = ended {
            let _ = tokio::time::timeout(LAST_WORD, self.outbound.send(Err(status))).await;
        }
    }

    async fn send(&self) -> Result<(), Status> {
        let mut backup = self.door.engine.backup().await?;
        while backup.remaining_bytes() > 0 {
            let chunk = backup.next(PIECE_BYTES).await?;
            let piece = v1::BackupResponse { chunk, remaining_bytes: backup.remaining_bytes() };
            match tokio::time::timeout(PIECE_TAKEN, self.outbound.send(Ok(piece))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Status::cancelled("nobody reads the backup")),
                Err(_) => return Err(unavailable("BACKUP_STOPPED", "the backup was not read for a minute")),
            }
        }
        Ok(())
    }
}
