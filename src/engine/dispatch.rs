//! Who runs what: runs that wait for a worker, workers that have room, and which stream a claim belongs to.

mod offers;

use std::{
    collections::{VecDeque, hash_map},
    sync::Arc,
};

use foldhash::HashMap;
use parking_lot::Mutex;

use self::offers::Offers;
use super::workers::{Session, SessionId};
use crate::core::{
    effect::Offer,
    ids::{ClaimId, ExecutionId, InstanceKey, Name, TaskHub},
    partitioning::PartitionId,
};

/// Runs that wait and workers that have room, per task hub and function, first come first served.
#[derive(Default)]
pub struct Dispatch {
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    lanes: Lanes,
    waiting: Waiting,
    next_ticket: u64,
    sessions: HashMap<SessionId, Seat>,
    /// Which stream a claim belongs to.
    routes: HashMap<ClaimId, SessionId>,
}

/// Those of a function in a task hub.
#[derive(Default)]
struct Lanes(HashMap<Arc<str>, HashMap<Name, Lane>>);

/// Where each waiting instance stands: the function of its lane, and its ticket there. A map for each partition, so that
/// none becomes so large that nobody gets a worker while it grows.
#[derive(Default)]
struct Waiting {
    maps: HashMap<PartitionId, HashMap<InstanceKey, (Name, u64)>>,
    len: usize,
}

#[derive(Default)]
struct Lane {
    offers: Offers,
    /// Workers that may have room, the one that waited longest first.
    idle: VecDeque<SessionId>,
    workers: usize,
}

struct Seat {
    session: Arc<Session>,
    /// Less than nothing where a worker came back with more than it says it takes.
    free: i64,
    /// It let a lease run out and was not heard of since: it may be paused, so it gets nothing new.
    silent: bool,
    /// The lanes in which it no longer stands as idle because it had no room when its turn came.
    absent: Vec<Name>,
}

/// A run and the worker that is to be granted it; the worker's place is taken.
#[derive(Clone, Debug)]
pub struct Match {
    pub key: InstanceKey,
    pub execution: ExecutionId,
    pub session: SessionId,
    pub worker: Name,
}

/// How many there are.
#[derive(Clone, Debug, Default)]
pub struct Census {
    pub workers: usize,
    /// Runs that wait for a worker, and the one that stands first.
    pub waiting: usize,
    pub oldest: Option<InstanceKey>,
    /// Runs that workers hold, or are just granted.
    pub held: usize,
}

/// How it stands with a run that no worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No worker serves its function.
    Unserved,
    /// All workers of its function are busy.
    Waiting,
    /// It is matched with a worker; the grant is on its way to the disk.
    BeingGranted,
}

impl Dispatch {
    /// A worker is there; `held` of its places are taken by runs that it came with. Nothing if there are
    /// `sessions_max` already.
    pub fn join(&self, session: &Arc<Session>, held: usize, sessions_max: usize) -> Option<Vec<Match>> {
        let mut board = self.board.lock();
        if board.sessions.len() >= sessions_max {
            return None;
        }
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        let free = i64::from(session.max_runs).saturating_sub(held);
        let seat = Seat { session: session.clone(), free, silent: false, absent: session.functions.clone() };
        board.sessions.insert(session.id, seat);
        for function in &session.functions {
            board.lanes.enter(session.hub.as_str(), function, |lane| lane.workers += 1);
        }
        Some(board.seat_and_match(session.id))
    }

    /// A worker is gone; its claims have no stream until it comes back with them.
    pub fn leave(&self, id: SessionId) {
        let mut board = self.board.lock();
        let Some(seat) = board.sessions.remove(&id) else { return };
        for function in &seat.session.functions {
            board.lanes.change(seat.session.hub.as_str(), function, |lane| {
                lane.workers -= 1;
                lane.idle.retain(|idle| *idle != id);
            });
        }
        for claim in seat.session.claims() {
            if board.routes.get(&claim) == Some(&id) {
                board.routes.remove(&claim);
            }
        }
    }

    /// Makes room for so many more runs of a partition.
    pub fn make_room(&self, partition: PartitionId, runs: usize) {
        self.board.lock().waiting.maps.entry(partition).or_default().reserve(runs);
    }

    /// A run waits for a worker.
    pub fn offer(&self, key: &InstanceKey, offer: &Offer, prefer: Option<SessionId>) -> Vec<Match> {
        let mut board = self.board.lock();
        if let Some(seat) = prefer.and_then(|id| board.sessions.get_mut(&id)).filter(|seat| seat.has_room()) {
            let taken = seat.take(key.clone(), offer.execution);
            board.withdraw(key);
            return vec![taken];
        }
        let (function, ticket) = (&offer.spec.function, board.next_ticket);
        board.next_ticket += 1;
        board.lanes.enter(key.hub(), function, |lane| lane.offers.push(ticket, key.clone(), offer.execution));
        if let Some((former, ticket)) = board.waiting.insert(key.clone(), function.clone(), ticket) {
            board.lanes.change(key.hub(), &former, |lane| lane.offers.remove(ticket));
        }
        board.match_lane(key.hub(), function)
    }

    /// A run no longer waits.
    pub fn withdraw(&self, key: &InstanceKey) {
        self.board.lock().withdraw(key);
    }

    /// The runs of this hub that wait for a worker, the oldest first.
    pub fn waiting_in(&self, hub: &TaskHub) -> Vec<(InstanceKey, ExecutionId)> {
        let board = self.board.lock();
        let lanes = board.lanes.0.get(hub.as_str()).into_iter().flat_map(HashMap::values);
        let mut offers: Vec<_> = lanes.flat_map(|lane| lane.offers.iter()).collect();
        offers.sort_by_key(|(ticket, ..)| *ticket);
        offers.into_iter().map(|(_, key, execution)| (key.clone(), execution)).collect()
    }

    /// This execution no longer waits; another one of the instance may.
    pub fn withdraw_execution(&self, key: &InstanceKey, execution: ExecutionId) {
        let mut board = self.board.lock();
        let (lanes, place) = (&board.lanes, board.waiting.get(key));
        let waiting = place.and_then(|(function, ticket)| lanes.get(key.hub(), function)?.offers.execution(*ticket));
        if waiting == Some(execution) {
            board.withdraw(key);
        }
    }

    /// The claim belongs to this stream from now on: its worker's place is taken already.
    pub fn route(&self, claim: ClaimId, session: SessionId) {
        self.board.lock().routes.insert(claim, session);
    }

    /// The claim moves to this stream, which has a place taken for it. Answers the stream that had it: its worker has
    /// left it, so it gets nothing more unless it is heard of.
    pub fn reroute(&self, claim: ClaimId, session: SessionId) -> Option<Arc<Session>> {
        let mut board = self.board.lock();
        let before = board.routes.insert(claim, session);
        let seat = board.sessions.get_mut(&before?)?;
        seat.give_back();
        seat.silent = true;
        Some(seat.session.clone())
    }

    /// The stream that a claim belongs to.
    pub fn session_of(&self, claim: ClaimId) -> Option<Arc<Session>> {
        let board = self.board.lock();
        board.routes.get(&claim).and_then(|id| board.sessions.get(id)).map(|seat| seat.session.clone())
    }

    /// The claim is over: its worker has room for another run, but gets none before `resume`. Answers the stream.
    pub fn end_claim(&self, claim: ClaimId, silent: bool) -> Option<Arc<Session>> {
        let mut board = self.board.lock();
        let id = board.routes.remove(&claim)?;
        let seat = board.sessions.get_mut(&id)?;
        seat.give_back();
        seat.silent |= silent;
        Some(seat.session.clone())
    }

    /// Whatever waits for this worker is matched.
    pub fn resume(&self, id: SessionId) -> Vec<Match> {
        self.board.lock().seat_and_match(id)
    }

    /// The worker was heard of.
    pub fn heard(&self, id: SessionId) -> Vec<Match> {
        let mut board = self.board.lock();
        match board.sessions.get_mut(&id) {
            Some(seat) if seat.silent => {
                seat.silent = false;
                board.seat_and_match(id)
            }
            _ => Vec::new(),
        }
    }

    pub fn census(&self) -> Census {
        let board = self.board.lock();
        let firsts = board.lanes.0.values().flat_map(HashMap::values).filter_map(|lane| lane.offers.first());
        let oldest = firsts.min_by_key(|(ticket, _)| *ticket).map(|(_, key)| key.clone());
        Census { workers: board.sessions.len(), waiting: board.waiting.len, oldest, held: board.routes.len() }
    }

    /// How it stands with a run that no worker has.
    pub fn standing(&self, key: &InstanceKey, function: &Name) -> Standing {
        let board = self.board.lock();
        match board.lanes.get(key.hub(), function) {
            None | Some(Lane { workers: 0, .. }) => Standing::Unserved,
            Some(_) if board.waiting.get(key).is_some() => Standing::Waiting,
            Some(_) => Standing::BeingGranted,
        }
    }
}

impl Board {
    fn withdraw(&mut self, key: &InstanceKey) {
        if let Some((function, ticket)) = self.waiting.remove(key) {
            self.lanes.change(key.hub(), &function, |lane| lane.offers.remove(ticket));
        }
    }

    /// Puts the worker back where it was left out for want of room, and matches there.
    fn seat_and_match(&mut self, id: SessionId) -> Vec<Match> {
        let Some(seat) = self.sessions.get_mut(&id).filter(|seat| seat.has_room()) else { return Vec::new() };
        let (session, functions) = (seat.session.clone(), std::mem::take(&mut seat.absent));
        let hub = session.hub.as_str();
        for function in &functions {
            self.lanes.change(hub, function, |lane| lane.idle.push_back(id));
        }
        functions.iter().flat_map(|function| self.match_lane(hub, function)).collect()
    }

    fn match_lane(&mut self, hub: &str, function: &Name) -> Vec<Match> {
        let Some(lane) = self.lanes.get_mut(hub, function) else { return Vec::new() };
        let mut matches = Vec::new();
        while !lane.offers.is_empty()
            && let Some(id) = lane.idle.pop_front()
        {
            let Some(seat) = self.sessions.get_mut(&id) else { continue };
            if !seat.has_room() {
                seat.absent.push(function.clone());
                continue;
            }
            let Some((instance, execution)) = lane.offers.pop_first() else { break };
            self.waiting.remove(&instance);
            matches.push(seat.take(instance, execution));
            lane.idle.push_back(id);
        }
        matches
    }
}

impl Lanes {
    fn get(&self, hub: &str, function: &Name) -> Option<&Lane> {
        self.0.get(hub)?.get(function)
    }

    fn get_mut(&mut self, hub: &str, function: &Name) -> Option<&mut Lane> {
        self.0.get_mut(hub)?.get_mut(function)
    }

    /// Changes a lane, which is made if there is none.
    fn enter(&mut self, hub: &str, function: &Name, enter: impl FnOnce(&mut Lane)) {
        match self.0.get_mut(hub) {
            Some(of_hub) => enter(of_hub.entry(function.clone()).or_default()),
            None => enter(self.0.entry(hub.into()).or_default().entry(function.clone()).or_default()),
        }
    }

    /// Changes a lane that is there. It goes when nobody is in it any more.
    fn change(&mut self, hub: &str, function: &Name, change: impl FnOnce(&mut Lane)) {
        let Some(of_hub) = self.0.get_mut(hub) else { return };
        let hash_map::Entry::Occupied(mut lane) = of_hub.entry(function.clone()) else { return };
        change(lane.get_mut());
        if lane.get().is_empty() {
            lane.remove();
            if of_hub.is_empty() {
                self.0.remove(hub);
            }
        }
    }
}

impl Waiting {
    fn get(&self, key: &InstanceKey) -> Option<&(Name, u64)> {
        self.maps.get(&PartitionId::of(key))?.get(key)
    }

    /// Answers where it stood before.
    fn insert(&mut self, key: InstanceKey, function: Name, ticket: u64) -> Option<(Name, u64)> {
        let of_partition = self.maps.entry(PartitionId::of(&key)).or_default();
        let former = of_partition.insert(key, (function, ticket));
        self.len += usize::from(former.is_none());
        former
    }

    fn remove(&mut self, key: &InstanceKey) -> Option<(Name, u64)> {
        let removed = self.maps.get_mut(&PartitionId::of(key))?.remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.workers == 0 && self.offers.is_empty()
    }
}

impl Seat {
    fn has_room(&self) -> bool {
        self.free > 0 && !self.silent
    }

    fn take(&mut self, key: InstanceKey, execution: ExecutionId) -> Match {
        self.free -= 1;
        Match { key, execution, session: self.session.id, worker: self.session.worker.clone() }
    }

    fn give_back(&mut self) {
        self.free = (self.free + 1).min(i64::from(self.session.max_runs));
    }
}
