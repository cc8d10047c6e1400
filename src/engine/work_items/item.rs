//! What workers are given: turns and activities.

use super::calls::CallName;
use crate::core::{
    effect::{ActivityOffer, Offer},
    ids::{ExecutionId, InstanceKey, Name, Revision},
};

/// A turn or an activity.
#[derive(Clone, Debug)]
pub struct Item {
    pub key: InstanceKey,
    pub execution: ExecutionId,
    pub name: Name,
    pub version: String,
    pub work: Work,
}

#[derive(Clone, Debug)]
pub enum Work {
    Turn,
    Activity(ActivityOffer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Turn,
    Activity,
}

/// Names a work item: its instance and, of an activity, the revision that scheduled it.
pub(super) type ItemKey = (InstanceKey, Option<Revision>);

impl Item {
    pub fn turn(key: InstanceKey, offer: Offer) -> Item {
        let (name, version) = (offer.spec.function.clone(), offer.spec.version().to_owned());
        Item { key, execution: offer.execution, name, version, work: Work::Turn }
    }

    pub fn activity(key: InstanceKey, offer: ActivityOffer) -> Item {
        let (name, version) = (offer.name.clone(), offer.version.clone());
        Item { key, execution: offer.execution, name, version, work: Work::Activity(offer) }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.work {
            Work::Turn => Kind::Turn,
            Work::Activity(_) => Kind::Activity,
        }
    }

    pub(super) fn item_key(&self) -> ItemKey {
        let task = match &self.work {
            Work::Turn => None,
            Work::Activity(offer) => Some(offer.task),
        };
        (self.key.clone(), task)
    }

    pub(super) fn called(&self) -> CallName {
        let id = match &self.work {
            Work::Turn => None,
            Work::Activity(offer) => Some(offer.id),
        };
        (self.key.clone(), id)
    }

    pub(super) fn lane(&self) -> (Name, String) {
        (self.name.clone(), self.version.clone())
    }
}
