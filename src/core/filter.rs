//! Which instances are meant.

use std::collections::BTreeMap;

use super::{
    ids::{Name, TaskHub},
    request::Digest,
    status::{Execution, Status},
    time::Timestamp,
};
use crate::mutant::Mutant;

/// Every part that is given must hold; without any, all instances are meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub hub: Option<TaskHub>,
    /// Instance ids that begin with this.
    pub id_prefix: String,
    /// One of these; empty for any.
    pub statuses: Vec<Status>,
    pub function: Option<Name>,
    /// When the latest execution was created.
    pub created_from: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    /// When the latest execution has ended.
    pub ended_from: Option<Timestamp>,
    pub ended_before: Option<Timestamp>,
    /// All of these.
    pub tags: BTreeMap<String, String>,
}

impl Filter {
    /// Whether it may be meant, as far as its names tell.
    pub fn admits(&self, hub: &str, id: &str) -> bool {
        self.hub.as_ref().is_none_or(|wanted| wanted.as_str() == hub) && id.starts_with(&self.id_prefix)
    }

    /// Whether an instance that is admitted is meant, by its latest execution.
    pub fn means(&self, execution: &Execution) -> bool {
        let spec = &execution.spec;
        (self.statuses.is_empty() || self.statuses.contains(&execution.status))
            && self.function.as_ref().is_none_or(|wanted| *wanted == spec.function)
            && self.created_from.is_none_or(|from| execution.created_at >= from)
            && self.created_before.is_none_or(|before| execution.created_at < before)
            && self.ended_from.is_none_or(|from| execution.completed_at.is_some_and(|at| at >= from))
            && self
                .ended_before
                .is_none_or(|before| execution.completed_at.map_or(Mutant::SweepLive.is_on(), |at| at < before))
            && self.tags.iter().all(|(key, value)| spec.tags.get(key) == Some(value))
    }

    /// Tells it from other filters.
    pub fn digest(&self) -> u128 {
        let Filter { hub, id_prefix, statuses, function, created_from, created_before, ended_from, ended_before, tags } =
            self;
        let mut digest = Digest::default();
        digest
            .optional(hub.as_ref().map(TaskHub::as_str))
            .part(id_prefix.as_bytes())
            .optional(function.as_ref().map(Name::as_str));
        for at in [created_from, created_before, ended_from, ended_before] {
            digest.optional(at.map(|at| at.as_micros().to_string()).as_deref());
        }
        // In whichever order they are named, however often.
        let mut names: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
        names.sort_unstable();
        names.dedup();
        digest.part(names.join(" ").as_bytes());
        for (key, value) in tags {
            digest.part(key.as_bytes()).part(value.as_bytes());
        }
        digest.finish()
    }
}
