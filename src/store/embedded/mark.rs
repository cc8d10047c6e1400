//! MARK: how far the database was durable, written beside it, so that a database that lost its end is noticed.
//!
//! The file holds two lines of fixed width, each a commit's number and a checksum. They are overwritten in turn, so a
//! torn write spoils one line at most, and an unreadable line is as good as none: MARK can be late, never wrong.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use xxhash_rust::xxh3::xxh3_64;

use super::failure::{Failure, Health};

/// How long MARK may lag behind the commits: what a damaged database can lose unnoticed.
const MARK_INTERVAL: Duration = Duration::from_secs(1);

/// Twenty digits, a space, sixteen hexadecimal digits, a line feed.
const LINE_BYTES: usize = 38;

/// The open file.
pub(super) struct Mark {
    file: File,
    /// The commit that each line names; 0 where it is unreadable.
    lines: [u64; 2],
}

/// The thread that keeps MARK up to date.
pub(super) struct Marker {
    stop: Sender<std::convert::Infallible>,
    thread: JoinHandle<Mark>,
}

/// What MARK says; `None` if there is none, or none that can be read.
pub(super) fn read(path: &Path) -> io::Result<Option<u64>> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes).into_iter().flatten().max()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Mark {
    pub(super) fn open(path: &Path) -> io::Result<Mark> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let lines = parse(&fs::read(path)?).map(Option::unwrap_or_default);
        Ok(Mark { file, lines })
    }

    /// Overwrites the older line, and makes it durable.
    pub(super) fn write(&mut self, commit_number: u64) -> io::Result<()> {
        let older = usize::from(self.lines[1] < self.lines[0]);
        self.file.seek(SeekFrom::Start((older * LINE_BYTES) as u64))?;
        self.file.write_all(line(commit_number).as_bytes())?;
        self.file.sync_data()?;
        self.lines[older] = commit_number;
        Ok(())
    }
}

impl Marker {
    pub(super) fn start(mut mark: Mark, health: Arc<Health>) -> io::Result<Marker> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("store-mark".into()).spawn(move || {
            let mut written = health.durable();
            while stopped.recv_timeout(MARK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let durable = health.durable();
                if durable == written || health.check().is_err() {
                    continue;
                }
                match mark.write(durable) {
                    Ok(()) => written = durable,
                    Err(error) => health.fail(&Failure::Mark(error.to_string())),
                }
            }
            mark
        })?;
        Ok(Marker { stop, thread })
    }

    /// Waits for the thread's end. Nothing is written on the way out.
    pub(super) fn join(self) -> Option<Mark> {
        drop(self.stop);
        self.thread.join().ok()
    }
}

fn line(commit_number: u64) -> String {
    let digits = format!("{commit_number:020}");
    let checksum = xxh3_64(digits.as_bytes());
    format!("{digits} {checksum:016x}\n")
}

fn parse(bytes: &[u8]) -> [Option<u64>; 2] {
    [0, 1].map(|n| {
        let found = bytes.get(n * LINE_BYTES..(n + 1) * LINE_BYTES)?;
        let number = std::str::from_utf8(found.get(..20)?).ok()?.parse().ok()?;
        (line(number).as_bytes() == found).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_newest_line_that_can_be_read() {
        let (seven, eight) = (line(7), line(8));
        let both = [seven.as_bytes(), eight.as_bytes()].concat();
        assert_eq!(parse(&both), [Some(7), Some(8)]);
        assert_eq!(parse(&both[1..]), [None, None]);
        for cut in 0..LINE_BYTES {
            assert_eq!(parse(&both[..LINE_BYTES + cut]), [Some(7), None], "cut at {cut}");
            let mut torn = both.clone();
            torn[cut] ^= 1;
            assert_eq!(parse(&torn), [None, Some(8)], "flipped at {cut}");
        }
    }

    #[test]
    fn the_lines_are_overwritten_in_turn() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("MARK");
        assert_eq!(read(&path).expect("no file is no error"), None);
        let mut mark = Mark::open(&path).expect("a new file");
        for number in 1..=5 {
            mark.write(number).expect("a write");
            assert_eq!(read(&path).expect("a file"), Some(number));
        }
        assert_eq!(fs::read_to_string(&path).expect("text"), format!("{}{}", line(5), line(4)));
    }
}
