//! Continued as new is no end: queued starts go on waiting, and who watches the execution sees it go on.

use soloist::proto::v1::{self, RuntimeStatus, StartOutcome};

use super::{after, continue_as_new, item, progress, queued, seen, status_of, token_of, watch, watch_of};
use crate::{
    leases::{LONG, assert_accepted, started},
    support::{RawWorker, Server, status},
};

#[tokio::test]
async fn the_queue_goes_on_waiting_and_the_execution_s_watchers_go_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let first = started(&mut client, "i").await;
    let mut run = worker.take().await;
    let waiting = queued(&mut client, "i").await;
    assert_eq!(waiting.outcome(), StartOutcome::Queued);
    let of_first = |request| v1::WatchStatusRequest { execution_id: first.execution_id.clone(), ..request };
    let mut watching = watch(&mut client, of_first(watch_of("i"))).await;
    assert_eq!(seen(&mut watching).await.execution_id, run.execution_id);

    let (mut executions, mut last_token) = (vec![run.execution_id.clone()], token_of(&run));
    for round in ["1", "2"] {
        continue_as_new(&mut worker, &run, round).await;
        run = worker.take().await;
        assert_eq!((run.input.as_deref(), run.attempt), (Some(round), 1));
        assert!(token_of(&run) > last_token && !executions.contains(&run.execution_id));
        (last_token, executions) = (token_of(&run), [executions, vec![run.execution_id.clone()]].concat());
        let now = status(&mut client, "i").await;
        assert_eq!((now.runtime_status(), now.queued_starts), (RuntimeStatus::Running, 1));
        // Continued, and granted.
        for _ in 0..2 {
            let status = seen(&mut watching).await;
            assert_eq!((&status.execution_id, status.runtime_status()), (&run.execution_id, RuntimeStatus::Running));
        }
    }
    // Whichever of them is asked for, it is what goes on.
    for execution in &executions {
        let followed = status_of(&mut client, "i", execution).await.expect("it goes on");
        assert_eq!((&followed.execution_id, followed.input.as_deref()), (&run.execution_id, Some("2")));
        let request = v1::WatchStatusRequest { execution_id: execution.clone(), ..watch_of("i") };
        let mut late = watch(&mut client, request).await;
        assert_eq!(seen(&mut late).await.execution_id, run.execution_id);
    }
    let mut late = watch(&mut client, of_first(watch_of("i"))).await;
    seen(&mut late).await;
    let mut from_the_beginning = watch(&mut client, of_first(after("i", 0))).await;
    for sequence in 1..=6 {
        assert_eq!(item(&mut from_the_beginning).await.expect("it goes on").sequence, sequence);
    }
    progress(&mut worker, &run, "half").await;
    assert_accepted(&worker.complete(&run, "done").await);
    for watching in [&mut watching, &mut late, &mut from_the_beginning] {
        assert_eq!(seen(watching).await.runtime_status(), RuntimeStatus::Running);
        let done = seen(watching).await;
        assert_eq!((&done.execution_id, done.runtime_status()), (&run.execution_id, RuntimeStatus::Completed));
        assert!(item(watching).await.is_none(), "it ends with the execution");
    }
    // Now the queue's turn has come.
    assert_eq!(worker.take().await.execution_id, waiting.execution_id);
    for execution in &executions {
        let ended = status_of(&mut client, "i", execution).await.expect("it is known");
        assert_eq!((&ended.execution_id, ended.runtime_status()), (&run.execution_id, RuntimeStatus::Completed));
        let request = v1::WatchStatusRequest { execution_id: execution.clone(), ..watch_of("i") };
        let mut late = watch(&mut client, request).await;
        assert_eq!(seen(&mut late).await.runtime_status(), RuntimeStatus::Completed);
        assert!(item(&mut late).await.is_none(), "it has ended");
    }
}
