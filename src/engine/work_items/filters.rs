//! What a worker's stream asks for.

use std::collections::HashMap;

use super::item::Kind;
use crate::core::ids::TaskHub;

/// What a stream asks for, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct Wishes {
    pub hub: TaskHub,
    pub turns_max: usize,
    pub activities_max: usize,
    /// Everything, if absent.
    pub filters: Option<Filters>,
    /// Its worker may be one that knows no completion tokens. Until it has named one, it keeps its turns.
    pub nameless: bool,
}

/// The names that a stream takes, each with the versions that it takes; any version if there are none.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub orchestrations: HashMap<String, Vec<String>>,
    pub activities: HashMap<String, Vec<String>>,
}

/// How well a stream and a work item fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    TakesAnything,
    /// The stream asks for it by name.
    Named,
}

impl Wishes {
    pub(super) fn max(&self, kind: Kind) -> usize {
        match kind {
            Kind::Turn => self.turns_max,
            Kind::Activity => self.activities_max,
        }
    }

    pub(super) fn fit(&self, kind: Kind, name: &str, version: &str) -> Option<Fit> {
        let Some(filters) = &self.filters else { return Some(Fit::TakesAnything) };
        let named = match kind {
            Kind::Turn => &filters.orchestrations,
            Kind::Activity => &filters.activities,
        };
        let versions = named.get(name)?;
        (versions.is_empty() || versions.iter().any(|wanted| wanted == version)).then_some(Fit::Named)
    }
}
