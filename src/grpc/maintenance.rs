//! `soloist.v1.MaintenanceService`.

use std::{pin::pin, time::Duration};

use tokio::sync::mpsc::{self, OwnedPermit, Permit};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::{Door, door::draining, status::unavailable};
use crate::proto::v1::{self, maintenance_service_server::MaintenanceService};

/// The bytes of one piece: the most that the protocol allows.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that the transport has not taken yet: then the backup waits.
const PIECES_AHEAD: usize = 2;
/// How often it is looked whether the copy may still be kept while a piece waits to be taken, and how many times at most:
/// others want a backup too.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LOOKS_MAX: u32 = 60;

pub struct Maintenance {
    pub door: Door,
}

#[async_trait]
impl MaintenanceService for Maintenance {
    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        self.door.enter(request)?;
        let (outbound, pieces) = mpsc::channel(PIECES_AHEAD + 1);
        // Whoever is cut off for not reading has to be told of it all the same.
        let last_word =
            outbound.clone().try_reserve_owned().map_err(|_| Status::internal("a channel is full at once"))?;
        self.door.tasks.spawn(BackupStream { door: self.door.clone(), outbound }.serve(last_word));
        Ok(Response::new(ReceiverStream::new(pieces)))
    }
}

/// One Backup stream. Whatever ends it drops the backup, and with it what the backup occupies.
struct BackupStream {
    door: Door,
    outbound: mpsc::Sender<Piece>,
}

type Piece = Result<v1::BackupResponse, Status>;

impl BackupStream {
    async fn serve(self, last_word: OwnedPermit<Piece>) {
        let ended = tokio::select! {
            ended = self.send() => ended,
            () = self.door.drain.cancelled() => Err(draining()),
            () = self.outbound.closed() => return,
        };
        if let Err(status) = ended {
            last_word.send(Err(status));
        }
    }

    async fn send(&self) -> Result<(), Status> {
        let mut backup = self.door.engine.backup().await?;
        while backup.remaining_bytes() > 0 {
            let place = place(&self.outbound, || Ok(backup.check()?)).await?;
            let chunk = backup.next(PIECE_BYTES).await?;
            place.send(Ok(v1::BackupResponse { chunk, remaining_bytes: backup.remaining_bytes() }));
        }
        Ok(())
    }
}

/// Room for the next piece, unless nobody makes any for too long, or the backup may not be kept meanwhile.
async fn place(
    outbound: &mpsc::Sender<Piece>,
    may_be_kept: impl Fn() -> Result<(), Status>,
) -> Result<Permit<'_, Piece>, Status> {
    let mut place = pin!(outbound.reserve());
    for _ in 0..LOOKS_MAX {
        match tokio::time::timeout(LOOK_INTERVAL, &mut place).await {
            Ok(place) => return place.map_err(|_| Status::cancelled("nobody reads the backup")),
            Err(_) => may_be_kept()?,
        }
    }
    Err(unavailable("BACKUP_STOPPED", "not a piece of the backup was read for a minute"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic_types::StatusExt;

    use super::*;

    /// A caller who reads nothing kept others from a backup of theirs for ever; and one that was cut off for it read what
    /// looked like a good end.
    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_is_cut_off_and_told() {
        let (outbound, mut pieces) = mpsc::channel(PIECES_AHEAD + 1);
        let last_word = outbound.clone().reserve_owned().await.expect("there is room");
        for _ in 0..PIECES_AHEAD {
            place(&outbound, || Ok(())).await.expect("there is room").send(Ok(v1::BackupResponse::default()));
        }
        let looks = Cell::new(0);
        let looked = || {
            looks.set(looks.get() + 1);
            Ok(())
        };
        let cut_off = place(&outbound, looked).await.expect_err("there is none");
        assert_eq!(looks.get(), LOOKS_MAX);
        let full = place(&outbound, || Err(Status::internal("full"))).await.expect_err("there is none");
        assert_eq!(full.message(), "full");

        last_word.send(Err(cut_off));
        drop(outbound);
        for _ in 0..PIECES_AHEAD {
            pieces.recv().await.expect("a piece").expect("a good one");
        }
        let told = pieces.recv().await.expect("a last word").expect_err("why it ended");
        assert_eq!(told.get_details_error_info().expect("a reason").reason, "BACKUP_STOPPED");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_is_waited_for() {
        let (outbound, mut pieces) = mpsc::channel(1);
        for _ in 0..3 {
            let (place, read) = tokio::join!(place(&outbound, || Ok(())), async {
                tokio::time::sleep(LOOK_INTERVAL * (LOOKS_MAX - 1)).await;
                pieces.try_recv()
            });
            place.expect("it is read at last").send(Ok(v1::BackupResponse::default()));
            drop(read);
        }
    }
}
