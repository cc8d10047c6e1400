//! One copy of what many executions are started with.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::RwLock;

use crate::core::{ids::Name, status::Spec};

/// The latest of each function: nearly all starts of a function ask for the same.
#[derive(Default)]
pub struct Specs {
    latest: RwLock<HashMap<Name, Arc<Spec>>>,
}

/// Functions that are remembered; beyond them all are forgotten.
const FUNCTIONS_MAX: usize = 1_000;

impl Specs {
    /// The copy that is there, if this one says the same.
    pub fn share(&self, spec: Arc<Spec>) -> Arc<Spec> {
        // What each start has of its own is shared by none.
        if spec.parent.is_some() || spec.trace.is_some() || spec.start_at.is_some() {
            return spec;
        }
        if let Some(latest) = self.latest.read().get(&spec.function).filter(|latest| **latest == spec) {
            return Arc::clone(latest);
        }
        let mut latest = self.latest.write();
        if latest.len() == FUNCTIONS_MAX && !latest.contains_key(&spec.function) {
            latest.clear();
        }
        latest.insert(spec.function.clone(), Arc::clone(&spec));
        spec
    }
}
