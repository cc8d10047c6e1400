//! The seal: the last line of a backup, which says that everything before it is there and is what was written.
//!
//! A row has a checksum, but a page's head, a partition's position or a free page has none, and a file that was cut
//! where a page ends can look whole to SQLite. The seal is over every byte. SQLite does not mind it: a backup can be
//! looked at like any other database.

use std::io::{self, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::Xxh3Default;

use super::super::FORMAT;

/// The length of a seal. Fixed for ever, whatever it seals.
pub(in super::super) const SEAL_BYTES: usize = 65;

/// A line feed, this, ten digits of the format, twenty of the length, sixteen hexadecimal ones of the checksum over all
/// that stands before them, a line feed.
const WORD: &str = "soloist-backup";

/// What a seal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Seal {
    pub(in super::super) format: u32,
    pub(in super::super) bytes: u64,
    checksum: u64,
}

/// Everything that comes before the seal, as it passes.
pub(in super::super) struct Sealing {
    bytes: u64,
    remaining_bytes: u64,
    hasher: Xxh3Default,
}

/// Looks at a backup as it passes, piece by piece, and says whether it is whole.
pub struct SealCheck {
    sealing: Sealing,
    seal: Vec<u8>,
}

impl Seal {
    /// The seal at the end of a file; `None` if there is none.
    pub(in super::super) fn read(file: &mut (impl Read + Seek)) -> io::Result<Option<Seal>> {
        let length = file.seek(SeekFrom::End(0))?;
        let Some(start) = length.checked_sub(SEAL_BYTES as u64) else { return Ok(None) };
        file.seek(SeekFrom::Start(start))?;
        let mut line = [0; SEAL_BYTES];
        file.read_exact(&mut line)?;
        file.rewind()?;
        Ok(Seal::parse(&line).filter(|seal| seal.bytes == start))
    }

    fn parse(line: &[u8]) -> Option<Seal> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix('\n')?.strip_suffix('\n')?;
        let mut words = text.split(' ');
        let (word, format, bytes, checksum) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let checksum = u64::from_str_radix(checksum, 16).ok()?;
        let seal = Seal { format: format.parse().ok()?, bytes: bytes.parse().ok()?, checksum };
        (word == WORD && seal.line().as_bytes() == line).then_some(seal)
    }

    fn line(&self) -> String {
        format!("{}{:016x}\n", claim(self.format, self.bytes), self.checksum)
    }
}

impl Sealing {
    /// Of so many bytes.
    pub(in super::super) fn new(bytes: u64) -> Sealing {
        Sealing { bytes, remaining_bytes: bytes, hasher: Xxh3Default::new() }
    }

    pub(in super::super) fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes
    }

    pub(in super::super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.remaining_bytes = self.remaining_bytes.saturating_sub(bytes.len() as u64);
    }

    /// The seal's line.
    pub(super) fn seal(&self) -> Vec<u8> {
        self.sealed(FORMAT).line().into_bytes()
    }

    /// Whether this is what was sealed.
    pub(in super::super) fn is(&self, seal: &Seal) -> bool {
        self.remaining_bytes == 0 && self.sealed(seal.format) == *seal
    }

    fn sealed(&self, format: u32) -> Seal {
        let mut hasher = self.hasher.clone();
        hasher.update(claim(format, self.bytes).as_bytes());
        Seal { format, bytes: self.bytes, checksum: hasher.digest() }
    }
}

impl SealCheck {
    /// Of a backup of so many bytes, its seal included.
    pub fn new(bytes: u64) -> SealCheck {
        SealCheck { sealing: Sealing::new(bytes.saturating_sub(SEAL_BYTES as u64)), seal: Vec::new() }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let left = usize::try_from(self.sealing.remaining_bytes()).unwrap_or(usize::MAX);
        let (sealed, seal) = bytes.split_at(bytes.len().min(left));
        self.sealing.update(sealed);
        self.seal.extend_from_slice(seal);
    }

    /// Whether what has passed is a whole backup: such that it can be restored.
    pub fn is_whole(&self) -> bool {
        Seal::parse(&self.seal).is_some_and(|seal| self.sealing.is(&seal))
    }
}

/// The seal without its checksum, which covers it.
fn claim(format: u32, bytes: u64) -> String {
    format!("\n{WORD} {format:010} {bytes:020} ")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sealed(contents: &[u8]) -> Vec<u8> {
        let mut sealing = Sealing::new(contents.len() as u64);
        sealing.update(contents);
        [contents, &sealing.seal()].concat()
    }

    fn is_whole(file: &[u8]) -> bool {
        let mut check = SealCheck::new(file.len() as u64);
        file.chunks(7).for_each(|piece| check.update(piece));
        let passed = check.is_whole();
        let seal = Seal::read(&mut Cursor::new(file)).expect("it can be read");
        let lies_there = seal.is_some_and(|seal| {
            let mut sealing = Sealing::new(seal.bytes);
            sealing.update(&file[..file.len() - SEAL_BYTES]);
            sealing.is(&seal)
        });
        assert_eq!(passed, lies_there);
        passed
    }

    /// Changing any of it would make every existing backup worthless.
    #[test]
    fn seals_are_pinned() {
        let file = sealed(b"soloist");
        let line = String::from_utf8_lossy(&file[7..]);
        assert_eq!(line, "\nsoloist-backup 0000000001 00000000000000000007 c9b3dec3e16892cc\n");
        assert_eq!(line.len(), SEAL_BYTES);
    }

    #[test]
    fn a_file_is_whole_or_it_is_not() {
        for contents in [b"".as_slice(), b"\n", &[7; 1000]] {
            let file = sealed(contents);
            assert!(is_whole(&file));
            for at in 0..file.len() {
                assert!(!is_whole(&file[..at]), "cut at {at}");
                let mut flipped = file.clone();
                flipped[at] ^= 1;
                assert!(!is_whole(&flipped), "flipped at {at}");
            }
            assert!(!is_whole(&[&file, b"\n".as_slice()].concat()), "longer");
            assert!(!is_whole(&file[contents.len().min(1)..]) || contents.is_empty(), "without its beginning");
        }
    }
}
