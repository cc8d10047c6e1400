//! The worker: runs functions for a server, each as a singleton.
//!
//! ```no_run
//! use soloist::worker::{Failure, Run, Worker};
//!
//! # async fn example() -> Result<(), soloist::client::Error> {
//! let worker = Worker::builder("http://localhost:4001")
//!     .max_runs(4)
//!     .function("nightly-report", |run: Run| async move {
//!         let day = run.input().ok_or_else(|| Failure::new("NoInput", "which day?").non_retriable())?;
//!         run.progress("collecting").await?;
//!         let approval = run.next_event().await?;
//!         Ok(format!("the report of {day}, approved by {:?}", approval.input))
//!     })
//!     .build()?;
//! worker.run(async { drop(tokio::signal::ctrl_c().await) }).await
//! # }
//! ```
//!
//! The server lets one worker at a time run an instance. The worker does its part: it starts a function only when its
//! acceptance is acknowledged, renews the lease by heartbeats, and drops the function's future when it can't prove the
//! lease any more, whether or not there is a line to the server. That watch has a thread of its own, so functions that
//! block the runtime's threads can't delay it; but a blocked function itself can only be dropped at its next `.await`.

mod crew;
mod function;
mod holdings;
mod lease;
mod link;
mod reports;
mod run;
mod session;

use std::{sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
};
use tonic::{metadata::AsciiMetadataValue, transport::Endpoint};

pub use self::{
    function::{Failure, Outcome},
    run::{Cancellation, Cancelled, Event, ProgressError, Run},
};
use self::{
    function::{Function, Functions},
    holdings::Limits,
    session::Session,
};
use crate::client::{Error, channel};

const MAX_RUNS_DEFAULT: u32 = 16;
const MAX_RUNS_MAX: u32 = 10_000;
const CANCEL_GRACE_DEFAULT: Duration = Duration::from_secs(5);
const SHUTDOWN_GRACE_DEFAULT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Runs functions for a server. See the [module](self).
pub struct Worker {
    settings: Arc<Settings>,
}

/// The settings of a [`Worker`].
#[must_use]
pub struct Builder {
    address: String,
    hub: String,
    name: String,
    max_runs: u32,
    cancel_grace: Duration,
    shutdown_grace: Duration,
    functions: Functions,
}

struct Settings {
    endpoint: Endpoint,
    hub: AsciiMetadataValue,
    name: String,
    max_runs: u32,
    cancel_grace: Duration,
    shutdown_grace: Duration,
    functions: Arc<Functions>,
}

// === impl Worker ===

impl Worker {
    /// A worker for a server such as `http://localhost:4001`.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder {
            address: address.into(),
            hub: channel::HUB_DEFAULT.to_owned(),
            name: format!("worker-{}", std::process::id()),
            max_runs: MAX_RUNS_DEFAULT,
            cancel_grace: CANCEL_GRACE_DEFAULT,
            shutdown_grace: SHUTDOWN_GRACE_DEFAULT,
            functions: Functions::new(),
        }
    }

    /// Works until `shutdown` is ready: then it takes no more runs, lets the running functions finish for the
    /// `shutdown_grace`, drops the others, reports and returns. A server that is away is tried again for ever.
    ///
    /// The functions run as tasks of the present tokio runtime. Dropping this future drops them all at once.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the server refuses the registration as such, `INTERNAL` if there is no thread to be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (stop, stopped) = oneshot::channel();
        let (done, mut finished) = oneshot::channel();
        let session = Session::new(self.settings, Handle::current());
        let thread = thread::Builder::new()
            .name("soloist-worker".to_owned())
            .spawn(move || watch_over(session, stopped, done))
            .map_err(no_thread)?;

        let result = tokio::select! {
            result = &mut finished => result,
            () = shutdown => match stop.send(()) {
                Ok(()) | Err(()) => finished.await,
            },
        };
        result.unwrap_or_else(|_| match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread sends its result unless it panics"),
        })
    }
}

/// The worker's own thread. It ends with the session, or when nobody waits for it any more.
fn watch_over(session: Session, stopped: oneshot::Receiver<()>, mut done: oneshot::Sender<Result<(), Error>>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(done.send(Err(no_thread(error)))),
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = session.run(stopped) => Some(result),
            () = done.closed() => None,
        }
    });
    if let Some(result) = result {
        drop(done.send(result));
    }
    // Without waiting for a name that is still being resolved.
    runtime.shutdown_background();
}

fn no_thread(error: std::io::Error) -> Error {
    Error::own(format!("cannot start the worker: {error}"))
}

// === impl Builder ===

impl Builder {
    /// The task hub whose instances it runs. `default` unless set.
    pub fn hub(mut self, hub: impl Into<String>) -> Builder {
        self.hub = hub.into();
        self
    }

    /// A name for people, shown in the status of what it runs. `worker-` and the process id unless set.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = name.into();
        self
    }

    /// How many runs it takes at a time: 1 to 10,000. 16 unless set.
    pub fn max_runs(mut self, max_runs: u32) -> Builder {
        self.max_runs = max_runs;
        self
    }

    /// How long a function may go on after its run was terminated, replaced or timed out, to clean up; never longer than
    /// its lease. 5 s unless set.
    pub fn cancel_grace(mut self, grace: Duration) -> Builder {
        self.cancel_grace = grace;
        self
    }

    /// How long functions may go on after the worker was told to stop. 10 s unless set.
    pub fn shutdown_grace(mut self, grace: Duration) -> Builder {
        self.shutdown_grace = grace;
        self
    }

    /// Serves a function under a name. A second one under the same name takes the first one's place.
    ///
    /// It is called for each run, as a task of its own; a panic is a failure of that run. What it returns with `Ok` may
    /// be anything that turns into an [`Outcome`]; with `Err` or `?`, any error.
    pub fn function<F, R, O>(mut self, name: impl Into<String>, function: F) -> Builder
    where
        F: Fn(Run) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
        O: Into<Outcome> + 'static,
    {
        let function: Function = Arc::new(move |run| {
            let ending = function(run);
            Box::pin(async move { ending.await.map(Into::into) })
        });
        self.functions.insert(name.into(), function);
        self
    }

    /// The worker.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address, a hub or a number that is none, or without a function.
    pub fn build(self) -> Result<Worker, Error> {
        if self.functions.is_empty() {
            return Err(Error::setting("the set of functions", "empty", "one function at least"));
        }
        if !(1..=MAX_RUNS_MAX).contains(&self.max_runs) {
            return Err(Error::setting("max_runs", self.max_runs.to_string(), "1 to 10,000"));
        }
        let settings = Settings {
            endpoint: channel::endpoint(&self.address, KEEPALIVE)?,
            hub: channel::hub_value(&self.hub)?,
            name: self.name,
            max_runs: self.max_runs,
            cancel_grace: self.cancel_grace,
            shutdown_grace: self.shutdown_grace,
            functions: Arc::new(self.functions),
        };
        Ok(Worker { settings: Arc::new(settings) })
    }
}

// === impl Settings ===

impl Settings {
    fn limits(&self) -> Limits {
        Limits { runs_max: self.max_runs as usize, cancel_grace: self.cancel_grace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> Builder {
        Worker::builder("http://localhost:1").function("f", |_| async { Ok(()) })
    }

    #[test]
    fn settings_are_checked_before_anything_is_tried() {
        let cases = [
            Worker::builder("http://localhost:1"),
            Worker::builder("no address, this").function("f", |_| async { Ok(()) }),
            builder().hub("line\nbreak"),
            builder().max_runs(0),
            builder().max_runs(MAX_RUNS_MAX + 1),
        ];
        for builder in cases {
            let error = builder.build().err().expect("it can't be used");
            assert_eq!(error.code(), tonic::Code::InvalidArgument, "{error}");
        }
    }

    #[test]
    fn a_worker_can_be_spawned() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&builder().build().expect("valid settings").run(std::future::pending()));
    }
}
