//! A purge deletes what has ended; its lease and its remembered requests outlast it.

mod life;
mod remains;
mod watchers;

use soloist::proto::v1::{self, StartOutcome};
use tonic::Code;

use super::purged;
use crate::{
    leases::{LONG, terminated},
    support::{Client, RawWorker, Server, error_info, start},
};

async fn ask(client: &mut Client, request_id: &str, input: &str) -> Result<v1::StartSingletonResponse, tonic::Status> {
    let (request_id, input) = (request_id.into(), Some(input.into()));
    let request = v1::StartSingletonRequest { request_id, input, ..start("f", "i") };
    client.start_singleton(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn requests_are_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let first = ask(&mut client, "once", "1").await.expect("it is free");
    terminated(&mut client, "i").await;
    purged(&mut client, "i").await;
    for kill in [false, true] {
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }
        let again = ask(&mut client, "once", "1").await.expect("it was accepted");
        assert_eq!((again.outcome(), again.first_outcome()), (StartOutcome::Deduplicated, StartOutcome::Started));
        assert_eq!((&again.execution_id, again.queue_position), (&first.execution_id, 0));
        assert_eq!(again.status, None, "it was purged");
        let reused = ask(&mut client, "once", "2").await.expect_err("it asks for something else");
        assert_eq!((reused.code(), error_info(&reused).reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
        let request = v1::GetStatusRequest { instance_id: "i".into(), ..Default::default() };
        let gone = client.get_status(request).await.expect_err("it was purged");
        assert_eq!((gone.code(), error_info(&gone).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
    }
    // In the id's next life they are remembered too, and what was done then is not done again.
    let second = ask(&mut client, "twice", "1").await.expect("it is free");
    assert_eq!(second.outcome(), StartOutcome::Started);
    let again = ask(&mut client, "once", "1").await.expect("it was accepted");
    assert_eq!((again.outcome(), &again.execution_id), (StartOutcome::Deduplicated, &first.execution_id));
    assert_eq!(again.status.map(|status| status.execution_id).as_ref(), Some(&second.execution_id));
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    assert_eq!(worker.take().await.execution_id, second.execution_id);
}
