//! The stream of one worker: the work items that wait to be told to it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{filters::Wishes, item::Item};
use crate::{core::ids::CompletionToken, engine::partition::TurnClaim};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

pub struct Stream {
    pub id: StreamId,
    pub wishes: Wishes,
    /// Bounded by what the stream takes at a time.
    mail: Mutex<VecDeque<Assignment>>,
    bell: Notify,
}

/// A work item for this stream's worker.
pub struct Assignment {
    pub token: CompletionToken,
    pub item: Arc<Item>,
    /// Of a turn.
    pub claim: Option<TurnClaim>,
}

impl Stream {
    pub(super) fn new(id: StreamId, wishes: Wishes) -> Arc<Stream> {
        Arc::new(Stream { id, wishes, mail: Mutex::default(), bell: Notify::new() })
    }

    pub(super) fn assign(&self, assignment: Assignment) {
        self.mail.lock().push_back(assignment);
        self.bell.notify_one();
    }

    /// The worker is not to have it any more: it need not read it.
    pub(super) fn withdraw(&self, token: CompletionToken) {
        self.mail.lock().retain(|assignment| assignment.token != token);
    }

    /// What has come, in its order: at least one work item, and no more than `max`. Cancel-safe.
    pub async fn next(&self, max: usize) -> Vec<Assignment> {
        loop {
            let come = self.take(max);
            if !come.is_empty() {
                return come;
            }
            self.bell.notified().await;
        }
    }

    #[cfg(test)]
    pub(super) fn unread(&self) -> usize {
        self.mail.lock().len()
    }

    fn take(&self, max: usize) -> Vec<Assignment> {
        let mut mail = self.mail.lock();
        let count = mail.len().min(max);
        mail.drain(..count).collect()
    }
}
