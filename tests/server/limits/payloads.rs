//! Payloads at the limit, one byte beyond, and more of them than one answer can carry.

use prost::Message;
use soloist::proto::v1::{
    self, orchestration_service_client::OrchestrationServiceClient, work_request::Message as Say,
    work_response::Message as Heard,
};
use tonic::Code;

use crate::support::{Crowd, RawWorker, Server, start, status, violations};

const MIB: usize = 1 << 20;
/// What stock clients take.
const STOCK_BYTES_MAX: usize = 4 * MIB;

fn text(bytes: usize) -> Option<String> {
    Some("p".repeat(bytes))
}

/// Asserts that a report was rejected for its payload, and that nothing came of it.
fn assert_rejected(answer: Heard, field: &str, limit: usize) {
    let Heard::Rejected(rejected) = answer else { panic!("not rejected: {answer:?}") };
    assert_eq!(rejected.reason, "INVALID_FIELD");
    assert_eq!(rejected.message, format!("{field}: must have at most {limit} bytes; got {}", limit + 1));
    assert!(rejected.claim.is_some_and(|claim| !claim.instance_id.is_empty()), "it names the run");
}

/// Sends every kind of payload at the limit and one byte beyond it.
async fn assert_limit(server: &Server, limit: usize) {
    let mut client = server.client().await;
    let beyond = v1::StartSingletonRequest { input: text(limit + 1), ..start("f", "a") };
    let event = |bytes| v1::RaiseEventRequest {
        instance_id: "a".into(),
        name: "e".into(),
        input: text(bytes),
        ..Default::default()
    };
    let refused = client.start_singleton(beyond).await.expect_err("one byte too many");
    let within = v1::StartSingletonRequest { input: text(limit), ..start("f", "a") };
    client.start_singleton(within).await.expect("started");
    let refused_event = client.raise_event(event(limit + 1)).await.expect_err("one byte too many");
    for refused in [refused, refused_event] {
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violation = &violations(&refused)[0];
        assert_eq!(violation.field, "input");
        assert_eq!(violation.description, format!("must have at most {limit} bytes; got {}", limit + 1));
    }

    let mut worker = RawWorker::join(server, "w", &["f"], 1).await;
    let run = worker.take().await;
    assert_eq!(run.input, text(limit));
    let claim = || run.claim.clone();
    client.raise_event(event(limit)).await.expect("raised");
    let delivered = worker.hear().await;
    assert!(matches!(&delivered, Heard::Event(event) if event.input == text(limit)), "the event whole");

    let progress = |bytes| Say::Progress(v1::Progress { claim: claim(), custom_status: text(bytes) });
    let again = |bytes| Say::ContinueAsNew(v1::ContinueAsNew { claim: claim(), input: text(bytes) });
    let completed = |bytes| Say::Completed(v1::Completed { claim: claim(), output: text(bytes) });
    assert_rejected(worker.ask(progress(limit + 1)).await, "progress.custom_status", limit);
    assert_rejected(worker.ask(again(limit + 1)).await, "continue_as_new.input", limit);
    assert_rejected(worker.ask(completed(limit + 1)).await, "completed.output", limit);
    // The run goes on: the same reports within the limit are taken.
    assert!(matches!(worker.ask(progress(limit)).await, Heard::Accepted(_)));
    assert!(matches!(worker.ask(completed(limit)).await, Heard::Accepted(_)));
}

#[tokio::test]
async fn a_payload_of_one_mebibyte_is_taken_and_one_byte_more_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    assert_limit(&server, MIB).await;
    let whole = status(&mut server.client().await, "a").await;
    assert_eq!((whole.input, whole.output, whole.custom_status), (text(MIB), text(MIB), text(MIB)));
    assert_eq!(whole.omitted_payloads, [""; 0]);
}

#[tokio::test]
async fn where_the_limit_is_configured_it_is_that_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--payload-bytes-max", "1000"], &[]);
    assert_limit(&server, 1000).await;
}

#[tokio::test]
async fn three_payloads_of_three_mebibytes_are_named_where_they_do_not_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--payload-bytes-max", "3MiB"], &[]);
    assert_limit(&server, 3 * MIB).await;

    // A stock client: it takes messages of 4 MiB.
    let mut stock = OrchestrationServiceClient::new(server.channel().await);
    let get = v1::GetStatusRequest { instance_id: "a".into(), include_payloads: true, ..Default::default() };
    let got = stock.get_status(get).await.expect("it fits").into_inner();
    assert!(got.encoded_len() < STOCK_BYTES_MAX, "{} bytes", got.encoded_len());
    let watch = v1::WatchStatusRequest { instance_id: "a".into(), include_payloads: true, ..Default::default() };
    let mut watch = stock.watch_status(watch).await.expect("a watch").into_inner();
    let watched = watch.message().await.expect("it fits").expect("an item").status;
    for status in [got.status, watched].map(|status| status.expect("a status")) {
        let there = [&status.input, &status.output, &status.custom_status].map(Option::is_some);
        assert_eq!(there.iter().filter(|there| **there).count(), 1, "one fits");
        let names = ["input", "output", "custom_status"];
        let missing = names.iter().zip(there).filter(|(_, there)| !there).map(|(name, _)| (*name).to_string());
        let mut omitted = status.omitted_payloads.clone();
        omitted.sort();
        let mut missing: Vec<String> = missing.collect();
        missing.sort();
        assert_eq!(omitted, missing);
    }
}

#[tokio::test]
async fn the_largest_answer_there_can_be_is_one_that_stock_clients_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--payload-bytes-max", "3MiB"], &[]);
    let mut client = server.client().await;
    // Two payloads that just fit together, and everything else as long as may be.
    let longest = || "n".repeat(256);
    let request = v1::StartSingletonRequest {
        input: text(3_900_000 / 2),
        version: "v".repeat(64),
        tags: (0..32).map(|n| (format!("{n:0>64}"), "t".repeat(256))).collect(),
        ..start(&longest(), &longest())
    };
    client.start_singleton(request).await.expect("started");
    let mut worker = RawWorker::join(&server, &longest(), &[&longest()], 1).await;
    let run = worker.take().await;
    let progress = v1::Progress { claim: run.claim.clone(), custom_status: text(3_900_000 / 2) };
    worker.ask(Say::Progress(progress)).await;
    let failure = v1::Failure {
        error_type: longest(),
        message: "m".repeat(16 << 10),
        details: "d".repeat(64 << 10),
        non_retriable: true,
    };
    let failed = worker.ask(Say::Failed(v1::Failed { claim: run.claim, failure: Some(failure) })).await;
    assert!(matches!(failed, Heard::Accepted(_)), "{failed:?}");

    let mut stock = OrchestrationServiceClient::new(server.channel().await);
    let get = v1::GetStatusRequest { instance_id: longest(), include_payloads: true, ..Default::default() };
    let got = stock.get_status(get).await.expect("it fits").into_inner();
    assert!((3_900_000..STOCK_BYTES_MAX).contains(&got.encoded_len()), "{} bytes", got.encoded_len());
    let status = got.status.expect("a status");
    assert!(status.input.is_some() && status.custom_status.is_some());
    assert_eq!(status.omitted_payloads, [""; 0]);
}

/// The queue came on top of as many payloads as there was room for without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_queue_leaves_less_room_for_payloads() {
    const LONGEST_QUEUE: usize = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--payload-bytes-max", "3MiB"], &[]);
    let mut client = server.client().await;
    let function = "n".repeat(256);
    client
        .start_singleton(v1::StartSingletonRequest { input: text(3 * MIB), ..start("f", "a") })
        .await
        .expect("started");
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = worker.take().await;
    let progress = |bytes| Say::Progress(v1::Progress { claim: run.claim.clone(), custom_status: text(bytes) });
    worker.ask(progress(3_900_000 - 3 * MIB)).await;
    let crowd = Crowd::gather(&server, LONGEST_QUEUE, 8).await;
    let queued = crowd.at_once(|_, mut client| {
        let request = v1::StartSingletonRequest {
            conflict_policy: v1::ConflictPolicy::Queue.into(),
            max_queue: LONGEST_QUEUE as u32,
            ..start(&function, "a")
        };
        async move { client.start_singleton(request).await.map(drop) }
    });
    queued.await.into_iter().for_each(|queued| queued.expect("there is room"));

    let mut stock = OrchestrationServiceClient::new(server.channel().await);
    let get = v1::GetStatusRequest { instance_id: "a".into(), include_payloads: true, ..Default::default() };
    let got = stock.get_status(get.clone()).await.expect("it fits").into_inner();
    assert_eq!(got.queue.len(), LONGEST_QUEUE);
    assert_eq!(got.status.expect("a status").omitted_payloads, ["input"]);
    // A smaller one fits beside the queue and the other one.
    worker.ask(progress(400_000)).await;
    let got = stock.get_status(get).await.expect("it fits").into_inner();
    assert!((3_800_000..STOCK_BYTES_MAX).contains(&got.encoded_len()), "{} bytes", got.encoded_len());
    assert_eq!(got.status.expect("a status").omitted_payloads, [""; 0]);
}
