//! The worker inside of this program, and a watch that tells who waits for a run that it has ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, anyhow};
use tokio::{runtime::Builder, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{
        Error,
        bench::{load::Load, plan::Plan},
    },
    client::{Client, InstancesEvent, InstancesWatch, is_terminal},
    proto::v1::{RuntimeStatus, WatchInstancesRequest},
    worker::{Failure, Run, Worker},
};

/// Runs that a worker takes at a time, at most.
const RUNS_MAX: usize = 10_000;

/// They work in a thread of their own, until this is dropped.
pub struct Crew {
    waiting: Arc<Waiting>,
    stop: CancellationToken,
}

/// Who waits for which end; once nobody tells of ends any more, why.
struct Waiting(Mutex<Result<HashMap<String, oneshot::Sender<RuntimeStatus>>, String>>);

// === impl Crew ===

impl Crew {
    /// Serves the function, which does nothing.
    pub async fn start(function: &str, plan: &Plan, address: &str) -> Result<Crew, Error> {
        let runs = plan.in_flight(Load::Runs).min(RUNS_MAX);
        let worker = Worker::builder(address)
            .hub(&plan.hub)
            .name("bench")
            .max_runs(u32::try_from(runs).unwrap_or(u32::MAX))
            .function(function, |_: Run| async { Ok::<_, Failure>(()) })
            .build()?;
        let client = Client::builder(address).hub(&plan.hub);
        let function = function.to_owned();
        let crew = Crew { waiting: Arc::new(Waiting(Mutex::new(Ok(HashMap::new())))), stop: CancellationToken::new() };
        let (waiting, stop) = (crew.waiting.clone(), crew.stop.clone());
        let (ready, is_ready) = oneshot::channel();
        let work = async move {
            let watch = client.connect().await?.watch_instances(WatchInstancesRequest::of_function(function));
            tokio::select! {
                ended = worker.run(stop.cancelled()) => ended.map_err(Error::from),
                ended = waiting.tell(watch, ready) => ended,
            }
        };
        let waiting = crew.waiting.clone();
        let run = move || {
            let ended = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(work),
                Err(error) => Err(error.into()),
            };
            waiting.end(ended.map_or_else(|error| error.to_string(), |()| "it was stopped".into()));
        };
        thread::Builder::new().name("bench-crew".into()).spawn(run).context("a thread can't be started")?;
        is_ready.await.map_err(|_| crew.why_it_ended())?;
        Ok(crew)
    }

    /// Told when the instance has ended, and how. To be called before it is started.
    pub fn end_of(&self, id: &str) -> Result<oneshot::Receiver<RuntimeStatus>, Error> {
        let (tell, told) = oneshot::channel();
        match &mut *self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Ok(waiting) => drop(waiting.insert(id.to_owned(), tell)),
            Err(why) => return Err(ended(why)),
        }
        Ok(told)
    }

    pub fn why_it_ended(&self) -> Error {
        match &*self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Ok(_) => ended("nobody knows why"),
            Err(why) => ended(why),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn ended(why: &str) -> Error {
    Error::Other(anyhow!("the worker of the bench has ended: {why}"))
}

// === impl Waiting ===

impl Waiting {
    /// Tells of ends, for as long as the server does.
    async fn tell(&self, mut watch: InstancesWatch, ready: oneshot::Sender<()>) -> Result<(), Error> {
        let mut ready = Some(ready);
        while let Some(event) = watch.next_event().await {
            match event? {
                InstancesEvent::Item(item) if is_terminal(item.status.runtime_status()) => {
                    let status = item.status.runtime_status();
                    self.told(&item.status.instance_id, status);
                }
                InstancesEvent::Synced => drop(ready.take().map(|ready| ready.send(()))),
                // Whatever was missed follows anew.
                InstancesEvent::Item(_) | InstancesEvent::BeginsAgain | InstancesEvent::Interrupted(_) => {}
            }
        }
        Ok(())
    }

    fn told(&self, id: &str, status: RuntimeStatus) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let teller = waiting.as_mut().ok().and_then(|waiting| waiting.remove(id));
        drop(waiting);
        if let Some(teller) = teller {
            // The round may be over.
            let _ = teller.send(status);
        }
    }

    /// Drops all who would tell, which is how those who wait learn of it.
    fn end(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Err(why);
    }
}
