//! Which worker gets what, and how much of it at a time.

use std::collections::BTreeSet;

use soloist::proto::durable_task::{self as pb, OrchestrationStatus, work_item::Request};

use super::hand::{Worker, completed, schedule};
use crate::{
    durable_task::{create, creation, state, terminate},
    support::{RawWorker, Server, start, status},
};

fn orchestration(name: &str, versions: &[&str]) -> pb::OrchestrationFilter {
    pb::OrchestrationFilter { name: name.into(), versions: versions.iter().map(|v| (*v).into()).collect() }
}

fn asking(filters: pb::WorkItemFilters) -> pb::GetWorkItemsRequest {
    pb::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() }
}

/// .NET workers send one that lists nothing, and mean everything.
#[tokio::test]
async fn a_filter_that_lists_nothing_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut worker = Worker::ask(&server, asking(pb::WorkItemFilters::default())).await;
    create(&mut worker.sidecar, "i").await;
    worker.play("i", &["OrchestratorStarted", "ExecutionStarted"], vec![schedule(1, "act")]).await;
    assert_eq!(worker.activity().await.request.name, "act");
}

#[tokio::test]
async fn a_worker_gets_only_what_its_filters_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let ones = pb::WorkItemFilters { orchestrations: vec![orchestration("one", &[])], ..Default::default() };
    let versions = vec![orchestration("two", &["1", "2"]), orchestration("bare", &[""])];
    let twos = pb::WorkItemFilters {
        orchestrations: versions,
        activities: vec![pb::ActivityFilter { name: "act".into(), versions: Vec::new() }],
        ..Default::default()
    };
    let mut first = Worker::ask(&server, asking(ones)).await;
    let mut second = Worker::ask(&server, asking(twos)).await;
    let mut sidecar = first.sidecar.clone();
    let mut begin = async |name: &str, id: &str, version: Option<&str>| {
        let request = pb::CreateInstanceRequest { version: version.map(String::from), ..creation(name, id) };
        sidecar.start_instance(request).await.expect("it is free");
    };
    begin("two", "wrong version", Some("3")).await;
    begin("two", "right version", Some("2")).await;
    begin("bare", "no version", None).await;
    begin("One", "case matters", None).await;
    begin("one", "any version", Some("9")).await;

    let mut got = vec![second.turn().await.request.instance_id, second.turn().await.request.instance_id];
    got.sort();
    assert_eq!(got, ["no version", "right version"]);
    let turn = first.turn().await;
    assert_eq!(turn.request.instance_id, "any version");
    // It lists no activity, so it gets none; the other one does what it schedules.
    first.complete(&turn, vec![schedule(1, "act"), schedule(2, "nobody's")]).await;
    assert_eq!(second.activity().await.request.name, "act");
    for id in ["wrong version", "case matters"] {
        let waits = state(&mut first.sidecar, id).await;
        assert_eq!(waits.orchestration_status(), OrchestrationStatus::Pending, "{id}");
        terminate(&mut first.sidecar, id, None).await;
    }
    assert!(first.hears_nothing(&server).await && second.hears_nothing(&server).await);
}

#[tokio::test]
async fn a_worker_has_no_more_at_a_time_than_it_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let limits = pb::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: 1,
        max_concurrent_activity_work_items: 2,
        ..Default::default()
    };
    let mut worker = Worker::ask(&server, limits).await;
    create(&mut worker.sidecar, "a").await;
    create(&mut worker.sidecar, "b").await;
    let first = worker.turn().await;
    assert!(worker.hears_nothing(&server).await, "one turn at a time");
    worker.complete(&first, vec![schedule(1, "act"), schedule(2, "act"), schedule(3, "act")]).await;
    let (mut activities, mut turns) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        match worker.item().await {
            (Request::ActivityRequest(request), token) => activities.push(super::hand::Activity { request, token }),
            (Request::OrchestratorRequest(request), _) => turns.push(request.instance_id),
            (other, _) => panic!("{other:?}"),
        }
    }
    assert_eq!((activities.len(), turns.as_slice()), (2, ["b".to_owned()].as_slice()));
    assert!(worker.hears_nothing(&server).await, "two activities at a time");
    worker.done(&activities[0], None).await;
    assert_eq!(worker.activity().await.request.task_id, 3);
}

#[tokio::test]
async fn the_work_is_spread_over_the_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut workers = [Worker::join(&server).await, Worker::join(&server).await];
    for n in 0..4 {
        create(&mut workers[0].sidecar.clone(), &format!("i{n}")).await;
    }
    for worker in &mut workers {
        worker.turn().await;
        worker.turn().await;
    }
}

/// Which kind of worker runs an execution is known when the first has it.
#[tokio::test]
async fn native_and_durable_task_workers_live_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (mut client, mut native) = (server.client().await, RawWorker::join(&server, "w", &["f"], 1).await);
    let mut durable = Worker::join(&server).await;
    // The native one has room, and is asked first.
    client.start_singleton(start("f", "native")).await.expect("started");
    let run = native.take().await;
    assert_eq!(run.claim.as_ref().map(|claim| claim.instance_id.as_str()), Some("native"));
    // It has none.
    client.start_singleton(start("f", "durable")).await.expect("started");
    let turn = durable.turn().await;
    assert_eq!(turn.request.instance_id, "durable");
    crate::leases::assert_accepted(&native.complete(&run, "done").await);
    // The turn that the Durable Task worker has keeps the native one away.
    assert!(durable.hears_nothing(&server).await);
    assert_eq!(status(&mut client, "durable").await.worker, "");
    durable.complete(&turn, vec![completed(1, None)]).await;
    assert_eq!(durable.until_ended("durable").await.orchestration_status(), OrchestrationStatus::Completed);
}

#[tokio::test]
async fn a_task_hub_has_workers_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut here = Worker::join(&server).await;
    let mut sidecar = here.sidecar.clone();
    let there = crate::durable_task::in_hub("other", creation("f", "there"));
    sidecar.start_instance(there).await.expect("it is free");
    create(&mut sidecar, "here").await;
    assert_eq!(here.turn().await.request.instance_id, "here");
    assert!(here.hears_nothing(&server).await);
}

/// What either kind of worker may run waits for both, whichever comes first, and once more when all have left.
#[tokio::test]
async fn what_has_waited_for_either_kind_of_worker_goes_to_the_first_that_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let mut client = server.client().await;
    for id in ["a", "b", "c"] {
        client.start_singleton(start("f", id)).await.expect("started");
    }
    let mut done = BTreeSet::new();
    for _ in 0..2 {
        let mut worker = Worker::join(&server).await;
        let turn = worker.turn().await;
        worker.complete(&turn, vec![completed(1, None)]).await;
        done.insert(turn.request.instance_id);
        worker.turn().await;
    }
    // Those who had its turn have gone: a native worker may have it as well.
    let mut native = RawWorker::join(&server, "w", &["f"], 1).await;
    done.insert(native.take().await.claim.expect("whose run it is").instance_id);
    assert_eq!(done.into_iter().collect::<String>(), "abc");
}
