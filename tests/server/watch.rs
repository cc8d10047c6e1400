//! Watchers: every transition once and in order, over whatever comes between, or word that there is a gap.

mod crowd;
mod resume;
mod wishes;

use soloist::proto::v1::{self, RuntimeStatus, work_request::Message as Say};
use tonic::{Status, Streaming};

use crate::support::{Client, RawWorker, process::PATIENCE, start};

type Stream = Streaming<v1::WatchStatusResponse>;

/// A lease that no story outlives.
const LONG: [(&str, &str); 1] = [("SOLOIST_LEASE", "10m")];

async fn watch(client: &Client, request: v1::WatchStatusRequest) -> Stream {
    client.clone().watch_status(request).await.expect("a watch").into_inner()
}

fn of(id: &str) -> v1::WatchStatusRequest {
    v1::WatchStatusRequest { instance_id: id.into(), ..Default::default() }
}

fn after(id: &str, revision: u64) -> v1::WatchStatusRequest {
    v1::WatchStatusRequest { from_revision: Some(revision), ..of(id) }
}

/// The next item that is no heartbeat.
async fn next(stream: &mut Stream) -> v1::WatchStatusResponse {
    loop {
        let item = comes(stream).await.expect("the watch goes on").expect("it does not end");
        if !item.heartbeat {
            return item;
        }
    }
}

/// What comes next, be it an item or the end.
async fn comes(stream: &mut Stream) -> Result<Option<v1::WatchStatusResponse>, Status> {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("something comes")
}

/// What an item tells: its number, and the status.
fn told(item: &v1::WatchStatusResponse) -> (u64, RuntimeStatus) {
    (item.sequence, item.status.as_ref().expect("a status").runtime_status())
}

fn revision(item: &v1::WatchStatusResponse) -> u64 {
    item.status.as_ref().expect("a status").revision
}

/// An instance of `f` that a worker has taken on: two transitions.
async fn running(client: &mut Client, worker: &mut RawWorker, id: &str) -> v1::Run {
    client.start_singleton(start("f", id)).await.expect("it is free");
    worker.take().await
}

/// So many transitions more.
async fn progress(worker: &mut RawWorker, run: &v1::Run, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let custom_status = Some(number.to_string());
        worker.ask(Say::Progress(v1::Progress { claim: run.claim.clone(), custom_status })).await;
    }
}
