//! Starts that are remembered, so that a retry of one is not done again.

use std::collections::VecDeque;

use xxhash_rust::xxh3::Xxh3;

use super::{
    ids::{ExecutionId, Revision},
    rare::Rare,
    time::{Span, Steady},
};

/// The request id of a start, with a digest of everything that the start asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: String,
    pub digest: u128,
    /// How long it is remembered.
    pub remember: Span,
}

/// What became of an accepted start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Started,
    Joined,
    Replaced,
    Queued,
    Coalesced,
}

/// An accepted start that carried a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub id: String,
    pub digest: u128,
    pub outcome: Outcome,
    pub execution: ExecutionId,
    pub accepted_at: Steady,
}

/// The remembered starts of one instance, the oldest first, each with the revision at which it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Memory(Rare<VecDeque<(Revision, Remembered)>>);

/// A digest over the parts of a content, each kept apart from the next.
#[derive(Default)]
pub struct Digest(Xxh3);

impl Memory {
    /// The start with this request id, unless it is older than the request says to remember.
    pub fn find(&self, request: &Request, now: Steady) -> Option<&Remembered> {
        let newest_first = self.0.get().into_iter().flat_map(|all| all.iter().rev());
        newest_first.map(|(_, r)| r).find(|r| r.id == request.id && !is_over(r, request.remember, now))
    }

    /// The newest of those to be forgotten before one more is remembered: too old, or too many.
    pub fn to_forget(&self, remember: Span, max: usize, now: Steady) -> Option<Revision> {
        let all = self.0.get()?;
        let old = all.iter().take_while(|(_, r)| is_over(r, remember, now)).count();
        let many = (all.len() + 1).saturating_sub(max);
        old.max(many).checked_sub(1).and_then(|last| all.get(last)).map(|(revision, _)| *revision)
    }

    /// When the newest is forgotten; nothing if there is none.
    pub fn forgotten_at(&self, remember: Span) -> Option<Steady> {
        self.0.get()?.back().map(|(_, newest)| newest.accepted_at + remember)
    }

    pub fn remember(&mut self, revision: Revision, remembered: Remembered) {
        self.0.change(|all| {
            // Most remember but one.
            all.reserve_exact(usize::from(all.is_empty()));
            all.push_back((revision, remembered));
        });
    }

    pub fn forget(&mut self, through: Revision) {
        self.0.change(|all| {
            while all.front().is_some_and(|(revision, _)| *revision <= through) {
                all.pop_front();
            }
        });
    }
}

fn is_over(remembered: &Remembered, remember: Span, now: Steady) -> bool {
    now - remembered.accepted_at >= remember
}

impl Digest {
    pub fn part(&mut self, bytes: &[u8]) -> &mut Digest {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub fn optional(&mut self, text: Option<&str>) -> &mut Digest {
        match text {
            Some(text) => self.part(&[1]).part(text.as_bytes()),
            None => self.part(&[0]),
        }
    }

    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}
