//! A bare write and its flush at a time: what a lone start is compared with.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;

use crate::cli::{Error, bench::seat::Seat};

/// Bytes of a write.
const WRITE: [u8; 4096] = [0x5a; 4096];
/// Writes until the file is begun again. It has its full size before: a flush of a file that grows costs more, and a
/// database's log that is used again does not grow.
const WRITES: u32 = 4096;

pub struct Disk {
    file: PathBuf,
}

impl Disk {
    pub fn new(folder: &Path) -> Disk {
        Disk { file: folder.join("disk") }
    }

    /// The place has its thread for itself, so it may hold it up.
    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let written = || format!("{} can't be written", self.file.display());
        let mut file: File =
            OpenOptions::new().write(true).create(true).truncate(true).open(&self.file).with_context(written)?;
        for _ in 0..WRITES {
            file.write_all(&WRITE).with_context(written)?;
        }
        file.sync_all().with_context(written)?;
        seat.ready();
        for number in (0..WRITES).cycle() {
            if seat.is_over() {
                break;
            }
            if number == 0 {
                file.seek(SeekFrom::Start(0)).with_context(written)?;
            }
            let begun = Instant::now();
            file.write_all(&WRITE).and_then(|()| file.sync_data()).with_context(written)?;
            seat.note(begun);
        }
        Ok(())
    }
}
