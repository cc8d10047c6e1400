//! A first story, and what tools ask a server: health and reflection.

mod drain;
mod health;
mod services;

use soloist::proto::v1::{self, StartOutcome};
use tonic::Code;

use crate::support::{RawWorker, Server, error_info, start, status, until};

#[tokio::test]
async fn a_singleton_from_a_caller_to_the_disk_to_a_worker_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;

    let request = v1::StartSingletonRequest { input: Some("\"in\"".into()), ..start("greet", "a") };
    let started = client.start_singleton(request).await.expect("started").into_inner();
    assert_eq!(started.outcome(), StartOutcome::Started);
    let again = client.start_singleton(start("greet", "a")).await.expect_err("it runs already");
    assert_eq!(again.code(), Code::AlreadyExists);
    assert_eq!(again.message(), "An instance with ID 'a' already exists.");
    assert_eq!(error_info(&again).reason, "INSTANCE_ALREADY_RUNNING");
    let waiting = status(&mut client, "a").await;
    assert_eq!(waiting.pending_reason, "no worker has registered function 'greet'");

    let mut worker = RawWorker::join(&server, "w", &["greet"], 1).await;
    let run = worker.take().await;
    assert_eq!((run.input.as_deref(), run.attempt), (Some("\"in\""), 1));
    worker.complete(&run, "\"out\"").await;
    let done = until(&mut client, "a", |status| status.runtime_status() == v1::RuntimeStatus::Completed).await;
    assert_eq!(done.execution_id, started.execution_id);

    server.stop().await;
    let server = Server::with_long_leases(folder.path());
    let after = status(&mut server.client().await, "a").await;
    assert_eq!((after.input.as_deref(), after.output.as_deref()), (Some("\"in\""), Some("\"out\"")));
    assert_eq!(after.revision, done.revision);
}
