//! `soloist backup`: a consistent copy of a running server's store, in a file.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tonic::Streaming;

use super::{ClientArgs, Error, Exit, Output, connect, download::Download, output, signals::Signals};
use crate::{
    client,
    proto::v1::{BackupRequest, BackupResponse, maintenance_service_client::MaintenanceServiceClient},
    store::embedded::SealCheck,
};

/// How often people see how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write, - for stdout. It appears under its name when it is whole
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let received = connect::within(client.timeout, async {
        if args.file == Path::new("-") {
            let bytes = receive(client, &mut io::stdout().lock()).await?;
            output::notice(&format!("{bytes} bytes"));
            return Ok(());
        }
        let mut download = Download::begin(&args.file, args.force)?;
        let bytes = receive(client, &mut download).await?;
        download.finish()?;
        output.backed_up(&args.file, bytes)
    });
    // Not the system's way to end, which would leave the file that is not whole behind.
    tokio::select! {
        received = received => received.map(|()| Exit::Done),
        name = signals.next() => Err(Error::Other(anyhow::anyhow!("{name}: the backup was stopped"))),
    }
}

/// Writes the whole backup; answers its size.
async fn receive(client: &ClientArgs, into: &mut impl Write) -> Result<u64, Error> {
    let mut stub = MaintenanceServiceClient::new(client.connect().await?.channel());
    let mut progress = Progress::begin();
    let pieces = stub.backup(BackupRequest {}).await.map_err(client::Error::from)?.into_inner();
    let received = write_all(pieces, into, &mut progress).await;
    progress.end();
    let bytes = received?;
    into.flush().map_err(not_written)?;
    Ok(bytes)
}

async fn write_all(
    mut pieces: Streaming<BackupResponse>,
    into: &mut impl Write,
    progress: &mut Progress,
) -> Result<u64, Error> {
    let (mut bytes, mut remaining, mut check) = (0, None, SealCheck::new(0));
    while let Some(piece) = pieces.message().await.map_err(client::Error::from)? {
        if remaining.is_none() {
            check = SealCheck::new(piece.chunk.len() as u64 + piece.remaining_bytes);
        }
        check.update(&piece.chunk);
        into.write_all(&piece.chunk).map_err(not_written)?;
        bytes += piece.chunk.len() as u64;
        remaining = Some(piece.remaining_bytes);
        progress.at(bytes, bytes + piece.remaining_bytes);
    }
    // A stream can end in good order before its time: at a proxy, say.
    if remaining != Some(0) {
        return Err(Error::Other(anyhow::anyhow!("the backup is not whole: its stream has ended too early")));
    }
    if !check.is_whole() {
        return Err(Error::Other(anyhow::anyhow!("the backup is damaged: its bytes are not those that were sealed")));
    }
    Ok(bytes)
}

/// Whoever reads no further than this has no backup: here a closed pipe is a failure like any other.
fn not_written(error: io::Error) -> Error {
    Error::Other(anyhow::anyhow!("the backup is not whole: it can't be written: {error}"))
}

/// One line on the terminal, written over and over; nothing where there is none.
struct Progress {
    shown: bool,
    next: Instant,
}

impl Progress {
    fn begin() -> Progress {
        let shown = io::stderr().is_terminal();
        let progress = Progress { shown, next: Instant::now() };
        progress.say("the server copies its store");
        progress
    }

    fn at(&mut self, bytes: u64, of: u64) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PROGRESS_INTERVAL;
            self.say(&format!("{} of {} MiB", bytes >> 20, of >> 20));
        }
    }

    fn end(self) {
        self.say("");
    }

    fn say(&self, text: &str) {
        if self.shown {
            // Back to the start of the line, and clear the rest of it.
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r{text}\u{1b}[K").and_then(|()| stderr.flush());
        }
    }
}
