//! StartInstance: what it takes, what it refuses, and what is kept of it.

use prost_types::Timestamp;
use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus},
    v1::{self, RuntimeStatus},
};
use tonic::Code;

use super::{create, creation, found, in_hub, sidecar, state, tags};
use crate::support::{RawWorker, Server, start, status};

#[tokio::test]
async fn what_a_start_says_is_what_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    sidecar.hello(()).await.expect("it is there");
    let request = pb::CreateInstanceRequest {
        version: Some("1.2".into()),
        input: Some("\"in\"".into()),
        tags: tags(&[("team", "blue")]),
        ..creation("Greet", "i")
    };
    let created = sidecar.start_instance(request).await.expect("it is free").into_inner();
    assert_eq!(created.instance_id, "i");
    let seen = state(&mut sidecar, "i").await;
    assert_eq!((seen.instance_id.as_str(), seen.name.as_str(), seen.version.as_deref()), ("i", "Greet", Some("1.2")));
    assert_eq!((seen.orchestration_status(), seen.input.as_deref()), (OrchestrationStatus::Pending, Some("\"in\"")));
    assert_eq!((&seen.output, &seen.custom_status, &seen.failure_details), (&None, &None, &None));
    assert_eq!(seen.tags, tags(&[("team", "blue")]));
    assert!(seen.created_timestamp.is_some() && seen.last_updated_timestamp.is_some());
    assert!(seen.completed_timestamp.is_none() && seen.scheduled_start_timestamp.is_none());
    let execution = seen.execution_id.expect("an execution id");
    assert!(execution.len() == 32 && execution.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    // The other API sees the same.
    let native = status(&mut server.client().await, "i").await;
    assert_eq!((native.execution_id, native.function_name), (execution, "Greet".into()));
}

/// No native worker gets it, whatever functions it serves.
#[tokio::test]
async fn what_was_started_here_is_not_for_native_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    create(&mut sidecar, "ours").await;
    let mut request = start("f", "theirs too");
    request.set_worker_kind(v1::WorkerKind::DurableTask);
    client.start_singleton(request).await.expect("it is free");
    client.start_singleton(start("f", "native")).await.expect("it is free");
    assert_eq!(worker.take().await.claim.expect("a claim").instance_id, "native");
    for id in ["ours", "theirs too"] {
        assert_eq!(status(&mut client, id).await.runtime_status(), RuntimeStatus::Pending, "{id}");
    }
}

#[tokio::test]
async fn an_input_that_is_empty_is_not_one_that_is_absent() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for (id, input) in [("absent", None), ("empty", Some(String::new())), ("null", Some("null".into()))] {
        let request = pb::CreateInstanceRequest { input: input.clone(), ..creation("f", id) };
        sidecar.start_instance(request).await.expect("it is free");
        assert_eq!(state(&mut sidecar, id).await.input, input, "{id}");
    }
}

#[tokio::test]
async fn whoever_names_no_id_is_given_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let id = sidecar.start_instance(creation("f", "")).await.expect("a free id").into_inner().instance_id;
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert!(found(&mut sidecar, &id).await.is_some());
}

#[tokio::test]
async fn what_can_not_be_is_an_invalid_argument() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let (longest, too_long) = ("é".repeat(100), "x".repeat(101));
    create(&mut sidecar, &longest).await;
    let too_many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let too_many: Vec<(&str, &str)> = too_many.iter().map(|key| (key.as_str(), "")).collect();
    let of = || creation("f", "i");
    let table = [
        (pb::CreateInstanceRequest { name: String::new(), ..of() }, "name: "),
        (creation("f", &too_long), "length of at most 100 characters"),
        (creation("f", "@counter@1"), "not starting with @"),
        (creation("f", "a/b"), "without control characters and / \\ # ?"),
        (
            pb::CreateInstanceRequest { input: Some("x".repeat((1 << 20) + 1)), ..of() },
            "input: must have at most 1048576",
        ),
        (pb::CreateInstanceRequest { version: Some("v".repeat(65)), ..of() }, "version: must have at most 64 bytes"),
        (pb::CreateInstanceRequest { tags: tags(&too_many), ..of() }, "tags: must be at most 32"),
        (pb::CreateInstanceRequest { execution_id: Some("mine".into()), ..of() }, "executionId: must be 32"),
    ];
    for (request, says) in table {
        let refused = sidecar.start_instance(request).await.expect_err(says);
        assert_eq!(refused.code(), Code::InvalidArgument, "{says}");
        assert!(refused.message().contains(says), "{says}: {}", refused.message());
    }
    assert!(found(&mut sidecar, "i").await.is_none());
}

/// JavaScript always gives a time, the beginning of 1970 if its caller gave none.
#[tokio::test]
async fn only_a_time_that_lies_ahead_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let ahead = at(4_102_444_800);
    for (id, given, kept) in
        [("none", None, None), ("epoch", at(0), None), ("past", at(1_000_000_000), None), ("ahead", ahead, ahead)]
    {
        let request = pb::CreateInstanceRequest { scheduled_start_timestamp: given, ..creation("f", id) };
        sidecar.start_instance(request).await.expect("it is free");
        let seen = state(&mut sidecar, id).await;
        assert_eq!(
            (seen.orchestration_status(), seen.scheduled_start_timestamp),
            (OrchestrationStatus::Pending, kept),
            "{id}"
        );
    }
    assert_eq!(status(&mut client, "ahead").await.pending_reason, "scheduled for 2100-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn the_same_execution_id_asks_for_the_same_execution() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    let execution = "0123456789abcdef0123456789abcdef";
    let request = pb::CreateInstanceRequest { execution_id: Some(execution.into()), ..creation("f", "i") };
    for _ in 0..2 {
        let created = sidecar.start_instance(request.clone()).await.expect("it is the same one").into_inner();
        assert_eq!(created.instance_id, "i");
        assert_eq!(state(&mut sidecar, "i").await.execution_id.as_deref(), Some(execution));
    }
    // Also when it has ended, and when another one has followed.
    super::terminate(&mut sidecar, "i", None).await;
    sidecar.start_instance(request.clone()).await.expect("it is the same one");
    assert_eq!(state(&mut sidecar, "i").await.orchestration_status(), OrchestrationStatus::Terminated);
    create(&mut sidecar, "i").await;
    sidecar.start_instance(request).await.expect("it is the same one");
    assert_ne!(state(&mut sidecar, "i").await.execution_id.as_deref(), Some(execution));
}

#[tokio::test]
async fn task_hubs_are_worlds_of_their_own_and_need_not_be_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    create(&mut sidecar, "i").await;
    sidecar.start_instance(in_hub("other", creation("g", "i"))).await.expect("it is free there");
    sidecar.create_task_hub(in_hub("other", pb::CreateTaskHubRequest { recreate_if_exists: true })).await.expect("OK");
    sidecar.delete_task_hub(in_hub("other", pb::DeleteTaskHubRequest {})).await.expect("OK");
    let there = sidecar.get_instance(in_hub("other", super::asked("i", false))).await.expect("a state").into_inner();
    assert_eq!(there.orchestration_state.expect("nothing was wiped").name, "g");
    assert_eq!(state(&mut sidecar, "i").await.name, "f");
    let refused = sidecar.hello(in_hub("no such hub", ())).await.expect_err("no hub has such a name");
    assert_eq!(refused.code(), Code::InvalidArgument);
}
