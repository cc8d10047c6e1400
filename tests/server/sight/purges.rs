//! Purges of many: by filter, while starts go on, and of what has outlived the retention.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use soloist::proto::v1::{self, InstanceFilter, RuntimeStatus, watch_instances_request::Selector};

use super::{completed, ids, named, terminate};
use crate::support::{Client, RawWorker, Server, process::PATIENCE, start};

/// Calls until nothing is left; answers how many were purged.
async fn purge(client: &mut Client, request: v1::PurgeInstancesRequest) -> u32 {
    let (mut purged, mut page_token) = (0, String::new());
    loop {
        let request = v1::PurgeInstancesRequest { page_token, ..request.clone() };
        let step = client.purge_instances(request).await.expect("it purges").into_inner();
        purged += step.purged;
        page_token = step.next_page_token;
        if page_token.is_empty() {
            return purged;
        }
    }
}

#[tokio::test]
async fn what_is_meant_and_has_ended_is_purged() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    completed(&mut client, &mut worker, "a-one").await;
    let two = completed(&mut client, &mut worker, "a-two").await;
    completed(&mut client, &mut worker, "b-three").await;
    client.start_singleton(start("g", "a-live")).await.expect("it is free");
    client.start_singleton(start("g", "a-terminated")).await.expect("it is free");
    terminate(&mut client, "a-terminated").await;

    let with_prefix = |prefix: &str| Some(InstanceFilter { instance_id_prefix: prefix.into(), ..Default::default() });
    let early = v1::PurgeInstancesRequest { completed_before: two.completed_at, ..Default::default() };
    assert_eq!(purge(&mut client, early).await, 1, "a-one has ended before a-two");
    let statuses = vec![RuntimeStatus::Terminated.into()];
    let filter = Some(InstanceFilter { statuses, ..Default::default() });
    assert_eq!(purge(&mut client, v1::PurgeInstancesRequest { filter, ..Default::default() }).await, 1);
    let of_a = v1::PurgeInstancesRequest { filter: with_prefix("a"), page_size: 1, ..Default::default() };
    assert_eq!(purge(&mut client, of_a.clone()).await, 1, "a-two");
    assert_eq!(purge(&mut client, of_a).await, 0, "what is live stays");
    assert_eq!(ids(&mut client, InstanceFilter::default()).await, named(&["a-live", "b-three"]));
    let gone = v1::GetStatusRequest { instance_id: "a-two".into(), ..Default::default() };
    assert_eq!(client.get_status(gone).await.expect_err("it is gone").code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_of_many_let_starts_through() {
    purge_while_others_start(4_000).await;
}

/// `cargo test --release --test server a_hundred_thousand_purges -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes without --release"]
async fn a_hundred_thousand_purges_let_starts_through() {
    purge_while_others_start(100_000).await;
}

/// None of the starts fails or waits long, and none of what they begin is touched.
async fn purge_while_others_start(ended: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let begin = |n: usize| {
        let mut client = client.clone();
        async move {
            let id = format!("old-{n}");
            client.start_singleton(start("f", &id)).await.expect("it is free");
            terminate(&mut client, &id).await;
        }
    };
    stream::iter((0..ended).map(begin)).buffer_unordered(256).for_each(|()| async {}).await;

    let over = Arc::new(AtomicBool::new(false));
    let (mut starter, is_over) = (server.client().await, over.clone());
    let starting = tokio::spawn(async move {
        let (mut started, mut longest) = (BTreeSet::new(), Duration::ZERO);
        while !is_over.load(Ordering::Relaxed) {
            let (id, begun) = (format!("new-{}", started.len()), Instant::now());
            starter.start_singleton(start("f", &id)).await.expect("it is free");
            longest = longest.max(begun.elapsed());
            started.insert(id);
        }
        (started, longest)
    });
    let begun = Instant::now();
    assert_eq!(purge(&mut client, v1::PurgeInstancesRequest::default()).await as usize, ended);
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let (started, longest) = starting.await.expect("the starter does not panic");
    println!("{ended} purged in {took:?}; meanwhile {} starts, the longest took {longest:?}", started.len());
    assert!(!started.is_empty() && longest < Duration::from_secs(5), "{} starts, {longest:?}", started.len());
    assert_eq!(ids(&mut client, InstanceFilter::default()).await, started);
}

#[tokio::test]
async fn what_has_outlived_the_retention_goes_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--retention", "2s", "--lease", "5m"], &[]);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    let watched = v1::WatchInstancesRequest { selector: Some(Selector::InstanceIdPrefix(String::new())) };
    let mut watch = client.watch_instances(watched).await.expect("a watch").into_inner();
    client.start_singleton(start("g", "live")).await.expect("it is free");
    completed(&mut client, &mut worker, "ended").await;
    let purged = loop {
        let item = tokio::time::timeout(PATIENCE, watch.message()).await.expect("it is purged");
        let item = item.expect("the watch goes on").expect("the watch does not end");
        if item.purged {
            break item.status.expect("its last status");
        }
    };
    assert_eq!((purged.instance_id.as_str(), purged.runtime_status()), ("ended", RuntimeStatus::Completed));
    assert_eq!(ids(&mut client, InstanceFilter::default()).await, named(&["live"]));
    let (status, said) = server.stop().await;
    assert!(status.success(), "{said}");
}
