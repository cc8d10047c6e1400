//! Backups of a running server, and the servers that are made of them.

mod future;
mod load;
mod refused;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use soloist::proto::v1::{self, maintenance_service_client::MaintenanceServiceClient};
use tonic::{Status, Streaming};

use crate::support::{Client, Server, process::PATIENCE, start};

type Pieces = Streaming<v1::BackupResponse>;

/// The temporary copy in the data folder.
const COPY: &str = "soloist.db.copy";

async fn begin(server: &Server) -> Result<Pieces, Status> {
    let mut stub = MaintenanceServiceClient::new(server.channel().await);
    Ok(stub.backup(v1::BackupRequest {}).await?.into_inner())
}

/// The next piece, or how the backup ended.
async fn next(pieces: &mut Pieces) -> Result<Option<v1::BackupResponse>, Status> {
    tokio::time::timeout(PATIENCE, pieces.message()).await.expect("something comes")
}

/// A whole backup.
async fn back_up(server: &Server) -> Result<Vec<u8>, Status> {
    let (mut bytes, mut remaining) = (Vec::new(), None);
    let mut pieces = begin(server).await?;
    while let Some(piece) = next(&mut pieces).await? {
        assert!(!piece.chunk.is_empty() && piece.chunk.len() <= 1 << 20);
        let expected: u64 = piece.chunk.len() as u64 + piece.remaining_bytes;
        assert!(remaining.is_none_or(|remaining| remaining == expected), "no byte is lost");
        remaining = Some(piece.remaining_bytes);
        bytes.extend(piece.chunk);
    }
    assert_eq!(remaining, Some(0));
    Ok(bytes)
}

/// The same, after another one whose end the server may not have heard of yet.
async fn back_up_next(server: &Server) -> Vec<u8> {
    let backed_up = async {
        loop {
            match back_up(server).await {
                Ok(bytes) => return bytes,
                Err(status) => assert_eq!(crate::support::error_info(&status).reason, "BACKUP_RUNNING", "{status:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, backed_up).await.expect("the other one ends")
}

/// Makes a data folder of a backup with the program, and starts a server on it.
fn serve_restored(backup: &[u8], home: &Path, name: &str, environment: &[(&str, &str)]) -> Server {
    let folder = home.join(name);
    let restored = restore(backup, home, &folder);
    assert!(restored.status.success(), "{restored:?}");
    Server::start_with(&folder, &[], environment)
}

fn restore(backup: &[u8], home: &Path, folder: &Path) -> Output {
    let file: PathBuf = home.join("backup");
    fs::write(&file, backup).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_soloist"));
    command.arg("restore").arg(file).arg("--data-dir").arg(folder).output().expect("the program runs")
}

/// Instances with large inputs, so that their backup does not fit into what is under way between server and client.
async fn fill(client: &mut Client, megabytes: usize) {
    for n in 0..megabytes {
        let input = Some(format!("\"{}\"", "x".repeat((1 << 20) - 2)));
        let request = v1::StartSingletonRequest { input, ..start("work", &format!("large {n}")) };
        client.start_singleton(request).await.expect("started");
    }
}
