//! Lists: every part of a filter, and pages that others write into.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use prost_types::Timestamp;
use soloist::proto::v1::{self, InstanceFilter, RuntimeStatus};

use super::{completed, ids, list, named, terminate};
use crate::support::{Client, RawWorker, Server, start, until};

/// One instance for each status that there is, and what else tells them apart.
async fn cast(client: &mut Client, server: &Server) -> RawWorker {
    let mut worker = RawWorker::join(server, "w", &["f"], 10).await;
    completed(client, &mut worker, "a-completed").await;
    client.start_singleton(start("f", "a-failed")).await.expect("it is free");
    let run = worker.take().await;
    worker.fail(&run, "no", true).await;
    client.start_singleton(start("f", "b-running")).await.expect("it is free");
    worker.take().await;
    client.start_singleton(start("g", "b-pending")).await.expect("it is free");
    let tags = HashMap::from([("team".into(), "blue".into()), ("size".into(), "xl".into())]);
    let tagged = v1::StartSingletonRequest { tags, ..start("g", "c-suspended") };
    client.start_singleton(tagged).await.expect("it is free");
    let suspend = v1::SuspendInstanceRequest { instance_id: "c-suspended".into(), ..Default::default() };
    client.suspend_instance(suspend).await.expect("it is live");
    let tags = HashMap::from([("team".into(), "blue".into())]);
    let tagged = v1::StartSingletonRequest { tags, ..start("g", "c-terminated") };
    client.start_singleton(tagged).await.expect("it is free");
    terminate(client, "c-terminated").await;
    worker
}

#[tokio::test]
async fn every_part_of_a_filter_tells_instances_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let _worker = cast(&mut client, &server).await;
    let all = named(&["a-completed", "a-failed", "b-running", "b-pending", "c-suspended", "c-terminated"]);

    let with_statuses = |statuses: &[RuntimeStatus]| InstanceFilter {
        statuses: statuses.iter().map(|status| (*status).into()).collect(),
        ..Default::default()
    };
    let with_tags = |tags: &[(&str, &str)]| InstanceFilter {
        tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..Default::default()
    };
    let of_function =
        |function_name: &str| InstanceFilter { function_name: function_name.into(), ..Default::default() };
    let with_prefix = |prefix: &str| InstanceFilter { instance_id_prefix: prefix.into(), ..Default::default() };
    let cases: [(InstanceFilter, &[&str]); 16] = [
        (with_statuses(&[RuntimeStatus::Pending]), &["b-pending"]),
        (with_statuses(&[RuntimeStatus::Running]), &["b-running"]),
        (with_statuses(&[RuntimeStatus::Suspended]), &["c-suspended"]),
        (with_statuses(&[RuntimeStatus::Completed]), &["a-completed"]),
        (with_statuses(&[RuntimeStatus::Failed]), &["a-failed"]),
        (with_statuses(&[RuntimeStatus::Terminated]), &["c-terminated"]),
        (with_statuses(&[RuntimeStatus::Failed, RuntimeStatus::Pending]), &["a-failed", "b-pending"]),
        (of_function("f"), &["a-completed", "a-failed", "b-running"]),
        (of_function("h"), &[]),
        (with_prefix("a"), &["a-completed", "a-failed"]),
        (with_prefix("c-term"), &["c-terminated"]),
        (with_prefix("-"), &[]),
        (with_tags(&[("team", "blue")]), &["c-suspended", "c-terminated"]),
        (with_tags(&[("team", "blue"), ("size", "xl")]), &["c-suspended"]),
        (with_tags(&[("team", "red")]), &[]),
        (InstanceFilter { function_name: "g".into(), ..with_prefix("b") }, &["b-pending"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&mut client, filter.clone()).await, named(expected), "{filter:?}");
    }
    assert_eq!(ids(&mut client, InstanceFilter::default()).await, all);

    // In the order in which they were first started, whatever became of them, and split by when that was.
    let in_order = list(&mut client, InstanceFilter::default(), 1).await;
    assert_eq!(
        in_order.iter().map(|status| status.instance_id.as_str()).collect::<Vec<_>>(),
        ["a-completed", "a-failed", "b-running", "b-pending", "c-suspended", "c-terminated"]
    );
    let third = in_order[2].created_at;
    let later = InstanceFilter { created_from: third, ..Default::default() };
    let earlier = InstanceFilter { created_before: third, ..Default::default() };
    assert_eq!(ids(&mut client, later).await, named(&["b-running", "b-pending", "c-suspended", "c-terminated"]));
    assert_eq!(ids(&mut client, earlier).await, named(&["a-completed", "a-failed"]));
    let never = InstanceFilter { created_before: Some(Timestamp::default()), ..Default::default() };
    assert_eq!(ids(&mut client, never).await, named(&[]));
}

/// A list shows what GetStatus shows, but for what it leaves out by its contract.
#[tokio::test]
async fn a_list_tells_of_worker_and_queue_and_leaves_payloads_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    client
        .start_singleton(v1::StartSingletonRequest { input: Some("in".into()), ..start("f", "i") })
        .await
        .expect("free");
    worker.take().await;
    for _ in 0..2 {
        let queued = v1::StartSingletonRequest { conflict_policy: v1::ConflictPolicy::Queue.into(), ..start("f", "i") };
        client.start_singleton(queued).await.expect("there is room");
    }
    client.start_singleton(start("unserved", "waiting")).await.expect("it is free");
    for status in list(&mut client, InstanceFilter::default(), 10).await {
        let request = v1::GetStatusRequest { instance_id: status.instance_id.clone(), ..Default::default() };
        let mut seen = *client.get_status(request).await.expect("it is there").into_inner().status.expect("a status");
        (seen.lease_expires_at, seen.pending_reason) = (None, String::new());
        assert_eq!(status, seen);
        let holder = if status.instance_id == "i" { ("w", 2) } else { ("", 0) };
        assert_eq!((status.worker.as_str(), status.queued_starts), holder);
    }
    assert_eq!(list(&mut client, InstanceFilter::default(), 10).await.len(), 2);
}

#[tokio::test]
async fn other_task_hubs_are_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    client.start_singleton(start("f", "here")).await.expect("it is free");
    let mut elsewhere = tonic::Request::new(start("f", "there"));
    elsewhere.metadata_mut().insert("taskhub", "other".parse().expect("a hub"));
    client.start_singleton(elsewhere).await.expect("it is free");
    assert_eq!(ids(&mut client, InstanceFilter::default()).await, named(&["here"]));
}

/// Half of the instances are there throughout and change; the others come and go. Each of the first half comes exactly
/// once, in whichever state, page by page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_there_throughout_comes_exactly_once() {
    const STEADY: usize = 300;
    const FLEETING: usize = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    for n in 0..STEADY {
        client.start_singleton(start("f", &format!("steady-{n}"))).await.expect("it is free");
        if n % (STEADY / FLEETING) == 0 {
            client.start_singleton(start("f", &format!("fleeting-{n}"))).await.expect("it is free");
        }
    }
    let over = Arc::new(AtomicBool::new(false));
    let writer = |prefix: &'static str, stride: usize, purges: bool| {
        let (mut client, over) = (client.clone(), over.clone());
        tokio::spawn(async move {
            let mut rounds = 0_usize;
            while !over.load(Ordering::Relaxed) {
                for n in (0..STEADY).step_by(stride) {
                    let id = format!("{prefix}-{n}");
                    let replace = v1::ConflictPolicy::Replace.into();
                    let again = v1::StartSingletonRequest { conflict_policy: replace, ..start("f", &id) };
                    client.start_singleton(again).await.expect("it is replaced");
                    if purges {
                        terminate(&mut client, &id).await;
                        let purge = v1::PurgeInstanceRequest { instance_id: id, ..Default::default() };
                        client.purge_instance(purge).await.expect("it has ended");
                    }
                }
                rounds += 1;
            }
            rounds
        })
    };
    let writers = [writer("steady", 1, false), writer("fleeting", STEADY / FLEETING, true)];
    for page_size in [1, 7, 50, 1_000, 13, 3] {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for status in list(&mut client, InstanceFilter::default(), page_size).await {
            *times.entry(status.instance_id).or_default() += 1;
        }
        for n in 0..STEADY {
            assert_eq!(times.get(&format!("steady-{n}")), Some(&1), "steady-{n}, pages of {page_size}");
        }
    }
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
}

/// Whoever was answered is in a list that begins afterwards; whoever was purged is not.
#[tokio::test]
async fn a_list_shows_what_was_answered_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut client, mut other) = (server.client().await, server.client().await);
    for n in 0..50 {
        let id = format!("i{n}");
        client.start_singleton(start("f", &id)).await.expect("it is free");
        assert!(ids(&mut other, InstanceFilter::default()).await.contains(&id));
        terminate(&mut client, &id).await;
        let found = list(&mut other, InstanceFilter::default(), 10).await;
        assert_eq!(found[0].runtime_status(), RuntimeStatus::Terminated);
        let purge = v1::PurgeInstanceRequest { instance_id: id.clone(), ..Default::default() };
        client.purge_instance(purge).await.expect("it has ended");
        assert_eq!(ids(&mut other, InstanceFilter::default()).await, named(&[]));
    }
}

/// Statuses with all that they can hold: a page ends where stock clients would refuse it.
#[tokio::test]
async fn no_page_is_too_large_for_a_stock_client() {
    const FAILED: usize = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await.max_decoding_message_size(4 << 20);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for n in 0..FAILED {
        client.start_singleton(start("f", &format!("i{n}"))).await.expect("it is free");
        let run = worker.take().await;
        let failure = v1::Failure {
            error_type: "E".repeat(256),
            message: "m".repeat(16 << 10),
            details: "d".repeat(64 << 10),
            non_retriable: true,
        };
        let failed = v1::Failed { claim: run.claim.clone(), failure: Some(failure) };
        worker.ask(v1::work_request::Message::Failed(failed)).await;
    }
    until(&mut client, &format!("i{}", FAILED - 1), |status| status.failure.is_some()).await;
    let first = client.list_instances(v1::ListInstancesRequest { page_size: 1_000, ..Default::default() }).await;
    let first = first.expect("a page").into_inner();
    assert!(first.instances.len() > FAILED / 2 && first.instances.len() < FAILED, "{}", first.instances.len());
    assert_eq!(list(&mut client, InstanceFilter::default(), 1_000).await.len(), FAILED);
}
