//! What one request id may ask for: the same again, and nothing else.

use std::collections::HashMap;

use prost_types::{Duration, Timestamp};
use soloist::proto::v1::{
    self, ConflictPolicy, ReplaceableStatuses, RetryPolicy, RuntimeStatus, SignalOnConflict, StartOutcome, WorkerKind,
};
use tonic::Code;

use super::{request, told};
use crate::support::{Server, error_info, value, violations};

type Change = fn(&mut v1::StartSingletonRequest);

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

/// So many seconds after the epoch.
fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn signal(request: &mut v1::StartSingletonRequest) -> &mut SignalOnConflict {
    request.signal_on_conflict.get_or_insert_default()
}

fn tags(tags: &[(&str, &str)]) -> HashMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn list(statuses: &[RuntimeStatus]) -> Option<ReplaceableStatuses> {
    Some(ReplaceableStatuses { statuses: statuses.iter().map(|status| (*status).into()).collect() })
}

/// A start that says something in every field.
fn full(id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest {
        input: Some("1".into()),
        conflict_policy: ConflictPolicy::UseExisting.into(),
        worker_kind: WorkerKind::Native.into(),
        replaceable_statuses: list(&[RuntimeStatus::Completed]),
        start_deadline: seconds(1000),
        run_timeout: seconds(2000),
        retry: Some(RetryPolicy {
            max_attempts: 3,
            initial_backoff: seconds(1),
            max_backoff: seconds(9),
            multiplier: 3.0,
        }),
        version: "1".into(),
        tags: tags(&[("a", "b"), ("c", "d")]),
        start_at: at(7),
        ..request("f", id, "r")
    }
}

fn retry(request: &mut v1::StartSingletonRequest) -> &mut RetryPolicy {
    request.retry.get_or_insert_default()
}

#[tokio::test]
async fn other_content_under_a_request_id_is_refused() {
    let changes: &[(&str, Change)] = &[
        ("function_name", |r| r.function_name = "g".into()),
        ("input", |r| r.input = Some("2".into())),
        ("no input", |r| r.input = None),
        ("empty input", |r| r.input = Some(String::new())),
        ("conflict_policy", |r| r.set_conflict_policy(ConflictPolicy::Replace)),
        ("no conflict_policy", |r| r.conflict_policy = 0),
        ("worker_kind", |r| r.set_worker_kind(WorkerKind::Any)),
        ("replaceable_statuses", |r| r.replaceable_statuses = list(&[RuntimeStatus::Failed])),
        ("no replaceable_statuses", |r| r.replaceable_statuses = None),
        ("empty replaceable_statuses", |r| r.replaceable_statuses = list(&[])),
        ("start_deadline", |r| r.start_deadline = seconds(1001)),
        ("no start_deadline", |r| r.start_deadline = None),
        ("run_timeout", |r| r.run_timeout = seconds(2001)),
        ("both durations, swapped", |r| std::mem::swap(&mut r.start_deadline, &mut r.run_timeout)),
        ("no retry", |r| r.retry = None),
        ("retry.max_attempts", |r| retry(r).max_attempts = 4),
        ("retry.initial_backoff", |r| retry(r).initial_backoff = seconds(2)),
        ("retry.max_backoff", |r| retry(r).max_backoff = seconds(8)),
        ("retry.multiplier", |r| retry(r).multiplier = 3.5),
        ("version", |r| r.version = "2".into()),
        ("a tag less", |r| r.tags = tags(&[("a", "b")])),
        ("a tag more", |r| r.tags = tags(&[("a", "b"), ("c", "d"), ("e", "f")])),
        ("a tag's key", |r| r.tags = tags(&[("a", "b"), ("cd", "")])),
        ("a tag's value", |r| r.tags = tags(&[("a", "bc"), ("c", "d")])),
        ("a signal", |r| signal(r).name = "e".into()),
        ("start_at", |r| r.start_at = at(8)),
        ("no start_at", |r| r.start_at = None),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let started = told(&mut client, &full("a")).await;
    for (what, change) in changes {
        let mut other = full("a");
        change(&mut other);
        let refused = client.start_singleton(other).await.expect_err(what);
        let info = error_info(&refused);
        assert_eq!((refused.code(), info.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"), "{what}");
        assert_eq!(value(&info, "request_id"), "r");
        assert_eq!(violations(&refused)[0].field, "request_id");
    }
    let again = told(&mut client, &full("a")).await;
    assert_eq!((again.outcome(), again.execution_id), (StartOutcome::Deduplicated, started.execution_id));
}

#[tokio::test]
async fn another_signal_under_a_request_id_is_refused() {
    let signalling = || {
        let signal_on_conflict = Some(SignalOnConflict { name: "e".into(), input: Some(String::new()) });
        v1::StartSingletonRequest { signal_on_conflict, ..full("a") }
    };
    let changes: &[(&str, Change)] = &[
        ("name", |r| signal(r).name = "g".into()),
        ("no input", |r| signal(r).input = None),
        ("no signal", |r| r.signal_on_conflict = None),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, &signalling()).await;
    for (what, change) in changes {
        let mut other = signalling();
        change(&mut other);
        let refused = client.start_singleton(other).await.expect_err(what);
        assert_eq!(error_info(&refused).reason, "REQUEST_ID_REUSED", "{what}");
    }
    assert_eq!(told(&mut client, &signalling()).await.outcome(), StartOutcome::Deduplicated);
}

#[tokio::test]
async fn the_same_said_otherwise_is_the_same() {
    // What is left out says the same as its default.
    let changes: &[(&str, Change)] = &[
        ("FAIL", |r| r.set_conflict_policy(ConflictPolicy::Fail)),
        ("nanoseconds that are no microsecond", |r| r.start_at = Some(Timestamp { seconds: 7, nanos: 999 })),
        ("ANY", |r| r.set_worker_kind(WorkerKind::Any)),
        ("all terminal statuses", |r| {
            r.replaceable_statuses =
                list(&[RuntimeStatus::Terminated, RuntimeStatus::Failed, RuntimeStatus::Completed]);
        }),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let first = || v1::StartSingletonRequest { start_at: at(7), ..request("f", "a", "r") };
    told(&mut client, &first()).await;
    for (what, change) in changes {
        let mut same = first();
        change(&mut same);
        assert_eq!(told(&mut client, &same).await.outcome(), StartOutcome::Deduplicated, "{what}");
    }
}

/// A retry that said how many may wait, where the first had left the default out, was refused as another request.
#[tokio::test]
async fn the_default_room_in_the_queue_said_or_left_out_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, &request("f", "a", "")).await;
    let policy = ConflictPolicy::Queue.into();
    let queue = |max_queue| v1::StartSingletonRequest { conflict_policy: policy, max_queue, ..request("f", "a", "r") };
    assert_eq!(told(&mut client, &queue(0)).await.outcome(), StartOutcome::Queued);
    assert_eq!(told(&mut client, &queue(16)).await.outcome(), StartOutcome::Deduplicated);
    let refused = client.start_singleton(queue(15)).await.expect_err("it asks for something else");
    assert_eq!(error_info(&refused).reason, "REQUEST_ID_REUSED");
}
