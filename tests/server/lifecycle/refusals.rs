//! What can't be done to an instance as it stands, and how it is said.

use soloist::proto::v1;
use tonic::{Code, Status};

use super::{from_now, id_of, suspended};
use crate::{
    leases::{LONG, assert_accepted, started, terminated},
    support::{Client, RawWorker, Server, error_info, start, status, value},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Suspend,
    Resume,
    Restart,
    Purge,
    Terminate,
}

const CALLS: [Call; 5] = [Call::Suspend, Call::Resume, Call::Restart, Call::Purge, Call::Terminate];

async fn call(client: &mut Client, call: Call, id: &str, expected: &str) -> Result<(), Status> {
    let (instance_id, expected_execution_id) = (id.to_owned(), expected.to_owned());
    match call {
        Call::Suspend => {
            let request = v1::SuspendInstanceRequest { instance_id, expected_execution_id, ..Default::default() };
            client.suspend_instance(request).await.map(drop)
        }
        Call::Resume => {
            let request = v1::ResumeInstanceRequest { instance_id, expected_execution_id, ..Default::default() };
            client.resume_instance(request).await.map(drop)
        }
        Call::Restart => {
            let request = v1::RestartInstanceRequest { instance_id, expected_execution_id, ..Default::default() };
            client.restart_instance(request).await.map(drop)
        }
        Call::Purge => {
            let request = v1::PurgeInstanceRequest { instance_id, expected_execution_id };
            client.purge_instance(request).await.map(drop)
        }
        Call::Terminate => {
            let request = v1::TerminateInstanceRequest { instance_id, expected_execution_id, ..Default::default() };
            client.terminate_instance(request).await.map(drop)
        }
    }
}

#[tokio::test]
async fn each_call_says_what_stands_against_it_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 9).await;
    for id in ["running", "suspended", "completed", "terminated"] {
        started(&mut client, id).await;
        let run = worker.take().await;
        match id_of(&run) {
            "suspended" => {
                suspended(&mut client, id).await;
                worker.pace().await;
            }
            "completed" => assert_accepted(&worker.complete(&run, "done").await),
            "terminated" => {
                terminated(&mut client, id).await;
                worker.cancel().await;
            }
            _ => {}
        }
    }
    client.start_singleton(start("nobody's", "pending")).await.expect("it is free");
    let request = v1::StartSingletonRequest { start_at: from_now(3_600_000), ..start("f", "scheduled") };
    client.start_singleton(request).await.expect("it is free");

    let live = ["pending", "scheduled", "running", "suspended"];
    let over = ["completed", "terminated"];
    // Which calls are refused, of which instances, and how.
    type Row<'a> = (&'a [Call], &'a [&'a str], Code, &'a str);
    let table: [Row; 4] = [
        (&CALLS, &["never started"], Code::NotFound, "INSTANCE_NOT_FOUND"),
        (&[Call::Suspend, Call::Resume, Call::Terminate], &over, Code::FailedPrecondition, "INSTANCE_NOT_LIVE"),
        (&[Call::Restart], &live, Code::AlreadyExists, "INSTANCE_ALREADY_RUNNING"),
        (&[Call::Purge], &live, Code::FailedPrecondition, "INSTANCE_STILL_LIVE"),
    ];
    for (calls, ids, code, reason) in table {
        for (what, id) in calls.iter().flat_map(|what| ids.iter().map(move |id| (*what, *id))) {
            let refused = call(&mut client, what, id, "").await.expect_err("it is refused");
            let info = error_info(&refused);
            assert_eq!((refused.code(), info.reason.as_str()), (code, reason), "{what:?} of {id}: {refused:?}");
            assert_eq!(value(&info, "instance_id"), id);
        }
    }
    // Another execution is expected than the one that is there.
    let other = "0".repeat(32);
    for (what, id) in CALLS.iter().flat_map(|what| live.iter().chain(&over).map(move |id| (*what, *id))) {
        let before = status(&mut client, id).await;
        let refused = call(&mut client, what, id, &other).await.expect_err("it is refused");
        let info = error_info(&refused);
        let expected = (Code::FailedPrecondition, "EXECUTION_MISMATCH");
        assert_eq!((refused.code(), info.reason.as_str()), expected, "{what:?} of {id}: {refused:?}");
        assert_eq!(value(&info, "execution_id"), before.execution_id);
        assert_eq!(value(&info, "expected_execution_id"), other);
        assert_eq!(status(&mut client, id).await.revision, before.revision);
    }
    // The one that is there.
    for (what, id) in [
        (Call::Suspend, "running"),
        (Call::Resume, "suspended"),
        (Call::Terminate, "pending"),
        (Call::Restart, "completed"),
        (Call::Purge, "terminated"),
    ] {
        let expected = status(&mut client, id).await.execution_id;
        call(&mut client, what, id, &expected).await.unwrap_or_else(|refused| panic!("{what:?} of {id}: {refused:?}"));
    }
}
