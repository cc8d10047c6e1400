//! What the lost server did after the backup: the restored one never mistakes it for its own.

use soloist::proto::v1::{self, InstanceStatus, WatchStatusRequest, WatchStatusResponse};
use tonic::Streaming;

use super::{back_up, serve_restored};
use crate::support::{Client, RawWorker, Server, process::PATIENCE, start, status};

/// A lease that no story outlives.
const LONG: [(&str, &str); 1] = [("SOLOIST_LEASE", "5m")];

fn token(run: &v1::Run) -> u64 {
    run.claim.as_ref().expect("a claim").fencing_token
}

/// Starts it, has it run to its end, and answers the fencing token.
async fn run_once(client: &mut Client, worker: &mut RawWorker, id: &str) -> u64 {
    client.start_singleton(start("f", id)).await.expect("it is free");
    let run = worker.take().await;
    worker.complete(&run, "1").await;
    token(&run)
}

async fn watch(client: &Client, request: WatchStatusRequest) -> Streaming<WatchStatusResponse> {
    client.clone().watch_status(request).await.expect("a watch").into_inner()
}

fn after(id: &str, position: &InstanceStatus) -> WatchStatusRequest {
    WatchStatusRequest { instance_id: id.into(), from_revision: Some(position.revision), ..Default::default() }
}

async fn next(watch: &mut Streaming<WatchStatusResponse>) -> WatchStatusResponse {
    let item = tokio::time::timeout(PATIENCE, watch.message()).await.expect("something comes");
    item.expect("the watch goes on").expect("it does not end")
}

/// A worker of the lost server may still be at it, with a token that is newer than all the backup knows: were it granted
/// again, whatever checks the tokens could not tell the two workers apart.
#[tokio::test]
async fn a_fencing_token_of_the_lost_future_is_never_granted_again() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(&home.path().join("lost"));
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let known = run_once(&mut client, &mut worker, "i").await;
    let backup = back_up(&server).await.expect("a backup");
    let mut newest = known;
    for _ in 0..20 {
        let token = run_once(&mut client, &mut worker, "i").await;
        assert!(token > newest);
        newest = token;
    }
    server.kill();

    // Twice from the same backup: the first restored server is lost too.
    for name in ["restored", "restored again"] {
        let server = serve_restored(&backup, home.path(), name, &LONG);
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
        assert_eq!(status(&mut client, "i").await.fencing_token, known);
        for _ in 0..3 {
            let token = run_once(&mut client, &mut worker, "i").await;
            assert!(token > newest, "{token} was granted before, or is older than {newest}");
            newest = token;
        }
        server.kill();
    }
}

/// A worker that comes back with a run that only the lost server has granted.
#[tokio::test]
async fn a_claim_of_the_lost_future_is_not_held() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(&home.path().join("lost"));
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    client.start_singleton(start("f", "known")).await.expect("it is free");
    let known = worker.take().await;
    client.start_singleton(start("f", "waits")).await.expect("it is free");
    // Handed out after the backup to a worker that has room then.
    let waits = worker.take().await;
    worker.complete(&waits, "1").await;
    let backup = back_up(&server).await.expect("a backup");
    client.start_singleton(start("f", "waits")).await.expect("it is free");
    let lost = worker.take().await;
    server.kill();

    let server = serve_restored(&backup, home.path(), "restored", &LONG);
    let held = [known.claim.clone(), lost.claim.clone()].into_iter().flatten().collect();
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 2, held).await;
    let cancel = worker.cancel().await;
    assert_eq!(cancel.claim, lost.claim);
    // What the backup knows goes on.
    assert_eq!(worker.heartbeat(&known.claim.clone().into_iter().collect::<Vec<_>>()).await, [known.claim.unwrap()]);
}

#[tokio::test]
async fn who_watched_the_lost_future_is_told_to_start_afresh() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(&home.path().join("lost"));
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    run_once(&mut client, &mut worker, "i").await;
    run_once(&mut client, &mut worker, "idle").await;
    let known = status(&mut client, "i").await;
    let idle = status(&mut client, "idle").await;
    let backup = back_up(&server).await.expect("a backup");
    for _ in 0..3 {
        run_once(&mut client, &mut worker, "i").await;
    }
    run_once(&mut client, &mut worker, "new").await;
    let lost = status(&mut client, "i").await;
    let lost_new = status(&mut client, "new").await;
    server.kill();

    let server = serve_restored(&backup, home.path(), "restored", &LONG);
    let mut client = server.client().await;
    // Nothing has happened since: it is where the backup left it.
    let mut early = watch(&client, after("i", &lost)).await;
    let first = next(&mut early).await;
    assert_eq!((first.resync, first.status.expect("a status").revision), (true, known.revision));
    // Nor was it missed by who had come as far as the backup, and no further.
    let mut on_time = watch(&client, after("i", &known)).await;
    let mut on_time_too = watch(&client, after("idle", &idle)).await;
    let mut absent = watch(&client, WatchStatusRequest { wait_for_start: true, ..after("new", &lost_new) }).await;

    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for id in ["i", "idle", "new"] {
        run_once(&mut client, &mut worker, id).await;
    }
    for (watch, sequence) in [(&mut early, first.sequence), (&mut on_time, first.sequence), (&mut on_time_too, 3)] {
        let item = next(watch).await;
        assert_eq!((item.resync, item.sequence), (false, sequence + 1), "{item:?}");
    }
    let item = next(&mut absent).await;
    assert!(item.resync, "another instance with the same id: {item:?}");

    // Now its revisions are beyond those that were lost, which lie in the middle of what is kept.
    for (id, position) in [("i", &lost), ("i", &known), ("new", &lost_new)] {
        let mut late = watch(&client, after(id, position)).await;
        let first = next(&mut late).await;
        assert!(first.resync, "{id} after {}: {first:?}", position.revision);
        assert_eq!(first.status.expect("a status").revision, status(&mut client, id).await.revision);
    }
    // From the beginning: nothing was seen that could be another's.
    let mut all = watch(&client, WatchStatusRequest { from_revision: Some(0), ..after("i", &lost) }).await;
    for sequence in 1..=6 {
        let item = next(&mut all).await;
        assert_eq!((item.resync, item.sequence), (false, sequence));
    }
}
