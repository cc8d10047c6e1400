//! Reads: take the state, wait until it is committed, answer.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{Refusal, Shared, dispatch::Standing, partition::Snapshot, watch::Follow};
use crate::{
    core::{
        ids::{Arrival, ExecutionId, InstanceKey, PayloadRow, Revision},
        instance::Instance,
        queue::QueuedStart,
        rejection::Rejection,
        status::{Status, Transition, View},
        time::Now,
    },
    mutant::Mutant,
    store::{ReadError, Store, Table},
};

const SHUTTING_DOWN: Refusal = Refusal::Unavailable("the server is shutting down");

/// Tries to read what belongs to the state that was taken, while new executions replace each other.
const TRIES: usize = 16;

/// The texts that a status refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    pub input: Option<String>,
    pub output: Option<String>,
    pub custom_status: Option<String>,
}

/// An execution as it was seen.
pub(super) struct Sighting {
    pub arrival: Arrival,
    /// The revision with which the life of the id began.
    pub born: Revision,
    /// The number of the instance's newest transition.
    pub newest: u64,
    /// With its own number, where it is a former one.
    pub transition: Transition,
    /// Others have followed it.
    pub is_former: bool,
    /// The starts that wait in the instance's queue.
    pub queue: Vec<QueuedStart>,
}

impl Shared {
    /// Looks at an instance and waits until what was seen is durable.
    pub(super) async fn look<T>(
        &self,
        key: &InstanceKey,
        look: impl FnOnce(&Instance, Now) -> T,
    ) -> Result<T, Refusal> {
        let found = self.look_or_absent(key, look).await?;
        found.map_err(|_| Rejection::NotFound { id: key.id().into() }.into())
    }

    /// The same; where there is no instance, the revision of the partition at which there was none.
    pub(super) async fn look_or_absent<T>(
        &self,
        key: &InstanceKey,
        look: impl FnOnce(&Instance, Now) -> T,
    ) -> Result<Result<T, Revision>, Refusal> {
        let partition = self.partition(key);
        let Snapshot { found, speaks_of } = partition.look(key, |instance| look(instance, self.clock.now()));
        if !Mutant::ReadUncommitted.is_on() {
            self.until_durable(partition, speaks_of).await.map_err(Refusal::from_read)?;
        }
        Ok(found.ok_or(speaks_of))
    }

    /// The latest execution, or the one that is asked for: it may wait in the queue, be over, or go on as another one.
    pub(super) async fn look_at(&self, key: &InstanceKey, execution: Option<ExecutionId>) -> Result<Sighting, Refusal> {
        let mut wanted = execution;
        for _ in 0..TRIES {
            let look = |instance: &Instance, now| {
                let view = wanted.map_or(Some(instance.view(key, now)), |id| instance.view_of(id, key, now));
                let queue = instance.queue.iter().cloned().collect();
                let held = instance.lease.as_ref().map(|lease| (lease.execution, now.shown(lease.expires_at)));
                (instance.arrival, instance.born, instance.sequence, view, queue, held)
            };
            let (arrival, born, newest, view, queue, held) = self.look(key, look).await?;
            let (transition, is_former) = match (view, wanted) {
                (Some(view), _) => (Transition { sequence: newest, view }, false),
                (None, Some(execution)) => {
                    let mut former = self.former(key, arrival, execution).await?;
                    // Its lease may have outlasted it, but hardly until now.
                    let view = &mut former.view;
                    let expires_at = held.filter(|(of, _)| *of == view.execution.id).map(|(_, at)| at);
                    view.worker = view.worker.take().filter(|_| expires_at.is_some());
                    view.lease_expires_at = expires_at;
                    (former, true)
                }
                (None, None) => unreachable!("the latest execution is always there"),
            };
            let found = &transition.view.execution;
            if !is_former || !found.status.is_live() {
                return Ok(Sighting { arrival, born, newest, transition, is_former, queue });
            }
            // It was continued as new, and goes on.
            wanted = Some(found.id);
        }
        Err(Refusal::Unavailable("the instance changes faster than it can be read"))
    }

    /// How an execution that is no longer the latest was last seen, itself or as what it was continued as new.
    async fn former(&self, key: &InstanceKey, arrival: Arrival, execution: ExecutionId) -> Result<Transition, Refusal> {
        let kept = self.kept_transitions(key, arrival).await?;
        let mut follow = Follow::new(execution);
        let last = kept.into_iter().filter(|transition| follow.shows(&transition.view)).last();
        last.ok_or_else(|| Rejection::ExecutionNotFound { id: key.id().into(), execution }.into())
    }

    /// The same, with the payloads that it refers to; of a former execution at most the output is still there.
    pub(super) async fn look_with_payloads(
        &self,
        key: &InstanceKey,
        execution: Option<ExecutionId>,
    ) -> Result<(Sighting, Payloads), Refusal> {
        for _ in 0..TRIES {
            let sighting = self.look_at(key, execution).await?;
            let (arrival, execution) = (sighting.arrival, &sighting.transition.view.execution);
            let wanted = match sighting.is_former {
                true => [None, execution.output, None],
                false => [execution.input, execution.output, execution.custom_status],
            };
            let read = self.read(move |store| {
                wanted.map(|row| row.map(|row| read_payload(store, arrival, row)).transpose()).into_iter().collect()
            });
            let found: Vec<Option<Option<String>>> = read.await?;
            // A row that is gone was deleted by a newer execution: look again.
            if let [input, output, custom_status] = found.as_slice()
                && (sighting.is_former || found.iter().all(|payload| *payload != Some(None)))
            {
                let text = |payload: &Option<Option<String>>| payload.clone().flatten();
                let payloads =
                    Payloads { input: text(input), output: text(output), custom_status: text(custom_status) };
                return Ok((sighting, payloads));
            }
        }
        Err(Refusal::Unavailable("the instance changes faster than its payloads can be read"))
    }

    /// Why no worker runs this live execution now; empty if one does.
    pub(super) fn pending_reason(&self, view: &View) -> String {
        let execution = &view.execution;
        let function = &execution.spec.function;
        if !execution.status.is_live() {
            return String::new();
        }
        if view.queue_position > 0 {
            return format!("waiting in the queue, at place {}, for the live execution to end", view.queue_position);
        }
        if let Some(worker) = &view.worker {
            return match execution.status {
                Status::Pending => {
                    format!(
                        "waiting for the lease of worker '{worker}' on the former execution to be released or to expire"
                    )
                }
                // The worker is that of a former execution.
                Status::Suspended if execution.resumes_as == Some(Status::Pending) => "suspended".into(),
                _ => String::new(),
            };
        }
        if execution.status == Status::Suspended {
            return "suspended".into();
        }
        if let Some(at) = execution.spec.start_at.filter(|_| execution.due.value().scheduled.is_some()) {
            return format!("scheduled for {}", humantime::format_rfc3339_millis(at.into()));
        }
        if execution.due.value().retry_at.is_some() {
            let last = execution.failure.as_deref().map(|f| format!("{}: {}", f.error_type, f.message));
            let last = last.unwrap_or_else(|| "its worker declined it".into());
            return format!("waiting for the backoff after attempt {} ({last})", execution.attempt);
        }
        match self.dispatch.standing(&view.key, function) {
            // A worker of the other kind takes it.
            Standing::Unserved if self.work_items.serves(&view.key, &execution.spec) => match execution.status {
                Status::Pending => format!("waiting for a Durable Task worker of function '{function}' that has room"),
                _ => String::new(),
            },
            Standing::Unserved => format!("no worker has registered function '{function}'"),
            Standing::Waiting => format!("waiting for a worker of function '{function}' that has room"),
            Standing::BeingGranted => format!("being handed to a worker of function '{function}'"),
        }
    }

    /// Reads from the store without holding up the runtime. Where there is none, somebody moves the engine by hand: then
    /// this thread reads, and lets others come before and after as they would.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tokio::task::yield_now().await;
            let read = read(&*store);
            tokio::task::yield_now().await;
            return Ok(read?);
        };
        let read = runtime.spawn_blocking(move || read(&*store)).await;
        Ok(read.map_err(|_| SHUTTING_DOWN)??)
    }

    /// The same for what reads much: after those who came before, as many at once as there are `turns`.
    pub(super) async fn read_in_turn<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        read: impl FnOnce(&dyn Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.read(read).await };
        let (store, turns) = (Arc::clone(&self.store), turns.clone());
        // In a task of its own: whoever asked may not ask on for a long time, and must not keep a turn meanwhile.
        let task = runtime.spawn(async move {
            let turn = turns.acquire_owned().await.map_err(|_| SHUTTING_DOWN)?;
            let read = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                read(&*store)
            });
            Ok(read.await.map_err(|_| SHUTTING_DOWN)??)
        });
        AbortOnDropHandle::new(task).await.unwrap_or(Err(SHUTTING_DOWN))
    }
}

/// The text of one payload row; nothing if it was deleted.
pub(super) fn read_payload(store: &dyn Store, arrival: Arrival, row: PayloadRow) -> Result<Option<String>, ReadError> {
    let number = row.number();
    let found = store.read(Table::Payload, arrival, number, 1)?.into_iter().find(|found| found.key.number == number);
    found.map(|row| text(row.key, row.bytes)).transpose()
}

fn text(key: crate::store::RowKey, bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|error| ReadError::Damaged { table: Table::Payload, key, what: error.to_string() })
}
