//! A connected worker: what it holds, and what waits to be told to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::{
    effect::Run,
    ids::{ClaimId, InstanceKey, Name, Revision, TaskHub},
    lease::{Cancellation, Proof},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One stream of one worker.
pub struct Session {
    pub id: SessionId,
    pub hub: TaskHub,
    pub worker: Name,
    pub functions: Vec<Name>,
    pub max_runs: u32,
    inside: Mutex<Inside>,
    bell: Notify,
}

#[derive(Default)]
struct Inside {
    held: BTreeMap<ClaimId, Held>,
    /// Bounded by the runs that are held: one hand-out, one cancel, one notice of events and one of pace each.
    mail: VecDeque<Mail>,
    events_waiting: BTreeSet<ClaimId>,
    pace_waiting: BTreeSet<ClaimId>,
    /// The stream has ended: nothing will take mail any more.
    closed: bool,
}

/// A run that the worker holds, as far as the stream needs to know it.
#[derive(Clone, Debug)]
pub struct Held {
    pub key: InstanceKey,
    pub proof: Proof,
    /// The number of the last event that was sent on this stream.
    pub events_sent: u64,
    /// Whether it is to pause, and whether the worker was told so.
    pub suspended: bool,
    told_suspended: bool,
    paced_at: Revision,
}

/// What waits to be told to the worker.
#[derive(Clone, Debug)]
pub enum Mail {
    Run(InstanceKey, Run),
    Events(ClaimId),
    /// Whether to pause, as it was when the notice was put here: `Session::take_pace` knows better.
    Pace(ClaimId),
    Cancel(InstanceKey, Proof, StopReason),
}

/// Why the worker is to stop a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    Cancelled(Cancellation),
    LeaseLost,
    /// What it reported was not of the current lease.
    Stale,
}

impl Held {
    pub fn new(key: InstanceKey, proof: Proof) -> Held {
        Held { key, proof, events_sent: 0, suspended: false, told_suspended: false, paced_at: Revision(0) }
    }
}

impl Session {
    pub fn new(id: SessionId, hub: TaskHub, worker: Name, functions: Vec<Name>, max_runs: u32) -> Arc<Session> {
        let inside = Mutex::default();
        Arc::new(Session { id, hub, worker, functions, max_runs, inside, bell: Notify::new() })
    }

    /// The run is this session's from now on.
    pub fn hold(&self, held: Held) {
        self.inside.lock().held.insert(held.proof.claim, held);
    }

    /// Whether the run will be told to the worker, or else taken back when the stream ends. Not if it has ended.
    #[must_use]
    pub fn hand_out(&self, key: InstanceKey, run: Run) -> bool {
        let held = Held::new(key.clone(), run.proof);
        let mut inside = self.inside.lock();
        if inside.closed {
            return false;
        }
        inside.held.insert(run.proof.claim, held);
        inside.mail.push_back(Mail::Run(key, run));
        drop(inside);
        self.bell.notify_one();
        true
    }

    /// There are events for the run; they are read when the stream gets to it.
    pub fn deliver_events(&self, claim: ClaimId) {
        let mut inside = self.inside.lock();
        if inside.held.contains_key(&claim) && inside.events_waiting.insert(claim) {
            inside.mail.push_back(Mail::Events(claim));
            drop(inside);
            self.bell.notify_one();
        }
    }

    /// The run is to pause, or to go on.
    pub fn pace(&self, claim: ClaimId, suspended: bool, at: Revision) {
        let mut inside = self.inside.lock();
        // Whoever came back with the run may have looked before what was told meanwhile.
        let Some(held) = inside.held.get_mut(&claim).filter(|held| held.paced_at <= at) else { return };
        held.suspended = suspended;
        held.paced_at = at;
        if held.suspended != held.told_suspended && inside.pace_waiting.insert(claim) {
            inside.mail.push_back(Mail::Pace(claim));
            drop(inside);
            self.bell.notify_one();
        }
    }

    /// Whether the worker is to be told to pause, or to go on; nothing if it knows.
    pub fn take_pace(&self, claim: ClaimId) -> Option<(InstanceKey, Proof, bool)> {
        let mut inside = self.inside.lock();
        let held = inside.held.get_mut(&claim).filter(|held| held.suspended != held.told_suspended)?;
        held.told_suspended = held.suspended;
        Some((held.key.clone(), held.proof, held.suspended))
    }

    pub fn cancel(&self, claim: ClaimId, reason: StopReason) {
        let mut inside = self.inside.lock();
        if let Some(Held { key, proof, .. }) = inside.held.get(&claim).cloned() {
            inside.mail.push_back(Mail::Cancel(key, proof, reason));
            drop(inside);
            self.bell.notify_one();
        }
    }

    /// The lease is over, or another stream has it.
    pub fn let_go(&self, claim: ClaimId) {
        let mut inside = self.inside.lock();
        inside.held.remove(&claim);
        inside.events_waiting.remove(&claim);
        inside.pace_waiting.remove(&claim);
    }

    pub fn held(&self, claim: ClaimId) -> Option<Held> {
        self.inside.lock().held.get(&claim).cloned()
    }

    /// All claims that the session holds.
    pub fn claims(&self) -> Vec<ClaimId> {
        self.inside.lock().held.keys().copied().collect()
    }

    /// Events up to this number were sent.
    pub fn events_sent(&self, claim: ClaimId, through: u64) {
        if let Some(held) = self.inside.lock().held.get_mut(&claim) {
            held.events_sent = through;
        }
    }

    /// The next thing to tell the worker. Cancel-safe.
    pub async fn next_mail(&self) -> Mail {
        loop {
            if let Some(mail) = self.take_mail() {
                return mail;
            }
            self.bell.notified().await;
        }
    }

    fn take_mail(&self) -> Option<Mail> {
        let mut inside = self.inside.lock();
        let mail = inside.mail.pop_front()?;
        match &mail {
            Mail::Events(claim) => inside.events_waiting.remove(claim),
            Mail::Pace(claim) => inside.pace_waiting.remove(claim),
            Mail::Run(..) | Mail::Cancel(..) => false,
        };
        Some(mail)
    }

    /// The stream is gone. Answers the runs that were granted but never left.
    pub fn close(&self) -> Vec<(InstanceKey, Proof)> {
        let mut inside = self.inside.lock();
        inside.closed = true;
        let mail = std::mem::take(&mut inside.mail);
        drop(inside);
        mail.into_iter()
            .filter_map(|mail| match mail {
                Mail::Run(key, run) => Some((key, run.proof)),
                Mail::Events(_) | Mail::Pace(_) | Mail::Cancel(..) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        ids::{Arrival, ExecutionId, InstanceId},
        policy::{RetryPolicy, WorkerKind},
        status::Spec,
    };

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn run(claim: u8) -> Run {
        let spec = Spec {
            function: name("f"),
            version: None,
            tags: Default::default(),
            worker_kind: WorkerKind::Any,
            retry: RetryPolicy::ONCE,
            start_deadline: None,
            run_timeout: None,
            start_at: None,
            parent: None,
            trace: None,
        };
        let (proof, execution) =
            (Proof { token: Revision(claim.into()), claim: ClaimId([claim; 16]) }, ExecutionId([claim; 16]));
        Run { arrival: Arrival(1), proof, execution, spec: Arc::new(spec), input: None, attempt: 1, deadline: None }
    }

    /// A grant became durable just as its worker's stream ended: the run was put into mail that nobody took any more,
    /// and waited for a lease that nobody had.
    #[test]
    fn what_is_handed_to_a_stream_that_has_ended_comes_back() {
        let session = Session::new(SessionId(1), TaskHub::default(), name("w"), vec![name("f")], 2);
        let key = InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("an id"));
        assert!(session.hand_out(key.clone(), run(1)));
        assert_eq!(session.close(), [(key.clone(), run(1).proof)]);
        assert!(!session.hand_out(key, run(2)));
        assert_eq!(session.close(), []);
    }
}
