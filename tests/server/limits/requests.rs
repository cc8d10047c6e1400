//! Every field of every request, at its limit and one beyond.

use std::time::SystemTime;

use prost_types::{Duration, Timestamp};
use soloist::proto::v1::{
    self, ConflictPolicy, ReplaceableStatuses, RetryPolicy, SignalOnConflict, work_request::Message as Say,
};
use tonic::{Code, Status};

use crate::support::{Server, error_info, start, value, violations};

const YEAR: i64 = 365 * 24 * 3600;

/// Any request.
enum Ask {
    Start(Box<v1::StartSingletonRequest>),
    Get(v1::GetStatusRequest),
    Watch(v1::WatchStatusRequest),
    Raise(v1::RaiseEventRequest),
    Terminate(v1::TerminateInstanceRequest),
    Suspend(v1::SuspendInstanceRequest),
    Resume(v1::ResumeInstanceRequest),
    Restart(v1::RestartInstanceRequest),
    Purge(v1::PurgeInstanceRequest),
    Register(v1::Register),
}

impl Ask {
    async fn of(self, server: &Server) -> Result<(), Status> {
        let mut client = server.client().await;
        match self {
            Ask::Start(request) => client.start_singleton(*request).await.map(drop),
            Ask::Get(request) => client.get_status(request).await.map(drop),
            Ask::Watch(request) => client.watch_status(request).await.map(drop),
            Ask::Raise(request) => client.raise_event(request).await.map(drop),
            Ask::Terminate(request) => client.terminate_instance(request).await.map(drop),
            Ask::Suspend(request) => client.suspend_instance(request).await.map(drop),
            Ask::Resume(request) => client.resume_instance(request).await.map(drop),
            Ask::Restart(request) => client.restart_instance(request).await.map(drop),
            Ask::Purge(request) => client.purge_instance(request).await.map(drop),
            Ask::Register(register) => {
                let first = v1::WorkRequest { sequence: 1, message: Some(Say::Register(register)) };
                let mut stream = server.workers().await.work(tokio_stream::once(first)).await?.into_inner();
                stream.message().await.map(drop)
            }
        }
    }
}

/// One limit: the field, what the refusal says of it, what it says was given, and both sides of it.
struct Limit {
    field: &'static str,
    says: &'static str,
    given: &'static str,
    within: Ask,
    beyond: Ask,
}

/// A start that `change` made, of an id of its own.
fn starting(change: impl FnOnce(&mut v1::StartSingletonRequest)) -> Ask {
    let mut request = start("f", "");
    change(&mut request);
    Ask::Start(Box::new(request))
}

fn with_retry(change: impl FnOnce(&mut RetryPolicy)) -> Ask {
    let mut retry = RetryPolicy::default();
    change(&mut retry);
    starting(|request| request.retry = Some(retry))
}

fn with_tags(count: usize, key: usize, value: usize) -> Ask {
    let tags = (0..count).map(|n| (format!("{n:0>key$}"), "v".repeat(value))).collect();
    starting(|request| request.tags = tags)
}

fn with_statuses(statuses: &[i32]) -> Ask {
    starting(|request| request.replaceable_statuses = Some(ReplaceableStatuses { statuses: statuses.to_vec() }))
}

fn registering(change: impl FnOnce(&mut v1::Register)) -> Ask {
    let mut register =
        v1::Register { worker_name: "w".into(), functions: vec!["f".into()], max_runs: 1, held: Vec::new() };
    change(&mut register);
    Ask::Register(register)
}

fn held(count: usize) -> Vec<v1::Claim> {
    let claim = |n| v1::Claim { instance_id: "a".into(), fencing_token: n as u64, claim_id: vec![7; 16] };
    (0..count).map(claim).collect()
}

fn raising(change: impl FnOnce(&mut v1::RaiseEventRequest)) -> Ask {
    let mut request = v1::RaiseEventRequest { instance_id: "there".into(), name: "e".into(), ..Default::default() };
    change(&mut request);
    Ask::Raise(request)
}

fn terminating(id: &str, reason: usize) -> Ask {
    Ask::Terminate(v1::TerminateInstanceRequest {
        instance_id: id.into(),
        reason: "r".repeat(reason),
        ..Default::default()
    })
}

fn span(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

fn a(count: usize) -> String {
    "a".repeat(count)
}

fn of_starts() -> Vec<Limit> {
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let id = |id: String| starting(|r| r.instance_id = id);
    let name = |name: String| starting(|r| r.function_name = name);
    vec![
        limit("instance_id", "1 to 256 bytes", "'aaaa", id(a(256)), id(a(257))),
        limit("instance_id", "1 to 256 bytes", "'ää", id("ä".repeat(128)), id("ä".repeat(129))),
        limit("instance_id", "not starting with @", "'@a'", id("a@".into()), id("@a".into())),
        limit("instance_id", "without control characters", "'a\\u{7f}'", id("a b".into()), id("a\u{7f}".into())),
        limit("instance_id", "without control characters", "'a\\u{85}'", id("a.b".into()), id("a\u{85}".into())),
        limit("instance_id", "/ \\ # ?", "'a/b'", id("a:b".into()), id("a/b".into())),
        limit("instance_id", "/ \\ # ?", "'a\\\\b'", id("a|b".into()), id("a\\b".into())),
        limit("instance_id", "/ \\ # ?", "'a#b'", id("a%b".into()), id("a#b".into())),
        limit("instance_id", "/ \\ # ?", "'a?b'", id("a!b".into()), id("a?b".into())),
        limit("function_name", "1 to 256 bytes", "'aaaa", name(a(256)), name(a(257))),
        limit("function_name", "1 to 256 bytes", "''", name(a(1)), name(String::new())),
        limit("function_name", "control characters", "'a\\n'", name("/@#?".into()), name("a\n".into())),
        limit("request_id", "128", "129", starting(|r| r.request_id = a(128)), starting(|r| r.request_id = a(129))),
        limit("version", "64", "65", starting(|r| r.version = a(64)), starting(|r| r.version = a(65))),
        limit("conflict_policy", "COALESCE (5)", "6", conflict(5), conflict(6)),
        limit("conflict_policy", "FAIL (1)", "-1", conflict(0), conflict(-1)),
        limit("worker_kind", "DURABLE_TASK (3)", "4", kind(3), kind(4)),
        limit(
            "replaceable_statuses.statuses[1]",
            "COMPLETED (4)",
            "2",
            with_statuses(&[4, 5, 6]),
            with_statuses(&[4, 2]),
        ),
        limit("replaceable_statuses.statuses[0]", "TERMINATED (6)", "7", with_statuses(&[6]), with_statuses(&[7])),
        limit("tags", "32", "33", with_tags(32, 64, 256), with_tags(33, 2, 1)),
        limit("tags", "1 to 64 bytes", "(65 bytes)", with_tags(1, 1, 0), with_tags(1, 65, 0)),
        limit("tags", "1 to 64 bytes", "''", with_tags(1, 64, 0), starting(|r| r.tags = [Default::default()].into())),
        limit("tags", "256 bytes", "(257 bytes)", with_tags(1, 1, 256), with_tags(1, 1, 257)),
    ]
}

fn conflict(policy: i32) -> Ask {
    starting(|request| request.conflict_policy = policy)
}

fn kind(kind: i32) -> Ask {
    starting(|request| request.worker_kind = kind)
}

fn under(policy: ConflictPolicy, change: impl FnOnce(&mut v1::StartSingletonRequest)) -> Ask {
    starting(|request| {
        request.set_conflict_policy(policy);
        change(request);
    })
}

fn signalling(policy: ConflictPolicy, name: String, input: usize) -> Ask {
    let signal = SignalOnConflict { name, input: Some(a(input)) };
    under(policy, |request| request.signal_on_conflict = Some(signal))
}

fn starting_at(seconds: i64, nanos: i32) -> Ask {
    starting(|request| request.start_at = Some(Timestamp { seconds, nanos }))
}

fn of_policies() -> Vec<Limit> {
    use ConflictPolicy::{Coalesce, Fail, Queue, Replace, UseExisting};
    const MIB: usize = 1 << 20;
    /// The first second of the year 1, and the last of the year 9999.
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let room = |policy, max_queue| under(policy, |request| request.max_queue = max_queue);
    let signal = |name: String| signalling(UseExisting, name, 0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    vec![
        limit("max_queue", "1 to 1000", "'1001'", room(Queue, 1000), room(Queue, 1001)),
        limit("max_queue", "1 to 1000", "'4294967295'", room(Coalesce, 1), room(Coalesce, u32::MAX)),
        limit("max_queue", "QUEUE and COALESCE only", "'1'", room(Fail, 0), room(Fail, 1)),
        limit("max_queue", "QUEUE and COALESCE only", "'1000'", room(UseExisting, 0), room(UseExisting, 1000)),
        limit("max_queue", "QUEUE and COALESCE only", "'16'", room(Replace, 0), room(Replace, 16)),
        limit("signal_on_conflict", "USE_EXISTING only", "'e'", signal("e".into()), signalling(Fail, "e".into(), 0)),
        limit("signal_on_conflict", "USE_EXISTING only", "'e'", signal("e".into()), signalling(Queue, "e".into(), 0)),
        limit("signal_on_conflict", "USE_EXISTING only", "'e'", signal("e".into()), signalling(Replace, "e".into(), 0)),
        limit("signal_on_conflict.name", "1 to 256 bytes", "''", signal(a(1)), signal(String::new())),
        limit("signal_on_conflict.name", "1 to 256 bytes", "'aaaa", signal(a(256)), signal(a(257))),
        limit(
            "signal_on_conflict.input",
            "1048576",
            "1048577",
            signalling(UseExisting, a(1), MIB),
            signalling(UseExisting, a(1), MIB + 1),
        ),
        // The server's clock is this machine's; a minute covers the time between the two readings.
        limit(
            "start_at",
            "at most 365 days ahead",
            "Z'",
            starting_at(now + YEAR - 60, 0),
            starting_at(now + YEAR + 60, 0),
        ),
        limit("start_at", "at most 365 days ahead", "9999-12-31", starting_at(0, 0), starting_at(LAST, 999_999_999)),
        limit("start_at", "9999-12-31", "253402300800 s", starting_at(now, 0), starting_at(LAST + 1, 0)),
        limit("start_at", "0001-01-01", "-62135596801 s", starting_at(FIRST, 0), starting_at(FIRST - 1, 0)),
        limit("start_at", "0001-01-01", "-1 ns", starting_at(now, 999_999_999), starting_at(now, -1)),
        limit("start_at", "0001-01-01", "1000000000 ns", starting_at(-1, 0), starting_at(now, 1_000_000_000)),
        limit("start_at", "0001-01-01", "-9223372036854775808 s", starting_at(-9, 9), starting_at(i64::MIN, 0)),
    ]
}

fn of_lifecycles() -> Vec<Limit> {
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let id = |id: String| {
        [
            Ask::Suspend(v1::SuspendInstanceRequest { instance_id: id.clone(), ..Default::default() }),
            Ask::Resume(v1::ResumeInstanceRequest { instance_id: id.clone(), ..Default::default() }),
            Ask::Restart(v1::RestartInstanceRequest { instance_id: id.clone(), ..Default::default() }),
            Ask::Purge(v1::PurgeInstanceRequest { instance_id: id.clone(), ..Default::default() }),
        ]
    };
    let there = || "there".to_owned();
    let expecting = |execution: String| {
        [
            Ask::Suspend(v1::SuspendInstanceRequest {
                instance_id: there(),
                expected_execution_id: execution.clone(),
                ..Default::default()
            }),
            Ask::Resume(v1::ResumeInstanceRequest {
                instance_id: there(),
                expected_execution_id: execution.clone(),
                ..Default::default()
            }),
            Ask::Restart(v1::RestartInstanceRequest {
                instance_id: there(),
                expected_execution_id: execution.clone(),
                ..Default::default()
            }),
            Ask::Purge(v1::PurgeInstanceRequest { instance_id: there(), expected_execution_id: execution.clone() }),
        ]
    };
    let because = |reason: String| {
        [
            Ask::Suspend(v1::SuspendInstanceRequest {
                instance_id: there(),
                reason: reason.clone(),
                ..Default::default()
            }),
            Ask::Resume(v1::ResumeInstanceRequest {
                instance_id: there(),
                reason: reason.clone(),
                ..Default::default()
            }),
        ]
    };
    let again = |request_id: String| {
        Ask::Restart(v1::RestartInstanceRequest { instance_id: there(), request_id, ..Default::default() })
    };
    let named = |execution_id: String| {
        [
            Ask::Get(v1::GetStatusRequest {
                instance_id: there(),
                execution_id: execution_id.clone(),
                ..Default::default()
            }),
            Ask::Watch(v1::WatchStatusRequest {
                instance_id: there(),
                execution_id: execution_id.clone(),
                ..Default::default()
            }),
            Ask::Terminate(v1::TerminateInstanceRequest { instance_id: there(), execution_id, ..Default::default() }),
        ]
    };
    let mut limits = vec![limit("request_id", "128", "129", again(a(128)), again(a(129)))];
    for (within, beyond) in id(a(256)).into_iter().zip(id(a(257))) {
        limits.push(limit("instance_id", "1 to 256 bytes", "'aaaa", within, beyond));
    }
    for (within, beyond) in expecting(a(32)).into_iter().zip(expecting("A".repeat(32))) {
        limits.push(limit("expected_execution_id", "32 lower-case", "'AAAA", within, beyond));
    }
    for (within, beyond) in because(a(4096)).into_iter().zip(because(a(4097))) {
        limits.push(limit("reason", "4096", "4097", within, beyond));
    }
    for (within, beyond) in named(a(32)).into_iter().zip(named(a(31))) {
        limits.push(limit("execution_id", "32 lower-case", "'aaaa", within, beyond));
    }
    limits
}

fn of_durations() -> Vec<Limit> {
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let deadline = |duration| starting(|request| request.start_deadline = duration);
    let timeout = |duration| starting(|request| request.run_timeout = duration);
    let initial = |duration| with_retry(|retry| retry.initial_backoff = duration);
    let max = |duration| with_retry(|retry| retry.max_backoff = duration);
    let attempts = |attempts| with_retry(|retry| retry.max_attempts = attempts);
    let multiplier = |multiplier| with_retry(|retry| retry.multiplier = multiplier);
    vec![
        limit("start_deadline", "1 ms", "999999 ns", deadline(span(0, 1_000_000)), deadline(span(0, 999_999))),
        limit("start_deadline", "365 days", "31536000 s and 1 ns", deadline(span(YEAR, 0)), deadline(span(YEAR, 1))),
        limit("start_deadline", "1 ms", "-1 s", deadline(span(1, 0)), deadline(span(-1, 0))),
        limit(
            "start_deadline",
            "365 days",
            "1000000000 ns",
            deadline(span(0, 999_999_999)),
            deadline(span(0, 1_000_000_000)),
        ),
        limit("run_timeout", "1 ms", "999999 ns", timeout(span(0, 1_000_000)), timeout(span(0, 999_999))),
        limit("run_timeout", "365 days", "31536000 s and 1 ns", timeout(span(YEAR, 0)), timeout(span(YEAR, 1))),
        limit("run_timeout", "1 ms", "0 s and 0 ns", timeout(None), timeout(span(0, 0))),
        limit("retry.max_attempts", "1000000", "1000001", attempts(1_000_000), attempts(1_000_001)),
        limit("retry.initial_backoff", "0 s", "-1 ns", initial(span(0, 0)), initial(span(0, -1))),
        limit("retry.initial_backoff", "365 days", "31536001 s", initial(span(YEAR, 0)), initial(span(YEAR + 1, 0))),
        limit("retry.max_backoff", "0 s", "-5 s", max(span(0, 0)), max(span(-5, 0))),
        limit("retry.max_backoff", "365 days", "31536001 s", max(span(YEAR, 0)), max(span(YEAR + 1, 0))),
        limit("retry.multiplier", "1 to 100", "100.5", multiplier(100.0), multiplier(100.5)),
        limit("retry.multiplier", "1 to 100", "0.99", multiplier(1.0), multiplier(0.99)),
        limit("retry.multiplier", "1 to 100", "NaN", multiplier(0.0), multiplier(f64::NAN)),
        limit("retry.multiplier", "1 to 100", "inf", multiplier(2.0), multiplier(f64::INFINITY)),
        limit("retry.multiplier", "1 to 100", "-2", multiplier(-0.0), multiplier(-2.0)),
    ]
}

fn of_other_requests() -> Vec<Limit> {
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let get = |id: String| Ask::Get(v1::GetStatusRequest { instance_id: id, ..Default::default() });
    let watch =
        |id: String| Ask::Watch(v1::WatchStatusRequest { instance_id: id, wait_for_start: true, ..Default::default() });
    let execution = |id: String| raising(|request| request.expected_execution_id = id);
    vec![
        limit("instance_id", "1 to 256 bytes", "'aaaa", get(a(256)), get(a(257))),
        limit("instance_id", "1 to 256 bytes", "''", get(a(1)), get(String::new())),
        limit("instance_id", "1 to 256 bytes", "'aaaa", watch(a(256)), watch(a(257))),
        limit(
            "instance_id",
            "1 to 256 bytes",
            "'aaaa",
            raising(|r| r.instance_id = a(256)),
            raising(|r| r.instance_id = a(257)),
        ),
        limit("name", "1 to 256 bytes", "'aaaa", raising(|r| r.name = a(256)), raising(|r| r.name = a(257))),
        limit("name", "1 to 256 bytes", "''", raising(|r| r.name = a(1)), raising(|r| r.name = String::new())),
        limit(
            "name",
            "control characters",
            "'\\0'",
            raising(|r| r.name = "ä".into()),
            raising(|r| r.name = "\0".into()),
        ),
        limit("expected_execution_id", "32 lower-case", "'aaaa", execution(a(32)), execution(a(33))),
        limit("instance_id", "1 to 256 bytes", "'aaaa", terminating(&a(256), 0), terminating(&a(257), 0)),
        limit("reason", "4096", "4097", terminating("there", 4096), terminating("there", 4097)),
    ]
}

fn of_registers() -> Vec<Limit> {
    let limit = |field, says, given, within, beyond| Limit { field, says, given, within, beyond };
    let name = |name: String| registering(|r| r.worker_name = name);
    let runs = |runs| registering(|r| r.max_runs = runs);
    let functions = |names: Vec<String>| registering(|r| r.functions = names);
    let many = |count: usize| functions((0..count).map(|n| format!("f{n}")).collect());
    let holding = |claims| registering(|r| r.held = claims);
    let secret = |bytes| holding(vec![v1::Claim { claim_id: vec![1; bytes], ..held(1).remove(0) }]);
    let unnamed = vec![v1::Claim { instance_id: String::new(), ..held(1).remove(0) }];
    vec![
        limit("register.worker_name", "1 to 256 bytes", "'aaaa", name(a(256)), name(a(257))),
        limit("register.worker_name", "1 to 256 bytes", "''", name(a(1)), name(String::new())),
        limit("register.functions", "1 to 1000", "'1001'", many(1000), many(1001)),
        limit("register.functions", "1 to 1000", "'0'", many(1), many(0)),
        limit(
            "register.functions[1]",
            "1 to 256",
            "'aaaa",
            functions(vec![a(1), a(256)]),
            functions(vec![a(1), a(257)]),
        ),
        limit("register.functions[0]", "1 to 256", "''", functions(vec![a(2)]), functions(vec![String::new()])),
        limit("register.max_runs", "1 to 10000", "'10001'", runs(10_000), runs(10_001)),
        limit("register.max_runs", "1 to 10000", "'0'", runs(1), runs(0)),
        limit("register.held", "10000", "'10001'", holding(held(10_000)), holding(held(10_001))),
        limit("register.held[0].claim_id", "16 bytes", "15 bytes", secret(16), secret(15)),
        limit("register.held[0].claim_id", "16 bytes", "17 bytes", secret(16), secret(17)),
        limit("register.held[0].instance_id", "1 to 256", "''", holding(held(2)), holding(unnamed)),
    ]
}

#[tokio::test]
async fn every_field_is_taken_at_its_limit_and_refused_by_name_beyond() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    server.client().await.start_singleton(start("f", "there")).await.expect("started");
    let limits = [of_starts(), of_policies(), of_durations(), of_other_requests(), of_lifecycles(), of_registers()];
    for (number, limit) in limits.into_iter().flatten().enumerate() {
        let Limit { field, says, given, within, beyond } = limit;
        let case = format!("case {number}, {field} ({says})");
        let taken = named(within, number).of(&server).await;
        // What passed the door may still find nobody, or not the execution that it expects.
        let taken = taken.or_else(|status| match status.code() {
            Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists => Ok(()),
            _ => Err(status),
        });
        taken.unwrap_or_else(|status| panic!("{case}: {status:?}"));

        let refused = named(beyond, number).of(&server).await.expect_err(&case);
        let info = error_info(&refused);
        assert_eq!((refused.code(), info.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{case}");
        assert_eq!(value(&info, "field"), field, "{case}");
        let [violation] = violations(&refused).try_into().unwrap_or_else(|all| panic!("{case}: {all:?}"));
        assert_eq!(violation.field, field, "{case}");
        assert!(violation.description.contains(says), "{case}: {violation:?}");
        assert!(violation.description.contains(given), "{case}: {violation:?}");
        assert_eq!(refused.message(), format!("{field}: {}", violation.description), "{case}");
    }
}

/// Gives a start an id of its own, unless the id is what it is about.
fn named(ask: Ask, number: usize) -> Ask {
    match ask {
        Ask::Start(mut request) if request.instance_id.is_empty() => {
            request.instance_id = format!("case-{number}");
            Ask::Start(request)
        }
        other => other,
    }
}
