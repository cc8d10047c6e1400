//! Task hubs: the same id in two of them is two instances, and no word of one is meant for the other.

use soloist::proto::v1::{self, RuntimeStatus, StartOutcome};
use tonic::{Code, Request, metadata::MetadataValue};

use super::{request, told};
use crate::support::{Client, RawWorker, Server, error_info, start, status, violations};

fn within<T>(hub: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("taskhub", MetadataValue::try_from(hub).expect("fit for a header"));
    request
}

async fn status_within(client: &mut Client, hub: &str, id: &str) -> v1::InstanceStatus {
    let request = v1::GetStatusRequest { instance_id: id.into(), ..Default::default() };
    let response = client.get_status(within(hub, request)).await.expect("the instance is there");
    *response.into_inner().status.expect("a status")
}

#[tokio::test]
async fn the_same_id_in_two_hubs_is_two_instances() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let here = told(&mut client, &start("f", "a")).await;
    let there = client.start_singleton(within("other", start("f", "a"))).await.expect("another one").into_inner();
    assert_eq!(there.outcome(), StartOutcome::Started);
    assert_ne!(here.execution_id, there.execution_id);

    let end = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    client.terminate_instance(within("other", end)).await.expect("terminated");
    assert_eq!(status(&mut client, "a").await.runtime_status(), RuntimeStatus::Pending);
    assert_eq!(status_within(&mut client, "other", "a").await.runtime_status(), RuntimeStatus::Terminated);

    // `default` is what a call without the metadata means, and names are taken as they are.
    assert_eq!(status_within(&mut client, "default", "a").await.execution_id, here.execution_id);
    let missing = v1::GetStatusRequest { instance_id: "a".into(), ..Default::default() };
    let missing = client.get_status(within("Other", missing)).await.expect_err("a hub of its own");
    assert_eq!(missing.code(), Code::NotFound);

    // A worker of one hub is given nothing of the other.
    client.start_singleton(within("other", start("f", "b"))).await.expect("started");
    let mut worker = RawWorker::join(&server, "w", &["f"], 2).await;
    let run = worker.take().await;
    assert_eq!(run.execution_id, here.execution_id);
    worker.complete(&run, "1").await;
    let waiting = status_within(&mut client, "other", "b").await;
    assert_eq!(waiting.pending_reason, "no worker has registered function 'f'");
}

#[tokio::test]
async fn a_request_id_is_that_of_one_instance_in_one_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let here = told(&mut client, &request("f", "a", "r")).await;
    let elsewhere = told(&mut client, &request("f", "b", "r")).await;
    let there = client.start_singleton(within("other", request("g", "a", "r"))).await.expect("another").into_inner();
    for answer in [&here, &elsewhere, &there] {
        assert_eq!(answer.outcome(), StartOutcome::Started);
    }
    assert_eq!(told(&mut client, &request("f", "a", "r")).await.execution_id, here.execution_id);
    assert_eq!(told(&mut client, &request("f", "b", "r")).await.execution_id, elsewhere.execution_id);
}

#[tokio::test]
async fn a_hub_that_is_no_name_is_refused_on_every_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let longest = "h".repeat(64);
    for hub in ["a", "A-Z_0.9", longest.as_str()] {
        client.start_singleton(within(hub, start("f", "a"))).await.expect("a name");
    }
    let too_long = "h".repeat(65);
    for hub in ["", " ", "a b", "a/b", "a:b", too_long.as_str()] {
        let id = || "a".to_string();
        let get = v1::GetStatusRequest { instance_id: id(), ..Default::default() };
        let watch = v1::WatchStatusRequest { instance_id: id(), ..Default::default() };
        let raise = v1::RaiseEventRequest { instance_id: id(), name: "e".into(), ..Default::default() };
        let end = v1::TerminateInstanceRequest { instance_id: id(), ..Default::default() };
        let work = tokio_stream::empty::<v1::WorkRequest>();
        let refused = [
            client.start_singleton(within(hub, start("f", "a"))).await.map(drop),
            client.get_status(within(hub, get)).await.map(drop),
            client.watch_status(within(hub, watch)).await.map(drop),
            client.raise_event(within(hub, raise)).await.map(drop),
            client.terminate_instance(within(hub, end)).await.map(drop),
            server.workers().await.work(within(hub, work)).await.map(drop),
        ];
        for (call, refused) in refused.into_iter().enumerate() {
            let refused = refused.expect_err(hub);
            assert_eq!(refused.code(), Code::InvalidArgument, "call {call}, hub '{hub}'");
            assert_eq!(error_info(&refused).reason, "INVALID_FIELD");
            assert_eq!(violations(&refused)[0].field, "metadata taskhub", "{refused:?}");
            assert!(violations(&refused)[0].description.contains("1 to 64"), "{refused:?}");
        }
    }
}
