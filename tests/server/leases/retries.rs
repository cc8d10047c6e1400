//! Failed and lost attempts: which are followed by another one, when, and what is seen of it.

use std::time::{Duration, Instant};

use soloist::proto::v1::{self, RuntimeStatus};

use super::{LONG, assert_accepted, attempts, has_ended, is_running, wire};
use crate::support::{Client, RawWorker, Server, start, status, until};

async fn start_with_retry(client: &mut Client, id: &str, retry: Option<v1::RetryPolicy>) {
    client.start_singleton(v1::StartSingletonRequest { retry, ..start("f", id) }).await.expect("it is free");
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_after_its_backoff_and_runs_on_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let backoff = Duration::from_millis(300);
    let retry = v1::RetryPolicy { max_attempts: 3, initial_backoff: wire(backoff), ..Default::default() };
    start_with_retry(&mut client, "i", Some(retry)).await;
    let request = v1::WatchStatusRequest {
        instance_id: "i".into(),
        from_revision: Some(0),
        until_terminal: true,
        ..Default::default()
    };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();

    let mut run = worker.take().await;
    let mut tokens = vec![run.claim.clone().map(|claim| claim.fencing_token)];
    for attempt in 1..=2_u32 {
        assert_eq!(run.attempt, attempt);
        let failed_at = Instant::now();
        assert_accepted(&worker.fail(&run, &format!("no {attempt}"), false).await);
        let between = status(&mut client, "i").await;
        assert!(is_running(&between), "{between:?}");
        assert_eq!((between.worker.as_str(), between.attempt, between.failure), ("", attempt, None));
        let reason = format!("after attempt {attempt} (Oops: no {attempt})");
        assert!(between.pending_reason.contains(&reason), "{}", between.pending_reason);
        // The next one is not given before its time: 300 ms, then twice as long.
        run = worker.take().await;
        let waited = failed_at.elapsed();
        assert!(waited >= backoff * attempt, "attempt {attempt} was followed after {waited:?}");
        tokens.push(run.claim.clone().map(|claim| claim.fencing_token));
    }
    assert_eq!(run.attempt, 3);
    assert_accepted(&worker.complete(&run, "at last").await);
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    let mut seen = Vec::new();
    while let Some(item) = watch.message().await.expect("a whole stream") {
        let status = item.status.expect("a status");
        seen.push((status.runtime_status(), status.attempt));
    }
    let expected = [
        (RuntimeStatus::Pending, 0),
        (RuntimeStatus::Running, 1),
        (RuntimeStatus::Running, 2),
        (RuntimeStatus::Running, 3),
        (RuntimeStatus::Completed, 3),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_last_failure_is_that_of_the_execution() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;

    // Used up: three attempts, three messages, the last one stands.
    start_with_retry(&mut client, "used up", attempts(3)).await;
    for attempt in 1..=3 {
        let run = worker.take().await;
        assert_accepted(&worker.fail(&run, &format!("no {attempt}"), false).await);
    }
    let failed = until(&mut client, "used up", has_ended).await;
    let failure = failed.failure.clone().expect("it failed");
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("Oops", "no 3"));
    assert_eq!((failure.details.as_str(), failure.non_retriable), ("at line 7", false));
    assert_eq!((failed.runtime_status(), failed.attempt), (RuntimeStatus::Failed, 3));

    // Not to be tried again: whatever attempts are left.
    start_with_retry(&mut client, "hopeless", attempts(3)).await;
    let run = worker.take().await;
    assert_accepted(&worker.fail(&run, "never", true).await);
    let failed = status(&mut client, "hopeless").await;
    let failure = failed.failure.clone().expect("it failed");
    assert_eq!((failed.runtime_status(), failed.attempt, failure.non_retriable), (RuntimeStatus::Failed, 1, true));

    // Given back without having been told to stop: a lost attempt, then the end of them.
    start_with_retry(&mut client, "given back", attempts(2)).await;
    for attempt in 1..=2 {
        let run = worker.take().await;
        assert_eq!(run.attempt, attempt);
        assert_accepted(&worker.give_back(&run).await);
    }
    let failed = status(&mut client, "given back").await;
    let failure = failed.failure.clone().expect("it failed");
    assert_eq!((failed.runtime_status(), failure.error_type.as_str()), (RuntimeStatus::Failed, "WorkerLost"));
    assert_eq!(failure.message, "worker 'w' gave the run back before it had ended (attempt 2)");

    // A failure that was followed by success is none.
    start_with_retry(&mut client, "second try", attempts(2)).await;
    let run = worker.take().await;
    assert_accepted(&worker.fail(&run, "no", false).await);
    let run = worker.take().await;
    assert_accepted(&worker.complete(&run, "yes").await);
    let done = status(&mut client, "second try").await;
    assert_eq!((done.runtime_status(), done.failure), (RuntimeStatus::Completed, None));
}

#[tokio::test]
async fn a_declined_run_is_offered_again_and_is_no_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    start_with_retry(&mut client, "i", attempts(1)).await;
    let declined = worker.run().await;
    assert_accepted(&worker.give_back(&declined).await);
    let resting = status(&mut client, "i").await;
    assert!(resting.pending_reason.contains("its worker declined it"), "{}", resting.pending_reason);
    let run = worker.take().await;
    assert_eq!((declined.attempt, run.attempt), (1, 1));
    assert!(run.claim.as_ref().map(|c| c.fencing_token) > declined.claim.as_ref().map(|c| c.fencing_token));
    assert_accepted(&worker.complete(&run, "done").await);
    assert_eq!(status(&mut client, "i").await.attempt, 1);
}

#[tokio::test]
async fn a_backoff_goes_on_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let backoff = Duration::from_secs(1);
    let retry = v1::RetryPolicy { max_attempts: 2, initial_backoff: wire(backoff), ..Default::default() };
    start_with_retry(&mut client, "i", Some(retry)).await;
    let run = worker.take().await;
    let failed_at = Instant::now();
    assert_accepted(&worker.fail(&run, "no", false).await);
    server.kill();
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let next = worker.run().await;
    assert!(failed_at.elapsed() >= backoff, "after {:?}", failed_at.elapsed());
    assert_eq!(next.attempt, 2);
}
