//! A stream at the board: how much its worker has, and what is known of its manners.

use std::sync::Arc;

use super::{
    filters::Fit,
    item::{Item, Kind},
    stream::Stream,
};

pub(super) struct Seat {
    pub stream: Arc<Stream>,
    /// Work items that it has.
    turns: usize,
    activities: usize,
    /// Its worker has named a token.
    pub names_tokens: bool,
    /// Its worker knows no tokens, as far as anybody can tell.
    pub nameless: bool,
    /// It has let a turn lapse, and completed nothing since.
    pub mute: bool,
}

impl Seat {
    pub fn new(stream: &Arc<Stream>) -> Seat {
        let (stream, nameless) = (stream.clone(), stream.wishes.nameless);
        Seat { stream, turns: 0, activities: 0, names_tokens: false, nameless, mute: false }
    }

    pub fn fit(&self, item: &Item) -> Option<Fit> {
        let wishes = &self.stream.wishes;
        if wishes.hub.as_str() != item.key.hub() {
            return None;
        }
        wishes.fit(item.kind(), item.name.as_str(), &item.version)
    }

    pub fn held(&self, kind: Kind) -> usize {
        match kind {
            Kind::Turn => self.turns,
            Kind::Activity => self.activities,
        }
    }

    pub fn room(&self, kind: Kind) -> usize {
        self.stream.wishes.max(kind).saturating_sub(self.held(kind))
    }

    /// Whether a late answer of its worker could not be told from the answer to something else.
    pub fn may_answer_without_token(&self) -> bool {
        self.nameless && !self.names_tokens
    }

    pub fn take(&mut self, kind: Kind) {
        match kind {
            Kind::Turn => self.turns += 1,
            Kind::Activity => self.activities += 1,
        }
    }

    pub fn give_back(&mut self, kind: Kind) {
        let held = match kind {
            Kind::Turn => &mut self.turns,
            Kind::Activity => &mut self.activities,
        };
        *held = held.saturating_sub(1);
    }
}
