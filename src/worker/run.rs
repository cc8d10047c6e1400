//! What a function is given: one run, and its line to the server.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime},
};

use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};

use super::reports::Ticket;
use crate::proto::v1;

/// Events of one run that wait to be taken. The server keeps at most 1,000 unconfirmed ones per instance.
pub(super) const EVENTS_WAITING_MAX: usize = 1_024;

/// One run of a function. Cheap to clone; clones speak of the same run.
///
/// When the worker can't prove that it still holds the lease, the function is stopped by dropping its future at its
/// next `.await`. What it started elsewhere (threads, processes, tasks of its own) it must stop itself: give those a
/// clone and let them look at [`Run::cancelled`] or [`Run::cancellation`], or stop them in a `Drop`. External resources
/// are safe against a paused process only where they check [`Run::fencing_token`].
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

/// An external event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its payload: JSON by convention.
    pub input: Option<String>,
    /// Its number, per instance id, rising.
    pub sequence: u64,
    /// When it was raised.
    pub raised_at: Option<SystemTime>,
}

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancellation {
    /// Somebody terminated the instance.
    Terminated,
    /// A start replaced it.
    Replaced,
    /// Its `run_timeout` has passed.
    TimedOut,
    /// The lease is over, or can't be proved any more: another worker may be given the instance.
    LeaseLost,
    /// The worker was shut down and its grace is over.
    ShutDown,
}

/// The run is to stop. Returned as a failure (with `?`) it ends the function; its result no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is to stop: {reason}")]
pub struct Cancelled {
    /// Why.
    pub reason: Cancellation,
}

/// Why progress was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgressError {
    /// The run is to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The server refused it, for example because it is too large. The run goes on.
    #[error("{message} ({reason})")]
    Rejected {
        /// UPPER_SNAKE.
        reason: String,
        /// What was wrong and what is allowed.
        message: String,
    },
}

struct Inner {
    given: v1::Run,
    claim: v1::Claim,
    state: watch::Receiver<State>,
    inbox: Mutex<Inbox>,
    /// The number of the last event that was taken.
    taken: AtomicU64,
    progress_turn: Arc<Semaphore>,
    commands: mpsc::Sender<Command>,
}

struct Inbox {
    events: mpsc::Receiver<v1::Event>,
    /// The event that was taken last, while it is not confirmed.
    unconfirmed: Option<u64>,
}

/// What the worker tells a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub cancelled: Option<Cancellation>,
    pub suspended: bool,
    pub lease_end: Instant,
}

/// The worker's end of a run.
pub(super) struct Side {
    pub state: watch::Sender<State>,
    pub events: mpsc::Sender<v1::Event>,
}

/// What a run asks of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Progress { claim: v1::Claim, custom_status: String, ticket: Ticket },
    ConfirmEvents { claim: v1::Claim, sequence: u64 },
}

// === impl Run ===

impl Run {
    /// Both ends of a run.
    pub(super) fn pair(given: v1::Run, claim: v1::Claim, state: State, commands: mpsc::Sender<Command>) -> (Run, Side) {
        let (state_sender, state) = watch::channel(state);
        let (event_sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let inner = Inner {
            given,
            claim,
            state,
            inbox: Mutex::new(Inbox { events, unconfirmed: None }),
            taken: AtomicU64::new(0),
            progress_turn: Arc::new(Semaphore::new(1)),
            commands,
        };
        (Run { inner: Arc::new(inner) }, Side { state: state_sender, events: event_sender })
    }

    /// The id that callers chose.
    pub fn instance_id(&self) -> &str {
        &self.inner.claim.instance_id
    }

    /// The execution: 32 lower-case hexadecimal digits.
    pub fn execution_id(&self) -> &str {
        &self.inner.given.execution_id
    }

    /// The function's name.
    pub fn function_name(&self) -> &str {
        &self.inner.given.function_name
    }

    /// The number of the grant, which only ever rises for one instance id: give it to external resources, and let them
    /// refuse a smaller one than they have seen.
    pub fn fencing_token(&self) -> u64 {
        self.inner.claim.fencing_token
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.inner.given.attempt
    }

    /// The version that the start asked for; empty if none.
    pub fn version(&self) -> &str {
        &self.inner.given.version
    }

    /// The start's tags.
    pub fn tags(&self) -> &HashMap<String, String> {
        &self.inner.given.tags
    }

    /// When `run_timeout` ends the execution, by the server's clock; none without one.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.inner.given.deadline.and_then(|deadline| SystemTime::try_from(deadline).ok())
    }

    /// The start's input.
    pub fn input(&self) -> Option<&str> {
        self.inner.given.input.as_deref()
    }

    /// When the lease ends unless the server acknowledges another heartbeat. Moves on by itself while the function runs.
    pub fn lease_end(&self) -> Instant {
        self.inner.state.borrow().lease_end
    }

    /// Sets the instance's custom status; it is durable and visible to watchers when this returns. One at a time: a
    /// second call waits for the first.
    ///
    /// # Errors
    /// `Cancelled` if the run is to stop, `Rejected` if the text is too large.
    pub async fn progress(&self, custom_status: impl Into<String>) -> Result<(), ProgressError> {
        let custom_status = custom_status.into();
        let recorded = async {
            let turn = self.inner.progress_turn.clone().acquire_owned().await.ok()?;
            let (answer, answered) = oneshot::channel();
            let ticket = Ticket { answer, turn };
            let claim = self.inner.claim.clone();
            self.inner.commands.send(Command::Progress { claim, custom_status, ticket }).await.ok()?;
            answered.await.ok()
        };
        tokio::select! {
            biased;
            reason = self.cancelled() => Err(Cancelled { reason }.into()),
            answer = recorded => match answer {
                Some(answer) => answer,
                None => Err(Cancelled { reason: Cancellation::LeaseLost }.into()),
            },
        }
    }

    /// The next external event, in the order in which they were raised; waits for it. Nothing is lost when this future
    /// is dropped.
    ///
    /// An event is confirmed when the *next* one is asked for, or when the function returns `Ok`. So a function that
    /// dies or fails while it handles one finds that event again in its next attempt: at least once.
    ///
    /// # Errors
    /// If the run is to stop.
    pub async fn next_event(&self) -> Result<Event, Cancelled> {
        let next = async {
            let mut inbox = self.inner.inbox.lock().await;
            if let Some(sequence) = inbox.unconfirmed {
                let place = self.inner.commands.reserve().await.ok()?;
                place.send(Command::ConfirmEvents { claim: self.inner.claim.clone(), sequence });
                inbox.unconfirmed = None;
            }
            let event = inbox.events.recv().await?;
            inbox.unconfirmed = Some(event.sequence);
            self.inner.taken.store(event.sequence, Ordering::Release);
            Some(event)
        };
        tokio::select! {
            biased;
            reason = self.cancelled() => Err(Cancelled { reason }),
            event = next => event.map(Event::from).ok_or(Cancelled { reason: Cancellation::LeaseLost }),
        }
    }

    /// Waits until the run is to stop, and says why. After a termination, a replacement or a timeout the function has a
    /// few seconds to clean up and return (the worker's `cancel_grace`, and never longer than its lease); what it
    /// returns no longer counts. The instance is not handed out again before it has returned or its lease is over.
    pub async fn cancelled(&self) -> Cancellation {
        let mut state = self.inner.state.clone();
        // Who still asks after the function has returned no longer holds the lease.
        let told = state.wait_for(|state| state.cancelled.is_some()).await;
        told.ok().and_then(|state| state.cancelled).unwrap_or(Cancellation::LeaseLost)
    }

    /// Why the run is to stop; nothing while it may go on. For code that can't wait, such as a blocking loop.
    pub fn cancellation(&self) -> Option<Cancellation> {
        let told = self.inner.state.borrow().cancelled;
        told.or_else(|| self.inner.state.has_changed().is_err().then_some(Cancellation::LeaseLost))
    }

    /// Whether somebody has suspended the instance: then no new events come until it is resumed. The lease is kept
    /// meanwhile, and what the function reports is taken; whether and where it pauses is its own affair.
    pub fn is_suspended(&self) -> bool {
        self.inner.state.borrow().suspended
    }

    /// Waits until the run is suspended. For work that is to be stopped halfway; else [`Run::resumed`] between two steps
    /// is enough.
    ///
    /// # Errors
    /// If the run is to stop.
    pub async fn suspended(&self) -> Result<(), Cancelled> {
        self.until(|state| state.suspended).await
    }

    /// Waits while the run is suspended; returns at once if it isn't.
    ///
    /// ```
    /// # use soloist::worker::{Failure, Run};
    /// async fn migrate(run: Run) -> Result<(), Failure> {
    ///     for table in ["orders", "items"] {
    ///         run.resumed().await?;
    ///         run.progress(format!("migrating {table}")).await?;
    ///         // One step of the work.
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the run is to stop.
    pub async fn resumed(&self) -> Result<(), Cancelled> {
        self.until(|state| !state.suspended).await
    }

    async fn until(&self, wanted: impl Fn(&State) -> bool) -> Result<(), Cancelled> {
        let mut state = self.inner.state.clone();
        let told = state.wait_for(|state| state.cancelled.is_some() || wanted(state)).await;
        match told.map_or(Some(Cancellation::LeaseLost), |state| state.cancelled) {
            Some(reason) => Err(Cancelled { reason }),
            None => Ok(()),
        }
    }

    /// The number of the last event that was taken; 0 if none was.
    pub(super) fn taken(&self) -> u64 {
        self.inner.taken.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Run {
    /// Without the claim, which is a secret, and the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("instance_id", &self.instance_id())
            .field("execution_id", &self.execution_id())
            .field("function_name", &self.function_name())
            .field("fencing_token", &self.fencing_token())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

// === impl Event ===

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Event {
        Event {
            name: event.name,
            input: event.input,
            sequence: event.sequence,
            raised_at: event.raised_at.and_then(|at| SystemTime::try_from(at).ok()),
        }
    }
}

// === impl Cancellation ===

impl fmt::Display for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cancellation::Terminated => "it was terminated",
            Cancellation::Replaced => "it was replaced",
            Cancellation::TimedOut => "its run timeout has passed",
            Cancellation::LeaseLost => "its lease is lost",
            Cancellation::ShutDown => "the worker is shut down",
        })
    }
}
