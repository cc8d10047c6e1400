//! What workers call their work items that name no tokens.
//!
//! They answer with the instance and, of an activity, the orchestrator's number. A former execution of the instance may
//! have used the same, and its worker may still be at it. So of all that is called the same, such workers have one at a
//! time, lest the answer to one be taken for the answer to another.

use std::collections::{HashMap, HashSet};

use super::stream::StreamId;
use crate::core::ids::{CompletionToken, InstanceKey};

/// An instance and, of an activity, the orchestrator's number.
pub(super) type CallName = (InstanceKey, Option<i32>);

#[derive(Default)]
pub(super) struct Calls {
    taken: HashMap<CallName, Call>,
    /// Names that something waits for.
    awaited: HashSet<CallName>,
}

/// Who has it, and its token as soon as it is handed out.
struct Call {
    stream: StreamId,
    token: Option<CompletionToken>,
}

impl Calls {
    pub fn is_taken(&self, name: &CallName) -> bool {
        self.taken.contains_key(name)
    }

    pub fn begin(&mut self, name: CallName, stream: StreamId) {
        self.taken.insert(name, Call { stream, token: None });
    }

    pub fn handed_out(&mut self, name: &CallName, stream: StreamId, token: CompletionToken) {
        if let Some(call) = self.taken.get_mut(name).filter(|call| call.stream == stream) {
            call.token = Some(token);
        }
    }

    /// What a worker means that calls its work item so.
    pub fn token(&self, name: &CallName) -> Option<CompletionToken> {
        self.taken.get(name)?.token
    }

    /// What this stream's worker has.
    pub fn of(&self, stream: StreamId) -> Vec<CallName> {
        self.taken.iter().filter(|(_, call)| call.stream == stream).map(|(name, _)| name.clone()).collect()
    }

    /// Something of this name waits, it may be for the name.
    pub fn wait(&mut self, name: CallName) {
        if self.taken.contains_key(&name) {
            self.awaited.insert(name);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.taken.len() + self.awaited.len()
    }

    /// The stream's worker has it no longer. Answers whether something waits for the name.
    pub fn end(&mut self, name: &CallName, stream: StreamId) -> bool {
        if self.taken.get(name).is_none_or(|call| call.stream != stream) {
            return false;
        }
        self.taken.remove(name);
        self.awaited.remove(name)
    }
}
