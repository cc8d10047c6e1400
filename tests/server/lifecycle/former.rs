//! What is known of executions that others have followed.

use soloist::proto::v1::{ConflictPolicy, RuntimeStatus};
use tonic::Code;

use super::{progress, queued, restarted, status_of};
use crate::{
    leases::{LONG, assert_accepted, started, terminated},
    support::{RawWorker, Server, error_info, start, status, value},
};

#[tokio::test]
async fn each_former_execution_is_known_by_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let mut ended = Vec::new();

    let completed = started(&mut client, "i").await.execution_id;
    let run = worker.take().await;
    progress(&mut worker, &run, "half").await;
    assert_accepted(&worker.complete(&run, "done").await);
    ended.push((completed, RuntimeStatus::Completed));

    let failed = restarted(&mut client, "i").await.execution_id;
    let run = worker.take().await;
    assert_accepted(&worker.fail(&run, "no", true).await);
    ended.push((failed, RuntimeStatus::Failed));

    let replaced = started(&mut client, "i").await.execution_id;
    let run = worker.take().await;
    let mut request = start("f", "i");
    request.set_conflict_policy(ConflictPolicy::Replace);
    let pending = client.start_singleton(request).await.expect("it takes the place").into_inner().execution_id;
    ended.push((replaced, RuntimeStatus::Terminated));
    let waiting = queued(&mut client, "i").await.execution_id;
    terminated(&mut client, "i").await;
    ended.push((pending, RuntimeStatus::Terminated));
    worker.cancel().await;
    assert_accepted(&worker.give_back(&run).await);
    let run = worker.take().await;
    assert_eq!(run.execution_id, waiting);

    for kill in [false, true] {
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        for (execution, end) in &ended {
            let former = status_of(&mut client, "i", execution).await.expect("it is known");
            assert_eq!((&former.execution_id, former.runtime_status()), (execution, *end));
            assert!(former.completed_at.is_some() && former.pending_reason.is_empty(), "{former:?}");
            let payloads = [&former.input, &former.output, &former.custom_status];
            let output = (*end == RuntimeStatus::Completed).then(|| "done".to_owned());
            assert_eq!(payloads, [&None, &output, &None], "the output stays a while");
            assert_eq!(former.failure.is_some(), *end == RuntimeStatus::Failed);
        }
        let current = status_of(&mut client, "i", &waiting).await.expect("it runs");
        assert_eq!((current.runtime_status(), &current.execution_id), (RuntimeStatus::Running, &waiting));
        assert_eq!(current.revision, status(&mut client, "i").await.revision);
        let unknown = status_of(&mut client, "i", &"0".repeat(32)).await.expect_err("there is none");
        let info = error_info(&unknown);
        assert_eq!((unknown.code(), info.reason.as_str()), (Code::NotFound, "EXECUTION_NOT_FOUND"));
        assert_eq!(value(&info, "execution_id"), "0".repeat(32));
    }

    // Only so many transitions are kept.
    let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
    for number in 0..64 {
        progress(&mut worker, &run, &number.to_string()).await;
    }
    let forgotten = status_of(&mut client, "i", &ended[0].0).await.expect_err("it is forgotten");
    assert_eq!((forgotten.code(), error_info(&forgotten).reason.as_str()), (Code::NotFound, "EXECUTION_NOT_FOUND"));
}
