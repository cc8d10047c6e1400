//! From a start that is scheduled to a purge: what holds an execution back, begins it anew, and deletes it.

mod continued;
mod former;
mod purge;
mod refusals;
mod restart;
mod samples;
mod schedule;
mod suspend;
mod suspended_run;

use soloist::proto::v1::{self, ConflictPolicy, work_request::Message as Say};
use tonic::{Status, Streaming};

use crate::{
    leases::assert_accepted,
    support::{Client, RawWorker, process::PATIENCE, start, status},
};

async fn suspended(client: &mut Client, id: &str) -> v1::InstanceStatus {
    let request = v1::SuspendInstanceRequest { instance_id: id.into(), reason: "hold on".into(), ..Default::default() };
    let response = client.suspend_instance(request).await.expect("it is live");
    *response.into_inner().status.expect("a status")
}

async fn resumed(client: &mut Client, id: &str) -> v1::InstanceStatus {
    let request = v1::ResumeInstanceRequest { instance_id: id.into(), reason: "go on".into(), ..Default::default() };
    let response = client.resume_instance(request).await.expect("it is live");
    *response.into_inner().status.expect("a status")
}

async fn purged(client: &mut Client, id: &str) {
    let request = v1::PurgeInstanceRequest { instance_id: id.into(), ..Default::default() };
    client.purge_instance(request).await.expect("it has ended");
}

async fn restarted(client: &mut Client, id: &str) -> v1::RestartInstanceResponse {
    let request = v1::RestartInstanceRequest { instance_id: id.into(), ..Default::default() };
    client.restart_instance(request).await.expect("it has ended").into_inner()
}

async fn queued(client: &mut Client, id: &str) -> v1::StartSingletonResponse {
    let mut request = start("f", id);
    request.set_conflict_policy(ConflictPolicy::Queue);
    client.start_singleton(request).await.expect("the queue has room").into_inner()
}

/// The status of one execution.
async fn status_of(client: &mut Client, id: &str, execution: &str) -> Result<v1::InstanceStatus, Status> {
    let request =
        v1::GetStatusRequest { instance_id: id.into(), execution_id: execution.into(), include_payloads: true };
    let response = client.get_status(request).await?;
    Ok(*response.into_inner().status.expect("a status"))
}

/// Waits until the id's lease, if any, is over: that is no transition, so nobody tells it.
async fn until_free(client: &mut Client, id: &str) {
    let waiting = async {
        while !status(client, id).await.worker.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the lease ends");
}

/// Starts another instance of `f`, and sees that the worker is given that one: so nothing else was to be had.
async fn is_given_only(client: &mut Client, worker: &mut RawWorker, id: &str) -> v1::Run {
    client.start_singleton(start("f", id)).await.expect("it is free");
    let run = worker.take().await;
    assert_eq!(id_of(&run), id);
    run
}

fn id_of(run: &v1::Run) -> &str {
    run.claim.as_ref().map_or("", |claim| claim.instance_id.as_str())
}

fn token_of(run: &v1::Run) -> u64 {
    run.claim.as_ref().map_or(0, |claim| claim.fencing_token)
}

/// Since the epoch.
fn micros(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}

/// So many milliseconds from now on, or before.
fn from_now(millis: i64) -> Option<prost_types::Timestamp> {
    let now = prost_types::Timestamp::from(std::time::SystemTime::now());
    let nanos = now.seconds * 1_000_000_000 + i64::from(now.nanos) + millis * 1_000_000;
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    Some(prost_types::Timestamp { seconds, nanos: i32::try_from(rest).expect("less than a second") })
}

async fn progress(worker: &mut RawWorker, run: &v1::Run, custom_status: &str) {
    let (claim, custom_status) = (run.claim.clone(), Some(custom_status.into()));
    assert_accepted(&worker.ask(Say::Progress(v1::Progress { claim, custom_status })).await);
}

async fn continue_as_new(worker: &mut RawWorker, run: &v1::Run, input: &str) {
    let (claim, input) = (run.claim.clone(), Some(input.into()));
    assert_accepted(&worker.ask(Say::ContinueAsNew(v1::ContinueAsNew { claim, input })).await);
}

/// The numbers of the next events, which are for this run.
async fn events(worker: &mut RawWorker, run: &v1::Run, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let event = worker.event().await;
        assert_eq!(event.claim, run.claim);
        numbers.push(event.sequence);
    }
    numbers
}

type Watching = Streaming<v1::WatchStatusResponse>;

fn watch_of(id: &str) -> v1::WatchStatusRequest {
    v1::WatchStatusRequest { instance_id: id.into(), ..Default::default() }
}

fn after(id: &str, revision: u64) -> v1::WatchStatusRequest {
    v1::WatchStatusRequest { from_revision: Some(revision), ..watch_of(id) }
}

async fn watch(client: &mut Client, request: v1::WatchStatusRequest) -> Watching {
    client.watch_status(request).await.expect("a watch").into_inner()
}

/// The next item, or nothing at the end.
async fn item(watching: &mut Watching) -> Option<v1::WatchStatusResponse> {
    let item = tokio::time::timeout(PATIENCE, watching.message()).await.expect("something comes");
    item.expect("the watch goes on")
}

async fn seen(watching: &mut Watching) -> v1::InstanceStatus {
    let item = item(watching).await.expect("it does not end");
    assert!(!item.resync && !item.purged, "{item:?}");
    *item.status.expect("a status")
}
