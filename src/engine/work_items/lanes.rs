//! Work items that wait for a stream, each kind of them in a lane of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::item::{Item, ItemKey, Kind};
use crate::core::ids::{InstanceKey, Name, Revision};

/// Work items in the order in which they came, each by its ticket.
type Lane = BTreeMap<u64, Arc<Item>>;
/// By name and version.
type Lanes = BTreeMap<(Name, String), Lane>;

#[derive(Default)]
pub(super) struct Waiting {
    hubs: HashMap<Arc<str>, Hub>,
    /// Where each of them stands.
    places: BTreeMap<ItemKey, Place>,
    next_ticket: u64,
}

/// What waits in one task hub. A stream looks at no other.
#[derive(Default)]
struct Hub {
    turns: Lanes,
    activities: Lanes,
}

struct Place {
    item: Arc<Item>,
    ticket: u64,
}

impl Waiting {
    pub fn put(&mut self, item: Arc<Item>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let hub = match self.hubs.get_mut(item.key.hub()) {
            Some(hub) => hub,
            None => self.hubs.entry(item.key.hub().into()).or_default(),
        };
        hub.lanes_mut(item.kind()).entry(item.lane()).or_default().insert(ticket, item.clone());
        self.places.insert(item.item_key(), Place { item, ticket });
    }

    pub fn remove(&mut self, key: &ItemKey) {
        let Some(Place { item, ticket }) = self.places.remove(key) else { return };
        let Some(hub) = self.hubs.get_mut(item.key.hub()) else { return };
        let (lanes, lane) = (hub.lanes_mut(item.kind()), item.lane());
        if let Some(items) = lanes.get_mut(&lane) {
            items.remove(&ticket);
            if items.is_empty() {
                lanes.remove(&lane);
            }
        }
        if hub.turns.is_empty() && hub.activities.is_empty() {
            self.hubs.remove(item.key.hub());
        }
    }

    /// The one that has waited longest of those whose lane and which themselves are suitable.
    pub fn oldest(
        &self,
        hub: &str,
        kind: Kind,
        lane_suits: impl Fn(&Name, &str) -> bool,
        suits: impl Fn(&Item) -> bool,
    ) -> Option<Arc<Item>> {
        let lanes = self.hubs.get(hub)?.lanes(kind).iter().filter(|((name, version), _)| lane_suits(name, version));
        let firsts = lanes.filter_map(|(_, items)| items.iter().find(|(_, item)| suits(item)));
        firsts.min_by_key(|(ticket, _)| **ticket).map(|(_, item)| item.clone())
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.hubs.is_empty()
    }

    /// How many places and items in lanes there are: twice as many as wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let lanes = self.hubs.values().flat_map(|hub| hub.turns.values().chain(hub.activities.values()));
        self.places.len() + lanes.map(BTreeMap::len).sum::<usize>()
    }

    /// All that waits of an instance.
    pub fn of(&self, key: &InstanceKey) -> impl Iterator<Item = &Arc<Item>> {
        let all = (key.clone(), None)..=(key.clone(), Some(Revision(u64::MAX)));
        self.places.range(all).map(|(_, place)| &place.item)
    }
}

impl Hub {
    fn lanes(&self, kind: Kind) -> &Lanes {
        match kind {
            Kind::Turn => &self.turns,
            Kind::Activity => &self.activities,
        }
    }

    fn lanes_mut(&mut self, kind: Kind) -> &mut Lanes {
        match kind {
            Kind::Turn => &mut self.turns,
            Kind::Activity => &mut self.activities,
        }
    }
}
