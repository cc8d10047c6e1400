//! The engine in motion: the committer's thread, and the tasks that carry out effects, fire timers and watch the disk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Engine, Shared,
    committer::Committed,
    stepper::{Stepper, describe},
    sweep,
};
use crate::{
    core::{
        ids::Arrival,
        time::{Span, Steady},
    },
    store::CommitError,
};

/// Commits whose effects are not carried out yet: then the committer waits.
const COMMITS_AHEAD: usize = 4;
/// A commit that takes longer is a failure: nobody can tell what the disk is doing.
const COMMIT_MAX: Span = Span::from_secs(60);
/// How often the store and the commit under way are looked at.
const STORE_CHECK: Duration = Duration::from_secs(1);
/// The longest sleep of the timers, so that a clock that was set does not matter for longer.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The longest wait for the first sweep.
const FIRST_SWEEP: Span = Span::from_secs(60);
/// The longest rest between two steps of a sweep: one that the disk held up for hours must not put off the next.
const SWEEP_REST_MAX: Span = Span::from_secs(60);
/// No commit is under way.
const IDLE: i64 = i64::MAX;

/// The engine's thread and tasks. Whoever holds it ends them with [`Threads::end`].
pub struct Threads {
    shared: Arc<Shared>,
    committer: JoinHandle<()>,
    effects: JoinSet<()>,
    timers: JoinSet<()>,
    sweeps: JoinSet<()>,
    /// Looks at the commits for as long as there are any, also at the end.
    watch: JoinSet<()>,
}

/// Why the engine did not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// A commit failed, before the end or at it: its callers were told that its outcome is unknown.
    #[error("the store has failed: {0}")]
    StoreFailed(Arc<str>),
    /// Every commit is durable; the store will find out at its next start what it could not tidy up.
    #[error("the store could not be closed: {0}")]
    Close(#[from] CommitError),
}

/// Held by everything that moves the engine: should one end before its time, by a panic, the server must not go on
/// without it.
struct Moving(Stepper);

impl Drop for Moving {
    fn drop(&mut self) {
        if !self.0.shared.ending.load(Ordering::Relaxed) {
            self.0.shared.fall("a part of the engine has ended");
        }
    }
}

impl Engine {
    /// Sets the engine in motion, on the current runtime.
    pub fn run(&self) -> std::io::Result<Threads> {
        let shared = self.shared.clone();
        let (committed, mut to_carry_out) = mpsc::channel(COMMITS_AHEAD);
        let under_way = Arc::new(AtomicI64::new(IDLE));

        let (moving, clock) = (Moving(self.stepper()), under_way.clone());
        let commit_all = move || commit_all(&moving.0, &clock, &committed);
        let committer = Builder::new().name("committer".into()).spawn(commit_all)?;

        let mut effects = JoinSet::new();
        let moving = Moving(self.stepper());
        effects.spawn(async move {
            while let Some(committed) = to_carry_out.recv().await {
                moving.0.carry_out(committed);
            }
        });

        let mut timers = JoinSet::new();
        timers.spawn(fire(Moving(self.stepper())));
        let mut sweeps = JoinSet::new();
        if let Some(retention) = shared.config.retention {
            sweeps.spawn(sweep(Moving(self.stepper()), retention));
        }
        let mut watch = JoinSet::new();
        watch.spawn(watch_store(shared.clone(), under_way));
        Ok(Threads { shared, committer, effects, timers, sweeps, watch })
    }
}

impl Threads {
    /// Ends everything in order: no more sweeps and timers, the last commits, their effects, the store.
    ///
    /// # Errors
    /// See [`EndError`]. A commit that never returns is not waited for once it is given up on.
    pub async fn end(mut self) -> Result<(), EndError> {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.sweeps.shutdown().await;
        self.timers.shutdown().await;
        self.shared.queue.close();
        let mut fallen = self.shared.fallen.subscribe();
        tokio::select! {
            () = async { while self.effects.join_next().await.is_some() {} } => {}
            _ = fallen.wait_for(Option::is_some) => {}
        }
        if self.shared.fallen.borrow().is_some() {
            return Err(EndError::StoreFailed(self.shared.why_fallen()));
        }
        self.watch.shutdown().await;
        let committer = tokio::task::spawn_blocking(move || self.committer.join());
        if committer.await.is_ok_and(|joined| joined.is_err()) {
            tracing::error!("the committer has panicked");
        }
        let store = self.shared.store.clone();
        Ok(tokio::task::spawn_blocking(move || store.close()).await.unwrap_or(Ok(()))?)
    }
}

fn commit_all(stepper: &Stepper, under_way: &AtomicI64, committed: &mpsc::Sender<Committed>) {
    while let Some(commit) = stepper.next_commit() {
        under_way.store(stepper.shared.clock.now().steady.as_micros(), Ordering::Relaxed);
        let flushed = stepper.flush(commit);
        under_way.store(IDLE, Ordering::Relaxed);
        let Some(done) = flushed else { return };
        if committed.blocking_send(done).is_err() {
            return;
        }
    }
}

async fn fire(moving: Moving) {
    let (stepper, shared) = (&moving.0, &moving.0.shared);
    loop {
        while stepper.fire_next() {}
        let wait = stepper.next_due().map_or(SLEEP_MAX, |due| Duration::from(due - shared.clock.now().steady));
        tokio::select! {
            () = tokio::time::sleep(wait.min(SLEEP_MAX)) => {}
            () = shared.timers.changed() => {}
        }
    }
}

/// Purges what has outlived the retention, in passes through the whole store.
async fn sweep(moving: Moving, retention: Span) {
    let (stepper, clock) = (&moving.0, &moving.0.shared.clock);
    // A server that is often started anew sweeps too.
    let mut wait = sweep::interval(retention).min(FIRST_SWEEP);
    loop {
        tokio::time::sleep(wait.into()).await;
        wait = sweep::interval(retention);
        let (mut next, mut purged) = (Some(Arrival(0)), 0);
        while let Some(after) = next {
            let begun = clock.now().steady;
            match stepper.sweep_next(after).await {
                Ok(swept) => {
                    purged += swept.purged;
                    next = swept.next;
                }
                Err(error) => {
                    tracing::warn!(%error, "what has outlived the retention is not purged for now");
                    break;
                }
            }
            // As long a rest as the work was, within reason: the store is there for others.
            tokio::time::sleep((clock.now().steady - begun).min(SWEEP_REST_MAX).into()).await;
        }
        if purged > 0 {
            tracing::info!(purged, "instances had outlived the retention");
        }
    }
}

async fn watch_store(shared: Arc<Shared>, under_way: Arc<AtomicI64>) {
    loop {
        tokio::time::sleep(STORE_CHECK).await;
        let begun = Steady::from_micros(under_way.load(Ordering::Relaxed));
        if shared.clock.now().steady - begun > COMMIT_MAX {
            return shared.fall("a commit took longer than 60 s");
        }
        // What fails beside the commits must not wait for the next one to be found.
        if let Err(error) = shared.store.check() {
            return shared.fall(&describe(&error));
        }
    }
}
