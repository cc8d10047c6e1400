use std::{collections::HashMap, time::Duration};

use prost_types::Timestamp;
use tonic::{Code, ConnectError, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::config::ConfigError;
use crate::proto::v1::{ConflictPolicy, Failure, HistoryEventType, RuntimeStatus, StartOutcome};

const EXECUTION: &str = "0123456789abcdef0123456789abcdef";

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + seconds, nanos: 123_456_000 })
}

fn running() -> InstanceStatus {
    InstanceStatus {
        instance_id: "nightly".into(),
        function_name: "backup".into(),
        execution_id: EXECUTION.into(),
        runtime_status: RuntimeStatus::Running.into(),
        revision: 9_007_199_254_740_993,
        fencing_token: 7,
        created_at: at(0),
        started_at: at(1),
        last_updated_at: at(1),
        tags: HashMap::from([("team".into(), "ops".into()), ("env".into(), "prod".into())]),
        worker: "host-1".into(),
        attempt: 1,
        lease_expires_at: at(16),
        ..InstanceStatus::default()
    }
}

fn failed() -> InstanceStatus {
    InstanceStatus {
        runtime_status: RuntimeStatus::Failed.into(),
        completed_at: at(5),
        input: Some(r#"{"a":1}"#.into()),
        failure: Some(Failure {
            error_type: "DiskFull".into(),
            message: "no space left".into(),
            details: "at line 1\nat line 2".into(),
            non_retriable: true,
        }),
        ..running()
    }
}

#[test]
fn a_status_as_text() {
    let expected = "\
instance       nightly
function       backup
execution      0123456789abcdef0123456789abcdef
status         Failed
revision       9007199254740993
fencing token  7
attempt        1
worker         host-1
lease expires  2023-11-14T22:13:36.123Z
created        2023-11-14T22:13:20.123Z
started        2023-11-14T22:13:21.123Z
last updated   2023-11-14T22:13:21.123Z
completed      2023-11-14T22:13:25.123Z
tag            env=prod
tag            team=ops
input          {\"a\":1}
failure        DiskFull: no space left
details        at line 1
               at line 2
";
    assert_eq!(text::status(&failed(), &[], Paint::Plain), expected);
}

#[test]
fn a_status_as_json() {
    let expected = concat!(
        r#"{"instanceId":"nightly","functionName":"backup","version":"","#,
        r#""executionId":"0123456789abcdef0123456789abcdef","runtimeStatus":"FAILED","#,
        r#""revision":"9007199254740993","fencingToken":"7","createdAt":"2023-11-14T22:13:20.123456Z","#,
        r#""startedAt":"2023-11-14T22:13:21.123456Z","lastUpdatedAt":"2023-11-14T22:13:21.123456Z","#,
        r#""completedAt":"2023-11-14T22:13:25.123456Z","input":"{\"a\":1}","#,
        r#""failure":{"errorType":"DiskFull","message":"no space left","details":"at line 1\nat line 2","#,
        r#""nonRetriable":true},"tags":{"env":"prod","team":"ops"},"worker":"host-1","attempt":1,"#,
        r#""leaseExpiresAt":"2023-11-14T22:13:36.123456Z","pendingReason":"","queuedStarts":0,"omittedPayloads":[],"#,
        r#""terminationReason":""}"#,
    );
    assert_eq!(json::object(&json::Status::of(&failed())), expected);
}

#[test]
fn a_start_that_was_done_before_tells_both_executions() {
    let answer = StartSingletonResponse {
        outcome: StartOutcome::Deduplicated.into(),
        first_outcome: StartOutcome::Started.into(),
        execution_id: "f".repeat(32),
        queue_position: 0,
        status: Some(Box::new(InstanceStatus {
            instance_id: "nightly".into(),
            execution_id: EXECUTION.into(),
            runtime_status: RuntimeStatus::Pending.into(),
            revision: 3,
            pending_reason: "no worker has registered function backup".into(),
            ..InstanceStatus::default()
        })),
    };
    let expected = "\
outcome                   deduplicated; the first request: started
execution of the request  ffffffffffffffffffffffffffffffff
instance                  nightly
execution                 0123456789abcdef0123456789abcdef
status                    Pending
pending                   no worker has registered function backup
revision                  3
";
    assert_eq!(text::started(&answer, Paint::Plain), expected);
    let json = json::object(&json::Started::of(&answer));
    assert!(json.starts_with(r#"{"outcome":"DEDUPLICATED","firstOutcome":"STARTED","executionId":"ffff"#), "{json}");
}

#[test]
fn a_queued_start_tells_its_place() {
    let answer = StartSingletonResponse {
        outcome: StartOutcome::Queued.into(),
        execution_id: "f".repeat(32),
        queue_position: 2,
        status: Some(Box::new(InstanceStatus { queued_starts: 2, ..running() })),
        ..StartSingletonResponse::default()
    };
    let text = text::started(&answer, Paint::Plain);
    let expected = "\
outcome                   queued
place in the queue        2
execution of the request  ffffffffffffffffffffffffffffffff
instance                  nightly
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\nqueued starts             2\n"), "{text}");
    let json = json::object(&json::Started::of(&answer));
    assert!(json.starts_with(r#"{"outcome":"QUEUED","executionId":"ffff"#), "{json}");
    assert!(json.contains(r#","queuePosition":2,"status":{"#), "{json}");
}

#[test]
fn what_waits_is_shown_below_a_status() {
    let status = InstanceStatus {
        instance_id: "nightly".into(),
        runtime_status: RuntimeStatus::Suspended.into(),
        revision: 3,
        scheduled_start_at: at(60),
        queued_starts: 2,
        ..InstanceStatus::default()
    };
    let start = |id: &str, policy: ConflictPolicy| QueuedStart {
        execution_id: id.repeat(32),
        function_name: "backup".into(),
        conflict_policy: policy.into(),
        queued_at: at(7),
    };
    let queue = [start("a", ConflictPolicy::Queue), start("b", ConflictPolicy::Coalesce)];
    let expected = "\
instance         nightly
status           Suspended
revision         3
queued starts    2
scheduled start  2023-11-14T22:14:20.123Z
queued 1         aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  2023-11-14T22:13:27.123Z  queue     backup
queued 2         bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  2023-11-14T22:13:27.123Z  coalesce  backup
";
    assert_eq!(text::status(&status, &queue, Paint::Plain), expected);
    let json = json::object(&json::StatusAndQueue::of(&status, &queue[1..]));
    assert!(json.starts_with(r#"{"instanceId":"nightly","#), "{json}");
    let expected = concat!(
        r#","queue":[{"executionId":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","functionName":"backup","#,
        r#""conflictPolicy":"COALESCE","queuedAt":"2023-11-14T22:13:27.123456Z"}]}"#
    );
    assert!(json.ends_with(expected), "{json}");
    assert!(json.contains(r#""scheduledStartAt":"2023-11-14T22:14:20.123456Z""#), "{json}");
}

#[test]
fn a_list_grows_page_by_page() {
    let output = Output { json: false, paint: Paint::Plain };
    let mut list = output.list();
    assert!(list.is_empty());
    let short = InstanceStatus { instance_id: "i".into(), ..running() };
    let expected = "\
INSTANCE  FUNCTION  STATUS   CREATED                   UPDATED                   QUEUED  WORKER
nightly   backup    Running  2023-11-14T22:13:20.123Z  2023-11-14T22:13:21.123Z  0       host-1
i         backup    Running  2023-11-14T22:13:20.123Z  2023-11-14T22:13:21.123Z  0       host-1
";
    assert_eq!(list.rows(&[running(), short], Paint::Plain), expected);
}

#[test]
fn a_history_as_text_and_as_json() {
    let started = HistoryEvent {
        timestamp: at(0),
        r#type: HistoryEventType::ExecutionStarted.into(),
        name: "backup".into(),
        input: Some("1".into()),
        ..HistoryEvent::default()
    };
    let granted = HistoryEvent {
        event_id: 1,
        timestamp: at(1),
        r#type: HistoryEventType::RunGranted.into(),
        worker: "host-1".into(),
        attempt: 1,
        fencing_token: 7,
        ..HistoryEvent::default()
    };
    let retried = HistoryEvent {
        event_id: 2,
        timestamp: at(2),
        r#type: HistoryEventType::RetryScheduled.into(),
        attempt: 1,
        failure: failed().failure,
        due_at: at(60),
        ..HistoryEvent::default()
    };
    let raised = HistoryEvent {
        event_id: 3,
        timestamp: at(3),
        r#type: HistoryEventType::EventRaised.into(),
        name: "go".into(),
        sequence: 4,
        ..HistoryEvent::default()
    };
    let expected = "\
EVENT  TIME                      WHAT
    0  2023-11-14T22:13:20.123Z  execution started     backup
  input  1
    1  2023-11-14T22:13:21.123Z  run granted           attempt 1, by host-1, fencing token 7
    2  2023-11-14T22:13:22.123Z  retry scheduled       attempt 1, not before 2023-11-14T22:14:20.123Z
  failure  DiskFull: no space left
  details  at line 1
           at line 2
    3  2023-11-14T22:13:23.123Z  event raised          go, number 4
";
    let text: String = [&started, &granted, &retried, &raised].map(history::event).concat();
    assert_eq!(history::head() + &text, expected);
    let expected = concat!(
        r#"{"eventId":"1","timestamp":"2023-11-14T22:13:21.123456Z","type":"RUN_GRANTED","name":"","worker":"host-1","#,
        r#""attempt":1,"fencingToken":"7","reason":"","sequence":"0"}"#
    );
    assert_eq!(json::object(&json::Happened::of(&granted)), expected);
}

#[test]
fn a_purge_tells_how_many() {
    assert_eq!(text::purged(1007), "purged  1007\n");
    assert_eq!(json::object(&json::Purged { purged: 1007 }), r#"{"purged":1007}"#);
}

#[test]
fn among_many_an_item_names_its_instance() {
    let item = WatchItem { status: running(), sequence: 3, resync: false, purged: true };
    let expected = "\
UPDATED                   SEQUENCE    REVISION  STATUS      ATTEMPT  INSTANCE                          WORKER
2023-11-14T22:13:21.123Z         3  9007199254740993  Running           1  nightly                           host-1
  purged  the instance is deleted
";
    assert_eq!(text::watch_of_many_head() + &text::watched_among_many(&item, Paint::Plain), expected);
}

#[test]
fn watched_items_line_up_below_the_head() {
    let item = WatchItem { status: failed(), sequence: 3, resync: false, purged: false };
    let expected = "\
UPDATED                   SEQUENCE    REVISION  STATUS      ATTEMPT  EXECUTION                         WORKER
2023-11-14T22:13:21.123Z         3  9007199254740993  Failed            1  0123456789abcdef0123456789abcdef  host-1
  input    {\"a\":1}
  failure  DiskFull: no space left
  details  at line 1
           at line 2
";
    assert_eq!(text::watch_head() + &text::watched(&item, Paint::Plain), expected);
}

#[test]
fn a_watched_item_as_json_has_its_number_as_a_string() {
    let item = WatchItem { status: running(), sequence: 3, resync: true, purged: false };
    let json = json::object(&json::Watched::of(&item));
    assert!(json.starts_with(r#"{"status":{"instanceId":"nightly","#), "{json}");
    assert!(json.ends_with(r#"},"sequence":"3","resync":true,"purged":false}"#), "{json}");
}

#[test]
fn an_enum_of_a_newer_server_is_its_number() {
    let status = InstanceStatus { runtime_status: 99, ..InstanceStatus::default() };
    assert!(json::object(&json::Status::of(&status)).contains(r#""runtimeStatus":"99""#));
}

#[test]
fn colours_only_where_they_are_wanted() {
    assert!(text::status(&running(), &[], Paint::Colours).contains("\u{1b}[36mRunning\u{1b}[0m"));
    assert!(!text::status(&running(), &[], Paint::Plain).contains('\u{1b}'));
}

#[test]
fn a_lost_connection_is_told_with_where_the_watch_goes_on() {
    let mut interruption = Interruption {
        error: Some(Status::unavailable("draining").into()),
        wait: Duration::from_micros(250_700),
        after_revision: Some(9),
    };
    let expected = "connection lost (draining); resuming after revision 9 in 250 ms";
    assert_eq!(text::interrupted(&interruption), expected);
    interruption = Interruption { error: None, after_revision: None, ..interruption };
    let expected = "connection lost (the server ended the stream); beginning again in 250 ms";
    assert_eq!(text::interrupted(&interruption), expected);
}

fn taken() -> Error {
    let mut details = ErrorDetails::new();
    details.set_error_info(
        "INSTANCE_ALREADY_RUNNING",
        "soloist",
        HashMap::from([("instance_id".to_owned(), "nightly".to_owned())]),
    );
    let message = "An instance with ID 'nightly' already exists.";
    Error::Call(Status::with_error_details(Code::AlreadyExists, message, details).into())
}

fn invalid() -> Error {
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_FIELD", "soloist", HashMap::new());
    details.add_bad_request_violation("instance_id", "must not be empty");
    details.add_bad_request_violation("tags", "must be at most 32");
    Error::Call(Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details).into())
}

fn unreachable() -> Error {
    let refused = ConnectError(io::Error::other("refused").into());
    Error::Call(Status::from_error(refused.into()).into())
}

#[test]
fn errors_as_text() {
    let cases = [
        (
            taken(),
            "\
error: An instance with ID 'nightly' already exists.
  reason: INSTANCE_ALREADY_RUNNING (ALREADY_EXISTS)
  instance_id: nightly",
        ),
        (
            invalid(),
            "\
error: 2 fields are wrong
  reason: INVALID_FIELD (INVALID_ARGUMENT)
  instance_id: must not be empty
  tags: must be at most 32",
        ),
        (
            unreachable(),
            "\
error: cannot connect to the server: refused
Start a server with `soloist dev`, or name one with --server or SOLOIST_SERVER.",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(error.block(), expected);
    }
}

#[test]
fn errors_as_json() {
    let json = |error: Error| json::object(&json::Failed { error: error.report() });
    assert_eq!(
        json(taken()),
        concat!(
            r#"{"error":{"code":"ALREADY_EXISTS","message":"An instance with ID 'nightly' already exists.","#,
            r#""reason":"INSTANCE_ALREADY_RUNNING","domain":"soloist","metadata":{"instance_id":"nightly"}}}"#
        )
    );
    assert_eq!(
        json(invalid()),
        concat!(
            r#"{"error":{"code":"INVALID_ARGUMENT","message":"2 fields are wrong","reason":"INVALID_FIELD","#,
            r#""domain":"soloist","violations":[{"field":"instance_id","description":"must not be empty"},"#,
            r#"{"field":"tags","description":"must be at most 32"}]}}"#
        )
    );
}

#[test]
fn causes_are_told_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("the store can't be opened: {0}")]
    struct Closed(#[source] io::Error);

    let error = anyhow::Error::new(Closed(io::Error::other("locked"))).context("the server ended");
    assert_eq!(Error::Other(error).block(), "error: the server ended: the store can't be opened: locked");
}

#[test]
fn exit_codes() {
    let broken_pipe = Error::Output(io::ErrorKind::BrokenPipe.into());
    let cases = [
        (taken(), 75),
        (Error::Call(Status::resource_exhausted("16 starts wait already").into()), 75),
        (invalid(), 1),
        (Error::Usage("no".into()), 2),
        (unreachable(), 1),
        (Error::TimedOut(Duration::from_secs(1)), 1),
        (Error::Config(ConfigError::Wrong(Vec::new())), 2),
        (broken_pipe, 0),
        (Error::Output(io::ErrorKind::StorageFull.into()), 1),
    ];
    for (error, expected) in cases {
        assert_eq!(error.exit().code(), expected, "{error}");
    }
}
