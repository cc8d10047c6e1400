//! Leases: who holds a run, how it is kept, lost and handed on.

mod deadlines;
mod events;
mod library;
mod loss;
mod offers;
mod reconnect;
mod replace;
mod reports;
mod retries;

use std::time::Duration;

use soloist::proto::v1::{self, CancelReason, RuntimeStatus, work_response::Message as Heard};

use crate::support::{Client, start};

/// A lease that no story outlives: whatever happens at once does not happen because it ran out.
pub(crate) const LONG: [(&str, &str); 1] = [("SOLOIST_LEASE", "10m")];

/// A retry policy without waits.
pub(crate) fn attempts(max_attempts: u32) -> Option<v1::RetryPolicy> {
    Some(v1::RetryPolicy {
        max_attempts,
        initial_backoff: Some(prost_types::Duration::default()),
        ..Default::default()
    })
}

pub(crate) fn wire(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

/// Starts an instance of the function `f`, which is free.
pub(crate) async fn started(client: &mut Client, id: &str) -> v1::StartSingletonResponse {
    client.start_singleton(start("f", id)).await.expect("it is free").into_inner()
}

/// The same, in the place of whatever runs.
async fn replaced(client: &mut Client, id: &str) -> v1::StartSingletonResponse {
    let mut request = start("f", id);
    request.set_conflict_policy(v1::ConflictPolicy::Replace);
    client.start_singleton(request).await.expect("it takes the place").into_inner()
}

pub(crate) async fn terminated(client: &mut Client, id: &str) -> v1::InstanceStatus {
    let request =
        v1::TerminateInstanceRequest { instance_id: id.into(), reason: "enough".into(), ..Default::default() };
    let response = client.terminate_instance(request).await.expect("it runs");
    *response.into_inner().status.expect("a status")
}

pub(crate) async fn raised(client: &mut Client, id: &str, name: &str, input: &str) -> u64 {
    let (instance_id, name, input) = (id.into(), name.into(), Some(input.into()));
    let request = v1::RaiseEventRequest { instance_id, name, input, ..Default::default() };
    client.raise_event(request).await.expect("it runs").into_inner().sequence
}

pub(crate) fn is_running(status: &v1::InstanceStatus) -> bool {
    status.runtime_status() == RuntimeStatus::Running
}

pub(crate) fn has_ended(status: &v1::InstanceStatus) -> bool {
    matches!(status.runtime_status(), RuntimeStatus::Completed | RuntimeStatus::Failed | RuntimeStatus::Terminated)
}

/// The answer to a report that was not of the current lease.
pub(crate) fn assert_stale(answer: &Heard) {
    let Heard::Cancel(cancel) = answer else { panic!("not refused: {answer:?}") };
    assert_eq!(cancel.reason(), CancelReason::StaleFencingToken);
    assert!(cancel.message.contains("STALE_FENCING_TOKEN"), "{}", cancel.message);
}

pub(crate) fn assert_accepted(answer: &Heard) {
    assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");
}

pub(crate) fn assert_cancelled(answer: &Heard, reason: CancelReason) {
    let Heard::Cancel(cancel) = answer else { panic!("not refused: {answer:?}") };
    assert_eq!(cancel.reason(), reason);
}
