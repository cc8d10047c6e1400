//! What a refusal says: all of it at once, and never more than gRPC stacks carry.

use std::collections::HashMap;

use soloist::proto::v1::{
    self, ConflictPolicy, ReplaceableStatuses, RetryPolicy, SignalOnConflict, work_request::Message as Say,
};
use tonic::{Code, Status};

use crate::support::{RawWorker, Server, error_info, start, violations};

/// Bytes of the encoded details.
const DETAILS_BYTES_MAX: usize = 4 << 10;
/// Bytes of all metadata that gRPC stacks take.
const METADATA_BYTES_MAX: usize = 8 << 10;

/// Asserts that every stack can carry the error to its caller: in base64 the details, percent-encoded the message.
fn assert_small(what: &str, status: &Status) {
    let details = status.details().len();
    assert!(details <= DETAILS_BYTES_MAX, "{what}: {details} bytes of details");
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
    let message: usize = status.message().bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum();
    let metadata = message + details.div_ceil(3) * 4;
    assert!(metadata < METADATA_BYTES_MAX - 256, "{what}: {metadata} bytes of metadata");
}

/// The bytes of what a violation quotes; nothing if it quotes nothing.
fn quoted(description: &str) -> usize {
    let Some((_, quote)) = description.split_once("got '") else { return 0 };
    quote.rsplit_once('\'').map_or(0, |(quote, _)| quote.len())
}

/// A start in which everything is wrong, with texts made of `c`.
fn all_wrong(c: char) -> v1::StartSingletonRequest {
    let text = |count: usize| c.to_string().repeat(count);
    let duration = || Some(prost_types::Duration { seconds: i64::MIN, nanos: i32::MIN });
    let tags: HashMap<String, String> = (0..40).map(|n| (format!("{}{n}", text(100)), text(300))).collect();
    v1::StartSingletonRequest {
        instance_id: text(300),
        function_name: text(300),
        input: Some("x".repeat((1 << 20) + 1)),
        request_id: text(200),
        conflict_policy: i32::MIN,
        worker_kind: i32::MIN,
        replaceable_statuses: Some(ReplaceableStatuses { statuses: vec![i32::MIN; 40] }),
        start_deadline: duration(),
        run_timeout: duration(),
        retry: Some(RetryPolicy {
            max_attempts: u32::MAX,
            initial_backoff: duration(),
            max_backoff: duration(),
            multiplier: f64::MIN,
        }),
        version: text(100),
        tags,
        max_queue: u32::MAX,
        signal_on_conflict: Some(SignalOnConflict { name: text(300), input: None }),
        start_at: Some(prost_types::Timestamp { seconds: i64::MIN, nanos: i32::MIN }),
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let request = v1::StartSingletonRequest { version: "v".repeat(65), worker_kind: 9, ..start("", "@") };
    let refused = client.start_singleton(request).await.expect_err("three fields are wrong");
    let violations = violations(&refused);
    let mut fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["function_name", "instance_id", "version", "worker_kind"]);
    assert!(refused.message().ends_with("(and 3 more)"), "{}", refused.message());

    // Options that are too much for themselves, and go with other policies.
    let request = v1::StartSingletonRequest {
        max_queue: 1001,
        signal_on_conflict: Some(SignalOnConflict::default()),
        start_at: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
        ..start("f", "a")
    };
    let refused = client.start_singleton(request).await.expect_err("five things are wrong");
    let fields: Vec<String> = self::violations(&refused).into_iter().map(|violation| violation.field).collect();
    let signal = ["signal_on_conflict", "signal_on_conflict.name"];
    assert_eq!(fields, ["max_queue", "max_queue", signal[0], signal[1], "start_at"]);
}

/// A violation may quote 64 bytes. Control characters were cut first and escaped then: 64 of them became 384 bytes,
/// sixteen such violations 7 KiB, and no gRPC stack would have carried them.
#[tokio::test]
async fn the_worst_request_gets_an_answer_that_every_stack_can_carry() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    // Plain, quoted as they are but escaped in a header, escaped as six bytes each, as eight, quotes and backslashes.
    for c in ['x', 'ä', '\u{10348}', '\u{7f}', '\u{200b}', '\u{e0001}', '\'', '\\', '\0'] {
        let case = c.escape_unicode().to_string();
        let refused = client.start_singleton(all_wrong(c)).await.expect_err("everything is wrong");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violations = violations(&refused);
        let (last, named) = violations.split_last().expect("violations");
        assert_eq!(named.len(), 16, "{case}");
        assert!(last.description.starts_with("and ") && last.description.ends_with(" more"), "{case}: {last:?}");
        for violation in named {
            assert!(quoted(&violation.description) <= 64, "{case}: {violation:?}");
        }
        assert_small(&case, &refused);

        let functions = vec![c.to_string().repeat(300); 1000];
        let register = v1::Register { worker_name: c.to_string().repeat(300), functions, ..Default::default() };
        let register = v1::WorkRequest { sequence: 1, message: Some(Say::Register(register)) };
        let stream = server.workers().await.work(tokio_stream::once(register)).await;
        let refused = stream.expect("a stream").into_inner().message().await.expect_err("everything is wrong");
        assert_small(&case, &refused);
    }
}

#[tokio::test]
async fn a_rejection_with_the_longest_names_is_small_enough_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    for c in ["x", "ä", "\u{10348}"] {
        let name = |end: &str| format!("{}{end}", c.repeat((256 - end.len()) / c.len()));
        let (id, function, other) = (name("a"), name("f"), name("g"));
        client.start_singleton(start(&function, &id)).await.expect("started");
        let mut worker = RawWorker::join(&server, &name("w"), &[&function], 1).await;
        let run = worker.take().await;

        let joining =
            v1::StartSingletonRequest { conflict_policy: ConflictPolicy::UseExisting.into(), ..start(&other, &id) };
        let conflict = client.start_singleton(start(&function, &id)).await.expect_err("it runs");
        let mismatch = client.start_singleton(joining).await.expect_err("it runs another function");
        assert_eq!(error_info(&mismatch).reason, "FUNCTION_MISMATCH");
        let late = v1::TerminateInstanceRequest {
            instance_id: id.clone(),
            expected_execution_id: "0".repeat(32),
            ..Default::default()
        };
        let late = client.terminate_instance(late).await.expect_err("not that execution");
        let missing = v1::GetStatusRequest { instance_id: other, ..Default::default() };
        let missing = client.get_status(missing).await.expect_err("never started");
        let queue = v1::StartSingletonRequest {
            conflict_policy: ConflictPolicy::Queue.into(),
            max_queue: 1,
            ..start(&function, &id)
        };
        client.start_singleton(queue.clone()).await.expect("there is room");
        let full = client.start_singleton(queue).await.expect_err("there was room for one");
        let live = v1::PurgeInstanceRequest { instance_id: id.clone(), ..Default::default() };
        let live = client.purge_instance(live).await.expect_err("it is live");
        let gone = v1::GetStatusRequest { instance_id: id.clone(), execution_id: "0".repeat(32), ..Default::default() };
        let gone = client.get_status(gone).await.expect_err("there is no such execution");
        for status in [&conflict, &mismatch, &late, &missing, &full, &live, &gone] {
            assert_small(c, status);
        }
        worker.complete(&run, "1").await;
    }
}
