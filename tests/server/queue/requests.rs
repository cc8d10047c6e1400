//! Request ids of starts that wait: told once and for all, with the place of now.

use soloist::proto::v1::{self, ConflictPolicy, StartOutcome};
use tonic::Code;

use super::{asking, queued, told, withdraw};
use crate::support::{Client, RawWorker, Server, error_info, start};

fn once(policy: ConflictPolicy, request_id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { request_id: request_id.into(), ..asking(policy, "a", request_id) }
}

/// A retry is told what the first was told, and where it waits now.
async fn assert_again(client: &mut Client, request: &v1::StartSingletonRequest, first: StartOutcome, at: (&str, u32)) {
    let again = told(client, request.clone()).await;
    assert_eq!((again.outcome(), again.first_outcome()), (StartOutcome::Deduplicated, first));
    assert_eq!((again.execution_id.as_str(), again.queue_position), at);
}

#[tokio::test]
async fn a_retry_is_told_the_place_of_now_until_it_has_begun_and_after_it_has_run() {
    use StartOutcome::{Coalesced, Queued};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    queued(&mut client, "a", "before them").await;
    let [queue, coalesce, newer] = [
        once(ConflictPolicy::Queue, "queue"),
        once(ConflictPolicy::Coalesce, "coalesce"),
        once(ConflictPolicy::Coalesce, "newer"),
    ];
    let one = told(&mut client, queue.clone()).await;
    assert_eq!((one.outcome(), one.queue_position), (Queued, 2));
    let two = told(&mut client, coalesce.clone()).await;
    assert_eq!((two.outcome(), two.queue_position), (Queued, 3));
    assert_eq!(told(&mut client, newer.clone()).await.outcome(), Coalesced);
    let (one, two) = (one.execution_id.as_str(), two.execution_id.as_str());
    assert_again(&mut client, &queue, Queued, (one, 2)).await;

    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    for (gone, places) in [(1, (1, 2)), (2, (0, 1)), (3, (0, 0)), (4, (0, 0))] {
        let run = worker.take().await;
        // A retry of what coalesced does not put its older input back.
        assert!(gone != 4 || run.input.as_deref() == Some("newer"), "{run:?}");
        worker.complete(&run, "").await;
        assert_again(&mut client, &queue, Queued, (one, places.0)).await;
        assert_again(&mut client, &coalesce, Queued, (two, places.1)).await;
        assert_again(&mut client, &newer, Coalesced, (two, places.1)).await;
    }
    drop(client);
    server.kill();
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    assert_again(&mut client, &queue, Queued, (one, 0)).await;
    assert_again(&mut client, &newer, Coalesced, (two, 0)).await;
}

#[tokio::test]
async fn a_retry_puts_nothing_back_that_was_withdrawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    let request = once(ConflictPolicy::Queue, "r");
    let execution = told(&mut client, request.clone()).await.execution_id;
    assert_again(&mut client, &request, StartOutcome::Queued, (&execution, 1)).await;
    withdraw(&mut client, "a", &execution).await.expect("it waits");
    assert_again(&mut client, &request, StartOutcome::Queued, (&execution, 0)).await;
    assert_eq!(super::waiting(&mut client, "a").await, [""; 0]);
}

#[tokio::test]
async fn a_full_queue_is_not_remembered_and_other_content_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    told(&mut client, start("f", "a")).await;
    let first = queued(&mut client, "a", "1").await;
    let request = v1::StartSingletonRequest { max_queue: 1, ..once(ConflictPolicy::Queue, "r") };
    let full = client.start_singleton(request.clone()).await.expect_err("it is full");
    assert_eq!((full.code(), error_info(&full).reason.as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    withdraw(&mut client, "a", &first).await.expect("it waits");
    assert_eq!(told(&mut client, request.clone()).await.outcome(), StartOutcome::Queued);

    let others = [
        v1::StartSingletonRequest { max_queue: 2, ..request.clone() },
        v1::StartSingletonRequest { max_queue: 0, ..request.clone() },
        v1::StartSingletonRequest { input: None, ..request.clone() },
        v1::StartSingletonRequest { conflict_policy: ConflictPolicy::Coalesce.into(), ..request.clone() },
    ];
    for other in others {
        let refused = client.start_singleton(other).await.expect_err("it asks for something else");
        let reason = error_info(&refused).reason;
        assert_eq!((refused.code(), reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    }
}
