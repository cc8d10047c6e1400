//! The engine's face for workers: they connect, renew, report and leave.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Engine, Refusal, Shared, query,
    workers::{Held, Session, SessionId, StopReason},
};
use crate::{
    core::{
        command::{Command, Report, ReportBody},
        effect::Run,
        ids::{Arrival, ClaimId, InstanceKey, Name, TaskHub},
        lease::{NotHeld, Proof},
        status::Failure,
    },
    mutant::Mutant,
    store::{Table, record, record::InboxEvent},
};

/// Events that are read for a worker at a time.
const EVENTS_PAGE: usize = 16;

/// A worker's place in the engine. Dropped when its stream has ended: what was granted but never left is taken back,
/// what the worker holds it keeps.
pub struct Connection {
    shared: Arc<Shared>,
    pub session: Arc<Session>,
}

/// What became of the runs that a worker came with.
pub struct Connected {
    pub connection: Connection,
    pub continued: Vec<(InstanceKey, Proof)>,
    pub lost: Vec<(InstanceKey, Proof)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.dispatch.leave(self.session.id);
        for (key, proof) in self.session.close() {
            self.shared.take_back(&key, proof);
        }
    }
}

impl Engine {
    /// A worker has come, perhaps back with runs that it still holds.
    pub async fn connect(
        &self,
        hub: TaskHub,
        worker: Name,
        functions: Vec<Name>,
        max_runs: u32,
        held: BTreeMap<Proof, InstanceKey>,
    ) -> Result<Connected, Refusal> {
        let shared = &self.shared;
        let id = SessionId(shared.sessions.fetch_add(1, Ordering::Relaxed));
        let session = Session::new(id, hub, worker, functions, max_runs);
        let matches = shared.dispatch.join(&session, held.len(), shared.config.workers_max);
        let matches = matches.ok_or(Refusal::TooMany("workers"))?;
        let connection = Connection { shared: shared.clone(), session };
        shared.grant(matches);
        let mut connected = Connected { connection, continued: Vec::new(), lost: Vec::new() };
        for (proof, key) in held {
            shared.attach(&mut connected, key, proof).await?;
        }
        Ok(connected)
    }

    /// A granted run never left the server: the next worker may have it at once.
    pub fn take_back(&self, key: &InstanceKey, proof: Proof) {
        self.shared.take_back(key, proof);
    }

    /// Something came from the worker: it is not paused.
    pub fn heard(&self, session: &Session) {
        let matches = self.shared.dispatch.heard(session.id);
        self.shared.grant(matches);
    }

    /// Renews one lease.
    pub fn renew(&self, key: &InstanceKey, proof: Proof) -> Result<(), NotHeld> {
        self.shared.partition(key).renew(key, proof, self.shared.clock.now())
    }

    /// Takes a report: it is decided at once, and the answer comes when it is durable.
    pub fn report(
        &self,
        key: InstanceKey,
        report: Report,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let submit = || shared.partition(&key).submit(&key, &Command::Report(report), shared.clock.now(), None);
        let verdict = shared.check_store().map(|()| submit());
        async move {
            let partition = shared.partition(&key);
            shared.answer(partition, verdict?).await.map(|_| ())
        }
    }

    /// The input of a run. Its row is gone where a newer execution has taken the run's place.
    pub async fn input_of(&self, run: &Run) -> Result<Option<String>, Refusal> {
        let (arrival, Some(row)) = (run.arrival, run.input) else { return Ok(None) };
        let input = self.shared.read(move |store| query::read_payload(store, arrival, row)).await?;
        input
            .map(Some)
            .ok_or_else(|| Refusal::Damaged(format!("Payload row {}/{} is missing", arrival.0, row.number())))
    }

    /// No worker can be given all of the run, since some of it can't be read: it ends here, lest it be offered for
    /// ever. One whose place was taken has ended already.
    pub async fn give_up(&self, key: &InstanceKey, proof: Proof, error_type: &str, damage: String) {
        let failure = Failure::declared(error_type, damage);
        let report = Report { proof, body: ReportBody::Failed { failure } };
        if let Ok(()) = self.report(key.clone(), report).await {
            tracing::error!(?key, "a run has failed because its rows are damaged");
        }
    }

    /// The next events for a run that the session holds, at most some; none for a run that was cancelled or is
    /// suspended.
    pub async fn events_for(&self, session: &Session, claim: ClaimId) -> Result<Vec<InboxEvent>, Refusal> {
        // Suspended by what is durable, or by what is about to be: either way it gets none.
        let Some(held) = session.held(claim).filter(|held| !held.suspended || Mutant::DeliverWhileSuspended.is_on())
        else {
            return Ok(Vec::new());
        };
        let Some((arrival, after)) = self.inbox_of(&held) else { return Ok(Vec::new()) };
        let from = after.max(held.events_sent) + 1;
        let rows = self.shared.read(move |store| store.read(Table::Event, arrival, from, EVENTS_PAGE)).await?;
        // A run that was cancelled meanwhile gets nothing: what was read may have been raised for its successor.
        if self.inbox_of(&held).is_none() {
            return Ok(Vec::new());
        }
        rows.iter()
            .map(|row| record::decode_event(row.key.number, &row.bytes))
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Damaged(error.to_string()))
    }

    /// The inbox of a run that is still held and neither cancelled nor suspended: whose it is, and up to where it is acknowledged.
    fn inbox_of(&self, held: &Held) -> Option<(Arrival, u64)> {
        let inbox = self.shared.partition(&held.key).inspect(&held.key, |instance| {
            let lease = instance.lease.as_ref().filter(|l| l.proof() == held.proof && l.cancelled.is_none());
            lease
                .filter(|_| !instance.is_suspended() || Mutant::DeliverWhileSuspended.is_on())
                .map(|_| (instance.arrival, instance.inbox_after))
        });
        inbox.flatten()
    }
}

impl Shared {
    /// A run comes back with its worker: the newest stream wins.
    async fn attach(&self, connected: &mut Connected, key: InstanceKey, proof: Proof) -> Result<(), Refusal> {
        let session = connected.connection.session.clone();
        // First take the run over, then look: a cancel that becomes durable in between finds its way.
        session.hold(Held::new(key.clone(), proof));
        if let Some(before) = self.dispatch.reroute(proof.claim, session.id) {
            before.let_go(proof.claim);
        }
        let partition = self.partition(&key);
        let found = partition.attach(&key, proof, self.clock.now());
        self.until_durable(partition, found.speaks_of).await.map_err(Refusal::from_read)?;
        match found.found {
            Ok(suspended) => {
                session.pace(proof.claim, suspended, found.speaks_of);
                session.deliver_events(proof.claim);
                connected.continued.push((key, proof));
            }
            Err(NotHeld::Cancelled(why)) => session.cancel(proof.claim, StopReason::Cancelled(why)),
            Err(ended @ (NotHeld::Reported | NotHeld::Lost)) => {
                self.dispatch.end_claim(proof.claim, false);
                session.let_go(proof.claim);
                self.grant(self.dispatch.resume(session.id));
                let to = if ended == NotHeld::Reported { &mut connected.continued } else { &mut connected.lost };
                to.push((key, proof));
            }
        }
        Ok(())
    }

    pub(super) fn take_back(&self, key: &InstanceKey, proof: Proof) {
        // Overtaken by a report, an expiry or an end: then there is nothing to take back.
        let _ = self.partition(key).submit(key, &Command::TakeBack(proof), self.clock.now(), None);
    }
}
