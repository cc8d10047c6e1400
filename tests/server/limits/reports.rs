//! Every field of every report, at its limit and one beyond: what breaks a rule is rejected, and the run goes on.

use soloist::proto::v1::{self, RuntimeStatus, work_request::Message as Say, work_response::Message as Heard};

use crate::support::{RawWorker, Server, start, status};

type Report = fn(v1::Claim) -> Say;

/// A report that breaks a rule: how the rejection begins, and what it says is allowed and was given.
const BROKEN: &[(&str, &str, &str, Report)] = &[
    ("failed.failure.error_type", "1 to 256 bytes", "''", |c| failed(c, 0, 1, 1)),
    ("failed.failure.error_type", "1 to 256 bytes", "(257 bytes)", |c| failed(c, 257, 1, 1)),
    ("failed.failure.message", "16384", "16385", |c| failed(c, 1, (16 << 10) + 1, 1)),
    ("failed.failure.details", "65536", "65537", |c| failed(c, 1, 1, (64 << 10) + 1)),
    ("failed.failure.error_type", "1 to 256 bytes", "''", |c| {
        Say::Failed(v1::Failed { claim: Some(c), failure: None })
    }),
    ("claim.instance_id", "1 to 256 bytes", "''", |_| Say::Accept(v1::Accept { claim: None })),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| Say::Accept(v1::Accept { claim: Some(short(c)) })),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| Say::Stopped(v1::Stopped { claim: Some(short(c)) })),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| {
        Say::EventsAcked(v1::EventsAcked { claim: Some(short(c)), sequence: 1 })
    }),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| {
        Say::Progress(v1::Progress { claim: Some(short(c)), custom_status: None })
    }),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| {
        Say::Completed(v1::Completed { claim: Some(short(c)), output: None })
    }),
    ("claim.claim_id", "16 bytes", "15 bytes", |c| {
        Say::ContinueAsNew(v1::ContinueAsNew { claim: Some(short(c)), input: None })
    }),
    ("claim.instance_id", "not starting with @", "'@a'", |c| Say::Stopped(v1::Stopped { claim: Some(renamed(c)) })),
    ("heartbeat.claims[1].claim_id", "16 bytes", "15 bytes", |c| {
        Say::Heartbeat(v1::Heartbeat { claims: vec![c.clone(), short(c)] })
    }),
    ("heartbeat.claims", "10000", "'10001'", |c| Say::Heartbeat(v1::Heartbeat { claims: vec![c; 10_001] })),
];

fn failed(claim: v1::Claim, error_type: usize, message: usize, details: usize) -> Say {
    let failure = v1::Failure {
        error_type: "e".repeat(error_type),
        message: "m".repeat(message),
        details: "d".repeat(details),
        non_retriable: false,
    };
    Say::Failed(v1::Failed { claim: Some(claim), failure: Some(failure) })
}

fn short(claim: v1::Claim) -> v1::Claim {
    v1::Claim { claim_id: vec![0; 15], ..claim }
}

fn renamed(claim: v1::Claim) -> v1::Claim {
    v1::Claim { instance_id: "@a".into(), ..claim }
}

#[tokio::test]
async fn a_report_that_breaks_a_rule_is_rejected_by_name_and_the_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    client.start_singleton(start("f", "a")).await.expect("started");
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    let claim = run.claim.clone().expect("a claim");
    for (number, (field, allowed, given, report)) in BROKEN.iter().enumerate() {
        let answer = worker.ask(report(claim.clone())).await;
        let Heard::Rejected(rejected) = answer else { panic!("case {number}, {field}: {answer:?}") };
        assert_eq!(rejected.reason, "INVALID_FIELD", "case {number}");
        assert!(rejected.message.starts_with(&format!("{field}: ")), "case {number}, {field}: {}", rejected.message);
        for what in [allowed, given] {
            assert!(rejected.message.contains(what), "case {number}, {field}: {}", rejected.message);
        }
    }
    let one = std::slice::from_ref(&claim);
    assert_eq!(worker.heartbeat(one).await, one);
    assert_eq!(worker.heartbeat(&vec![claim.clone(); 10_000]).await.len(), 10_000);
    let last = status(&mut client, "a").await;
    assert_eq!((last.runtime_status(), last.attempt), (RuntimeStatus::Running, 1));

    let answer = worker.ask(failed(claim, 256, 16 << 10, 64 << 10)).await;
    assert!(matches!(answer, Heard::Accepted(_)), "{answer:?}");
    let failure = status(&mut client, "a").await.failure.expect("a failure");
    assert_eq!((failure.error_type.len(), failure.message.len(), failure.details.len()), (256, 16 << 10, 64 << 10));
}

#[tokio::test]
async fn what_is_no_report_ends_the_stream_with_the_reason() {
    let register = |c: v1::Claim| {
        Say::Register(v1::Register { worker_name: "w".into(), functions: vec!["f".into()], max_runs: 1, held: vec![c] })
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let claim = v1::Claim { instance_id: "a".into(), fencing_token: 1, claim_id: vec![0; 16] };
    worker.say(register(claim.clone())).await;
    let ended = worker.try_hear().await.expect_err("Register comes once");
    assert_eq!(crate::support::error_info(&ended).reason, "OUT_OF_TURN");

    let first = [None, Some(Say::Accept(v1::Accept { claim: Some(claim) }))];
    for message in first {
        let first = v1::WorkRequest { sequence: 1, message };
        let stream = server.workers().await.work(tokio_stream::once(first)).await.expect("a stream");
        let ended = stream.into_inner().message().await.expect_err("Register comes first");
        assert_eq!(crate::support::error_info(&ended).reason, "OUT_OF_TURN");
    }
}
