//! Watchers that come back: after a revision, over restarts, and from too far behind.

use soloist::{
    client,
    proto::v1::{self, RuntimeStatus, WatchStatusRequest},
};
use tonic::Code;

use super::{LONG, after, comes, next, of, progress, revision, running, told, watch};
use crate::support::{RawWorker, Server, error_info, process::PATIENCE, start, status};

/// Transitions that are kept.
const KEPT: u64 = 64;

#[tokio::test]
async fn who_resumes_by_revision_sees_every_transition_once_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&mut client, &mut worker, "i").await;
    let mut stream = watch(&client, after("i", 0)).await;
    let mut seen = vec![next(&mut stream).await, next(&mut stream).await];
    for (round, kill) in [false, true, true].into_iter().enumerate() {
        let round = round as u32;
        // Seen live, then missed while it is away, then missed before and seen after a restart.
        progress(&mut worker, &run, 100 * round..100 * round + 5).await;
        for _ in 0..3 {
            seen.push(next(&mut stream).await);
        }
        drop(stream);
        progress(&mut worker, &run, 100 * round + 5..100 * round + 15).await;
        if kill {
            server.kill();
        } else {
            server.stop().await;
        }
        server = Server::start_with(folder.path(), &[], &LONG);
        client = server.client().await;
        worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
        stream = watch(&client, after("i", revision(&seen[seen.len() - 1]))).await;
        for _ in 0..12 {
            seen.push(next(&mut stream).await);
        }
    }
    worker.complete(&run, "done").await;
    seen.push(next(&mut stream).await);
    let numbers: Vec<u64> = seen.iter().map(|item| item.sequence).collect();
    assert_eq!(numbers, (1..=48).collect::<Vec<u64>>());
    assert!(seen.iter().all(|item| !item.resync));
    assert!(seen.windows(2).all(|pair| revision(&pair[0]) < revision(&pair[1])));
    assert_eq!(told(&seen[47]), (48, RuntimeStatus::Completed));
}

/// Which positions can be gone on from, of an instance that had `count` transitions.
async fn positions(server: &Server, id: &str, count: u64) -> Vec<v1::WatchStatusResponse> {
    let mut client = server.client().await;
    let mut worker = RawWorker::join(server, "w", &["f"], 1).await;
    let mut stream = watch(&client, WatchStatusRequest { wait_for_start: true, ..of(id) }).await;
    let run = running(&mut client, &mut worker, id).await;
    progress(&mut worker, &run, 2..count as u32).await;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(next(&mut stream).await);
    }
    items
}

#[tokio::test]
async fn what_is_kept_can_be_resumed_from_and_before_it_there_is_a_resync() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    for (id, count) in [("few", 10), ("as many as are kept", KEPT), ("one more", KEPT + 1), ("many", 3 * KEPT + 7)] {
        let items = positions(&server, id, count).await;
        let client = server.client().await;
        // From the beginning: everything, or word that it is not there any more.
        let mut stream = watch(&client, after(id, 0)).await;
        let first = next(&mut stream).await;
        // One row more is kept than can be delivered: it tells up to where a watcher must have come.
        let from_the_beginning = count <= KEPT + 1;
        assert_eq!((first.resync, first.sequence), (!from_the_beginning, if from_the_beginning { 1 } else { count }));
        for item in &items {
            let mut stream = watch(&client, after(id, revision(item))).await;
            if item.sequence == count {
                continue; // Nothing is missed, and nothing comes.
            }
            let first = next(&mut stream).await;
            if count - item.sequence <= KEPT {
                assert_eq!((first.resync, first.sequence), (false, item.sequence + 1), "{id} after {}", item.sequence);
                assert_eq!(first, items[item.sequence as usize], "as it was seen live");
                for sequence in item.sequence + 2..=count {
                    let item = next(&mut stream).await;
                    assert_eq!((item.resync, item.sequence), (false, sequence));
                }
            } else if !from_the_beginning {
                assert_eq!((first.resync, first.sequence), (true, count), "{id} after {}", item.sequence);
            }
        }
    }
}

#[tokio::test]
async fn a_position_that_is_none_is_answered_with_a_resync_and_what_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    // Another instance is in the same partition or not: its revisions are no positions of this one.
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&mut client, &mut worker, "i").await;
    let now = status(&mut client, "i").await;
    let mut streams = Vec::new();
    for ahead in [now.revision + 1, now.revision + 1_000, u64::MAX] {
        let request = WatchStatusRequest { include_payloads: true, ..after("i", ahead) };
        let mut stream = watch(&client, request).await;
        let item = next(&mut stream).await;
        assert!(item.resync, "{ahead} is ahead of {}", now.revision);
        assert_eq!(item.sequence, 2);
        assert_eq!(item.status.as_ref().map(|status| &status.execution_id), Some(&now.execution_id));
        streams.push(stream);
    }
    // A revision in between, or the present one, is one: nothing is missed.
    streams.push(watch(&client, after("i", now.revision)).await);
    progress(&mut worker, &run, 0..1).await;
    for stream in &mut streams {
        let item = next(stream).await;
        assert_eq!((item.sequence, item.resync), (3, false));
    }
}

#[tokio::test]
async fn a_drain_ends_watches_as_unavailable() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let mut stream = watch(&client, of("i")).await;
    next(&mut stream).await;
    server.signal("TERM");
    let ended = comes(&mut stream).await.expect_err("it does not end well");
    assert_eq!((ended.code(), error_info(&ended).reason.as_str()), (Code::Unavailable, "DRAINING"));
    let (status, _) = server.wait().await;
    assert!(status.success(), "{status}");
}

/// What the library's watch sees next.
async fn seen_next(watch: &mut client::Watch) -> Option<client::WatchItem> {
    let item = tokio::time::timeout(PATIENCE, watch.next()).await.expect("something comes");
    item.map(|item| item.expect("no error"))
}

#[tokio::test]
async fn the_library_s_watch_goes_on_over_restarts_without_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let address = server.address.clone();
    let library = client::Client::connect(address.as_str()).await.expect("a connection");
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&mut client, &mut worker, "i").await;
    let request = WatchStatusRequest { until_terminal: true, ..after("i", 0) };
    let mut watch = library.watch(request);
    let mut seen = Vec::new();
    for kill in [false, true] {
        progress(&mut worker, &run, 0..5).await;
        while seen.len() % 5 != 2 || seen.len() < 4 {
            seen.push(seen_next(&mut watch).await.expect("it goes on"));
        }
        if kill {
            server.kill();
        } else {
            server.stop().await;
        }
        server = Server::start_at(&address, folder.path(), &LONG);
        worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
        progress(&mut worker, &run, 5..10).await;
        for _ in 0..5 {
            seen.push(seen_next(&mut watch).await.expect("it goes on"));
        }
    }
    worker.complete(&run, "done").await;
    while let Some(item) = seen_next(&mut watch).await {
        seen.push(item);
    }
    let numbers: Vec<u64> = seen.iter().map(|item| item.sequence).collect();
    assert_eq!(numbers, (1..=23).collect::<Vec<u64>>());
    assert!(seen.iter().all(|item| !item.resync));
    let done = library.wait_for_completion("i").await.expect("it is complete");
    assert_eq!(done.output.as_deref(), Some("done"));
}
