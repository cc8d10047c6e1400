//! What a watcher can ask for.

use soloist::proto::v1::{self, RuntimeStatus, WatchStatusRequest};
use tonic::Code;

use super::{LONG, after, comes, next, of, progress, revision, running, told, watch};
use crate::support::{RawWorker, Server, error_info, start, status};

#[tokio::test]
async fn the_current_status_comes_first_and_then_each_transition() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let mut stream = watch(&client, of("i")).await;
    let current = next(&mut stream).await;
    assert_eq!((told(&current), current.resync), ((1, RuntimeStatus::Pending), false));
    let pending = current.status.expect("a status");
    assert_eq!(pending.pending_reason, "no worker has registered function 'f'");

    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    progress(&mut worker, &run, 0..2).await;
    worker.complete(&run, "out").await;
    let mut last = pending;
    for (sequence, expected) in [
        (2, RuntimeStatus::Running),
        (3, RuntimeStatus::Running),
        (4, RuntimeStatus::Running),
        (5, RuntimeStatus::Completed),
    ] {
        let item = next(&mut stream).await;
        assert_eq!((told(&item), item.resync), ((sequence, expected), false));
        let status = item.status.expect("a status");
        assert!(status.revision > last.revision);
        let times = [&status, &last].map(|status| status.last_updated_at.expect("a time"));
        assert!((times[0].seconds, times[0].nanos) > (times[1].seconds, times[1].nanos), "time goes on");
        assert_eq!((&status.pending_reason, &status.input, &status.output), (&String::new(), &None, &None));
        last = status;
    }
    // The stream goes on after an end, with the next execution.
    client.start_singleton(start("f", "i")).await.expect("it is free again");
    assert_eq!(told(&next(&mut stream).await), (6, RuntimeStatus::Pending));
    assert_eq!(told(&next(&mut stream).await), (7, RuntimeStatus::Running));
}

#[tokio::test]
async fn a_watch_until_the_end_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&mut client, &mut worker, "i").await;
    let until = |request: WatchStatusRequest| WatchStatusRequest { until_terminal: true, ..request };
    let mut stream = watch(&client, until(of("i"))).await;
    assert_eq!(told(&next(&mut stream).await), (2, RuntimeStatus::Running));
    worker.complete(&run, "out").await;
    let last = next(&mut stream).await;
    assert_eq!(told(&last), (3, RuntimeStatus::Completed));
    assert!(comes(&mut stream).await.expect("it ends well").is_none());

    // It has ended already: its end is seen, or was seen before.
    let mut stream = watch(&client, until(of("i"))).await;
    assert_eq!(told(&next(&mut stream).await), (3, RuntimeStatus::Completed));
    assert!(comes(&mut stream).await.expect("it ends well").is_none());
    let mut stream = watch(&client, until(after("i", 0))).await;
    for sequence in 1..=3 {
        assert_eq!(next(&mut stream).await.sequence, sequence);
    }
    assert!(comes(&mut stream).await.expect("it ends well").is_none());
    let mut stream = watch(&client, until(after("i", revision(&last)))).await;
    assert!(comes(&mut stream).await.expect("it ends well").is_none());

    // The end that is meant is the first one that comes, also if another execution follows at once.
    running(&mut client, &mut worker, "j").await;
    let mut stream = watch(&client, until(of("j"))).await;
    next(&mut stream).await;
    let mut request = start("f", "j");
    request.set_conflict_policy(v1::ConflictPolicy::Replace);
    client.start_singleton(request).await.expect("it takes the place");
    assert_eq!(told(&next(&mut stream).await), (3, RuntimeStatus::Terminated));
    assert!(comes(&mut stream).await.expect("it ends well").is_none());
}

#[tokio::test]
async fn an_instance_that_was_never_started_is_waited_for_only_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    for request in [of("i"), after("i", 0), after("i", 7)] {
        let refused = client.watch_status(request).await.expect_err("there is none");
        assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
    }
    let mut streams = Vec::new();
    for request in [of("i"), after("i", 0)] {
        streams.push(watch(&client, WatchStatusRequest { wait_for_start: true, ..request }).await);
    }
    client.start_singleton(start("f", "i")).await.expect("it is free");
    for stream in &mut streams {
        let item = next(stream).await;
        assert_eq!((told(&item), item.resync), ((1, RuntimeStatus::Pending), false));
    }
}

#[tokio::test]
async fn payloads_come_with_the_current_status_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    client
        .start_singleton(v1::StartSingletonRequest { input: Some("in".into()), ..start("f", "i") })
        .await
        .expect("free");
    let run = worker.take().await;
    progress(&mut worker, &run, 7..8).await;
    let mut stream = watch(&client, WatchStatusRequest { include_payloads: true, ..of("i") }).await;
    let payloads = |item: v1::WatchStatusResponse| {
        let status = item.status.expect("a status");
        (status.input, status.custom_status, status.output)
    };
    assert_eq!(payloads(next(&mut stream).await), (Some("in".into()), Some("7".into()), None));
    worker.complete(&run, "out").await;
    assert_eq!(payloads(next(&mut stream).await), (None, None, None));
    let mut stream = watch(&client, WatchStatusRequest { include_payloads: true, ..of("i") }).await;
    assert_eq!(payloads(next(&mut stream).await), (Some("in".into()), Some("7".into()), Some("out".into())));
    let mut stream = watch(&client, of("i")).await;
    assert_eq!(payloads(next(&mut stream).await), (None, None, None), "they were not asked for");
    assert_eq!(status(&mut client, "i").await.output.as_deref(), Some("out"));
}

#[tokio::test]
async fn hubs_are_watched_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut elsewhere = tonic::Request::new(WatchStatusRequest { wait_for_start: true, ..of("i") });
    elsewhere.metadata_mut().insert("taskhub", "elsewhere".parse().expect("a value"));
    let mut stream = client.watch_status(elsewhere).await.expect("a watch").into_inner();
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let mut request = tonic::Request::new(start("g", "i"));
    request.metadata_mut().insert("taskhub", "elsewhere".parse().expect("a value"));
    client.start_singleton(request).await.expect("it is free there too");
    assert_eq!(next(&mut stream).await.status.expect("a status").function_name, "g");
}

/// As often as the server is told to; the default would take a minute.
#[tokio::test]
async fn an_idle_watch_says_that_it_is_alive() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watch-heartbeat", "1s"], &LONG);
    let mut client = server.client().await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let begun = std::time::Instant::now();
    let mut stream = watch(&client, of("i")).await;
    assert_eq!(told(&next(&mut stream).await), (1, RuntimeStatus::Pending));
    for _ in 0..2 {
        let item = comes(&mut stream).await.expect("the watch goes on").expect("it does not end");
        let only_heartbeat = v1::WatchStatusResponse { heartbeat: true, ..Default::default() };
        assert_eq!(item, only_heartbeat);
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
