//! Who gets which work item: items that wait, streams that have room, and which stream has what.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    calls::{CallName, Calls},
    item::{Item, ItemKey, Kind},
    lanes::Waiting,
    leases::Leases,
    rest,
    seat::Seat,
    stream::{Assignment, Stream, StreamId},
};
use crate::{
    core::{
        ids::{CompletionToken, ExecutionId, InstanceKey, Name, Revision},
        status::Spec,
        time::{Span, Steady, Timestamp},
        turn::Note,
    },
    engine::partition::TurnClaim,
    mutant::Mutant,
};

/// Work items that wait and streams that have room, first come first served.
#[derive(Default)]
pub struct WorkItems {
    board: Mutex<Board>,
}

/// A work item and the stream that is to have it; the stream's place is taken.
pub(super) struct Match {
    pub item: Arc<Item>,
    pub stream: StreamId,
}

/// What a stream that has joined is given.
pub(super) struct Joined {
    pub matches: Vec<Match>,
    /// Nobody attended to its hub before.
    pub is_first: bool,
}

/// A turn that was taken from a worker that did not answer.
pub(super) struct Lapsed {
    pub token: CompletionToken,
    pub item: Arc<Item>,
    pub stream: StreamId,
    /// What takes its place.
    pub matches: Vec<Match>,
}

/// A work item that a worker has.
#[derive(Clone)]
pub struct Out {
    pub item: Arc<Item>,
    stream: StreamId,
    /// What it was told, of a turn.
    pub sent: Option<Arc<Sent>>,
}

/// What the worker of a turn was told: it becomes history with what the worker makes of it.
pub struct Sent {
    pub execution: ExecutionId,
    pub spec: Arc<Spec>,
    pub notes: Vec<Note>,
    /// The actions that have sent events in earlier turns.
    pub events_sent: BTreeSet<i32>,
    pub through: u64,
    pub began_at: Timestamp,
}

#[derive(Default)]
struct Board {
    waiting: Waiting,
    streams: BTreeMap<StreamId, Seat>,
    out: HashMap<CompletionToken, Out>,
    leases: Leases,
    calls: Calls,
    /// What was abandoned, until it is offered again.
    resting: BTreeMap<ItemKey, (Steady, Arc<Item>)>,
    /// How often in a row, and by whom last: of what was abandoned, and, as never, of turns that were not answered.
    strikes: HashMap<ItemKey, (u32, StreamId)>,
}

impl WorkItems {
    /// A stream is there. Nothing if there are `streams_max` already.
    pub(super) fn join(&self, stream: &Arc<Stream>, streams_max: usize) -> Option<Joined> {
        let mut board = self.board.lock();
        if board.streams.len() >= streams_max {
            return None;
        }
        let is_first = !board.is_attended(stream.wishes.hub.as_str());
        board.streams.insert(stream.id, Seat::new(stream));
        // What others have abandoned may be what this one does.
        let hub = stream.wishes.hub.as_str();
        let resting: Vec<ItemKey> = board.resting.keys().filter(|(key, _)| key.hub() == hub).cloned().collect();
        for key in resting {
            board.strikes.remove(&key);
            if let Some((_, item)) = board.resting.remove(&key) {
                board.enqueue(item);
            }
        }
        Some(Joined { matches: board.fill(stream.id), is_first })
    }

    /// A stream is gone. Answers what its worker had, and what waited for that.
    pub(super) fn leave(&self, id: StreamId) -> (Vec<(CompletionToken, Arc<Item>)>, Vec<Match>) {
        let mut board = self.board.lock();
        board.streams.remove(&id);
        let lost: Vec<CompletionToken> =
            board.out.iter().filter(|(_, out)| out.stream == id).map(|(token, _)| *token).collect();
        let (mut items, mut matches) = (Vec::new(), Vec::new());
        for token in lost {
            if let Some((out, freed)) = board.take_out(token) {
                items.push((token, out.item));
                matches.extend(freed);
            }
        }
        (items, matches)
    }

    /// The worker that has this work item has named its token, so it tells what is called the same apart.
    pub(super) fn names_tokens(&self, token: CompletionToken) -> Vec<Match> {
        let mut board = self.board.lock();
        let Some(id) = board.out.get(&token).map(|out| out.stream) else { return Vec::new() };
        match board.streams.get_mut(&id) {
            Some(seat) if !seat.names_tokens => seat.names_tokens = true,
            _ => return Vec::new(),
        }
        board.calls.of(id).into_iter().flat_map(|name| board.end_call(&name, id)).collect()
    }

    /// One that waits elsewhere, too, is not kept while nobody attends to its hub: see `Joined::is_first`.
    pub(super) fn offer(&self, item: Item, waits_elsewhere: bool) -> Vec<Match> {
        let mut board = self.board.lock();
        if waits_elsewhere && !board.is_attended(item.key.hub()) {
            board.withdraw(&item.item_key());
            return Vec::new();
        }
        board.offer(&Arc::new(item))
    }

    pub(super) fn offer_again(&self, item: &Arc<Item>) -> Vec<Match> {
        self.board.lock().offer(item)
    }

    /// No turn of this instance waits any more.
    pub fn withdraw_turn(&self, key: &InstanceKey) {
        let mut board = self.board.lock();
        let key = (key.clone(), None);
        board.withdraw(&key);
        board.strikes.remove(&key);
    }

    /// None of the activities of this instance waits any more.
    pub fn withdraw_activities(&self, key: &InstanceKey) {
        let mut board = self.board.lock();
        for key in board.activities_of(key) {
            board.withdraw(&key);
            board.strikes.remove(&key);
        }
    }

    /// The stream gets the work item, for which its place is taken; a turn until its lease ends. Answers whether no other
    /// lease ends before. Not if the stream has gone: then this answers what takes that place.
    pub(super) fn hand_out(
        &self,
        token: CompletionToken,
        id: StreamId,
        item: &Arc<Item>,
        leased: Option<(TurnClaim, Steady)>,
    ) -> Result<bool, Vec<Match>> {
        let mut board = self.board.lock();
        let Some(stream) = board.streams.get(&id).map(|seat| seat.stream.clone()) else {
            return Err(board.end_call(&item.called(), id));
        };
        board.out.insert(token, Out { item: item.clone(), stream: id, sent: None });
        board.calls.handed_out(&item.called(), id, token);
        let (claim, ends_at) = leased.unzip();
        let is_first = ends_at.is_some_and(|ends_at| board.lease(token, ends_at));
        drop(board);
        stream.assign(Assignment { token, item: item.clone(), claim });
        Ok(is_first)
    }

    /// The place that was taken is free again, for what was to take it is of no use any more. Answers what takes it.
    pub(super) fn free(&self, id: StreamId, item: &Item) -> Vec<Match> {
        let mut board = self.board.lock();
        board.strikes.remove(&item.item_key());
        let freed = board.give_back(id, item);
        freed.into_iter().chain(board.fill(id)).collect()
    }

    /// It is done, whatever came of it. Answers what takes its place.
    pub(super) fn done(&self, token: CompletionToken) -> Vec<Match> {
        let mut board = self.board.lock();
        let Some((out, freed)) = board.take_out(token) else { return Vec::new() };
        board.strikes.remove(&out.item.item_key());
        if let Some(seat) = board.streams.get_mut(&out.stream) {
            seat.mute = false;
        }
        freed.into_iter().chain(board.fill(out.stream)).collect()
    }

    /// Its worker does not have it. Answers what takes its place.
    pub(super) fn take_back(&self, token: CompletionToken) -> Option<(Arc<Item>, Vec<Match>)> {
        let mut board = self.board.lock();
        let (out, freed) = board.take_out(token)?;
        Some((out.item, freed.into_iter().chain(board.fill(out.stream)).collect()))
    }

    /// Its worker won't do it. Answers when it will be offered again, and what takes its place.
    pub(super) fn abandon(&self, token: CompletionToken, now: Steady) -> Option<(Steady, Vec<Match>)> {
        let mut board = self.board.lock();
        let (out, freed) = board.take_out(token)?;
        let key = out.item.item_key();
        let (strikes, by) = board.strikes.entry(key.clone()).or_insert((0, out.stream));
        let due = now + rest(*strikes);
        (*strikes, *by) = (*strikes + 1, out.stream);
        board.resting.insert(key, (due, out.item));
        Some((due, freed.into_iter().chain(board.fill(out.stream)).collect()))
    }

    /// Nobody is to have it any more.
    pub(super) fn forget(&self, item: &Item) {
        self.board.lock().strikes.remove(&item.item_key());
    }

    /// Takes the next turn back whose lease has ended. One that may be answered without a token stays where it is: the
    /// late answer would be taken for the answer to whatever turn of the instance is out then.
    pub(super) fn lapse(&self, now: Steady, ttl: Span) -> Option<Lapsed> {
        let mut board = self.board.lock();
        loop {
            let Board { leases, out, streams, .. } = &mut *board;
            let token = leases.pop_due(now, out)?;
            let stream = out.get(&token)?.stream;
            let seat = streams.get_mut(&stream);
            if Mutant::KeepLapsedTurn.is_on() {
                continue;
            }
            if seat.as_ref().is_some_and(|seat| seat.may_answer_without_token()) {
                leases.begin(token, now + ttl, out);
                continue;
            }
            if let Some(seat) = seat {
                seat.mute = true;
                seat.stream.withdraw(token);
            }
            let (Out { item, .. }, freed) = board.take_out(token)?;
            let matches = freed.into_iter().chain(board.fill(stream)).collect();
            return Some(Lapsed { token, item, stream, matches });
        }
    }

    /// When `lapse` may have something to do.
    pub fn next_lapse(&self) -> Option<Steady> {
        self.board.lock().leases.next_end()
    }

    /// Somebody else had better have it.
    pub(super) fn avoid(&self, item: &Item, id: StreamId) {
        let mut board = self.board.lock();
        board.strikes.entry(item.item_key()).or_insert((0, id)).1 = id;
    }

    /// Offers what has rested for long enough. Answers when the next one will have.
    pub(super) fn wake(&self, key: &InstanceKey, now: Steady) -> (Vec<Match>, Option<Steady>) {
        let mut board = self.board.lock();
        if board.resting.is_empty() {
            return (Vec::new(), None);
        }
        let (mut matches, mut next) = (Vec::new(), None::<Steady>);
        let all = (key.clone(), None)..=(key.clone(), Some(Revision(u64::MAX)));
        let resting: Vec<ItemKey> = board.resting.range(all).map(|(key, _)| key.clone()).collect();
        for key in resting {
            match board.resting.get(&key) {
                Some((due, _)) if *due > now => next = Some(next.map_or(*due, |next| next.min(*due))),
                _ => {
                    let Some((_, item)) = board.resting.remove(&key) else { continue };
                    match board.choose(&item) {
                        Some(stream) => matches.push(Match { item, stream }),
                        None => board.enqueue(item),
                    }
                }
            }
        }
        (matches, next)
    }

    pub(super) fn was_sent(&self, token: CompletionToken, sent: Sent) {
        if let Some(out) = self.board.lock().out.get_mut(&token) {
            out.sent = Some(Arc::new(sent));
        }
    }

    pub(super) fn out(&self, token: CompletionToken) -> Option<Out> {
        self.board.lock().out.get(&token).cloned()
    }

    /// What a worker that names no tokens means: the turn of an instance or, with the orchestrator's number, an activity.
    pub(super) fn called(&self, key: &InstanceKey, id: Option<i32>) -> Option<CompletionToken> {
        let mut board = self.board.lock();
        let token = board.calls.token(&(key.clone(), id))?;
        let Board { out, streams, .. } = &mut *board;
        if let Some(seat) = out.get(&token).and_then(|out| streams.get_mut(&out.stream)) {
            seat.nameless = true;
        }
        Some(token)
    }

    /// Whether nothing waits or is out, and nothing is remembered.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        let board = self.board.lock();
        let nothing_waits = board.waiting.is_empty() && board.resting.is_empty();
        nothing_waits && board.out.is_empty() && board.strikes.is_empty()
    }

    /// The most that is kept of any kind, and what kind that is.
    #[cfg(test)]
    pub(super) fn most(&self) -> (usize, &'static str) {
        let board = self.board.lock();
        let unread = board.streams.values().map(|seat| seat.stream.unread()).sum();
        let kinds = [
            (board.waiting.len() / 2, "waiting"),
            (board.out.len(), "out"),
            (board.leases.len() / 2, "leases"),
            (board.calls.len() / 2, "calls"),
            (board.resting.len(), "resting"),
            (board.strikes.len(), "strikes"),
            (board.streams.len(), "streams"),
            (unread, "unread"),
        ];
        kinds.into_iter().max().unwrap_or_default()
    }

    /// Whether a stream takes turns of this orchestration.
    pub fn serves(&self, key: &InstanceKey, spec: &Spec) -> bool {
        let board = self.board.lock();
        board.streams.values().any(|seat| {
            let wishes = &seat.stream.wishes;
            let (function, version) = (spec.function.as_str(), spec.version());
            wishes.hub.as_str() == key.hub() && wishes.fit(Kind::Turn, function, version).is_some()
        })
    }
}

impl Board {
    /// The stream with room that fits best: one that asks for it by name, one that has not just had it in vain, one that
    /// answers, and one that has little to do. Its place is taken.
    fn choose(&mut self, item: &Item) -> Option<StreamId> {
        let (kind, is_taken) = (item.kind(), self.calls.is_taken(&item.called()));
        let avoid = self.strikes.get(&item.item_key()).map(|(_, stream)| *stream);
        let candidates = self.streams.iter().filter_map(|(id, seat)| {
            let fit = seat.fit(item).filter(|_| seat.room(kind) > 0 && (seat.names_tokens || !is_taken))?;
            Some(((fit, Some(*id) != avoid, !seat.mute, usize::MAX - seat.held(kind)), *id))
        });
        let (_, id) = candidates.max()?;
        self.take(id, item);
        Some(id)
    }

    fn is_attended(&self, hub: &str) -> bool {
        self.streams.values().any(|seat| seat.stream.wishes.hub.as_str() == hub)
    }

    fn offer(&mut self, item: &Arc<Item>) -> Vec<Match> {
        self.withdraw(&item.item_key());
        match self.choose(item) {
            Some(stream) => vec![Match { item: item.clone(), stream }],
            None => {
                self.enqueue(item.clone());
                Vec::new()
            }
        }
    }

    fn enqueue(&mut self, item: Arc<Item>) {
        self.calls.wait(item.called());
        self.waiting.put(item);
    }

    fn withdraw(&mut self, key: &ItemKey) {
        self.resting.remove(key);
        self.waiting.remove(key);
    }

    /// Gives the stream what waits for it, the oldest first, as far as it has room.
    fn fill(&mut self, id: StreamId) -> Vec<Match> {
        let mut matches = Vec::new();
        for kind in [Kind::Turn, Kind::Activity] {
            while let Some(item) = self.oldest_for(id, kind) {
                self.withdraw(&item.item_key());
                self.take(id, &item);
                matches.push(Match { item, stream: id });
            }
        }
        matches
    }

    fn oldest_for(&self, id: StreamId, kind: Kind) -> Option<Arc<Item>> {
        let seat = self.streams.get(&id).filter(|seat| seat.room(kind) > 0)?;
        let wishes = &seat.stream.wishes;
        let lane_suits = |name: &Name, version: &str| wishes.fit(kind, name.as_str(), version).is_some();
        let suits = |item: &Item| seat.names_tokens || !self.calls.is_taken(&item.called());
        self.waiting.oldest(wishes.hub.as_str(), kind, lane_suits, suits)
    }

    /// Answers whether no other lease ends before this one.
    fn lease(&mut self, token: CompletionToken, ends_at: Steady) -> bool {
        self.leases.begin(token, ends_at, &self.out)
    }

    /// Nobody has it any more. Answers what waited for that, too.
    fn take_out(&mut self, token: CompletionToken) -> Option<(Out, Vec<Match>)> {
        let out = self.out.remove(&token)?;
        let freed = self.give_back(out.stream, &out.item);
        Some((out, freed))
    }

    /// The stream's place for the work item is taken.
    fn take(&mut self, id: StreamId, item: &Item) {
        let Some(seat) = self.streams.get_mut(&id) else { return };
        seat.take(item.kind());
        if !seat.names_tokens {
            self.calls.begin(item.called(), id);
        }
    }

    fn give_back(&mut self, id: StreamId, item: &Item) -> Vec<Match> {
        if let Some(seat) = self.streams.get_mut(&id) {
            seat.give_back(item.kind());
        }
        self.end_call(&item.called(), id)
    }

    /// The stream has nothing any more that is called so. Answers what can be handed out now.
    fn end_call(&mut self, name: &CallName, id: StreamId) -> Vec<Match> {
        if !self.calls.end(name, id) {
            return Vec::new();
        }
        let items: Vec<Arc<Item>> = self.waiting.of(&name.0).filter(|item| item.called() == *name).cloned().collect();
        let (mut matches, waiting) = (Vec::new(), items.len());
        for item in items {
            if let Some(stream) = self.choose(&item) {
                self.withdraw(&item.item_key());
                matches.push(Match { item, stream });
            }
        }
        if matches.len() < waiting {
            self.calls.wait(name.clone());
        }
        matches
    }

    /// The activities of an instance that wait or rest.
    fn activities_of(&self, key: &InstanceKey) -> Vec<ItemKey> {
        let all = (key.clone(), Some(Revision(0)))..=(key.clone(), Some(Revision(u64::MAX)));
        let waiting = self.waiting.of(key).map(|item| item.item_key()).filter(|(_, task)| task.is_some());
        waiting.chain(self.resting.range(all).map(|(key, _)| key.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
