//! RestartInstance: what has ended once more, or anything as another one.

use soloist::proto::{
    durable_task::{self as pb, OrchestrationStatus},
    v1,
};
use tonic::{Code, Status};

use super::{Sidecar, become_, creation, sidecar, state, tags, terminate};
use crate::support::{Server, status};

async fn restart(sidecar: &mut Sidecar, id: &str, as_another: bool) -> Result<String, Status> {
    let request = pb::RestartInstanceRequest { instance_id: id.into(), restart_with_new_instance_id: as_another };
    Ok(sidecar.restart_instance(request).await?.into_inner().instance_id)
}

#[tokio::test]
async fn it_is_the_same_once_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let (mut sidecar, mut client) = (sidecar(&server).await, server.client().await);
    let request = pb::CreateInstanceRequest {
        input: Some("in".into()),
        version: Some("2".into()),
        tags: tags(&[("team", "blue")]),
        ..creation("Greet", "i")
    };
    sidecar.start_instance(request).await.expect("it is free");
    let first = state(&mut sidecar, "i").await;
    let told = |state: &pb::OrchestrationState| {
        (state.name.clone(), state.input.clone(), state.version.clone(), state.tags.clone())
    };
    for has_ended in [false, true] {
        if has_ended {
            terminate(&mut sidecar, "i", Some("out")).await;
        }
        // As another one, whether or not it has ended; it stays as it is.
        let before = state(&mut sidecar, "i").await;
        let other = restart(&mut sidecar, "i", true).await.expect("always");
        assert!(other.len() == 32 && other.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{other}");
        let twin = state(&mut sidecar, &other).await;
        assert_eq!((told(&twin), twin.orchestration_status()), (told(&first), OrchestrationStatus::Pending));
        assert_eq!(status(&mut client, &other).await.runtime_status(), v1::RuntimeStatus::Pending);
        assert_eq!(state(&mut sidecar, "i").await, before);
    }
    assert_eq!(restart(&mut sidecar, "i", false).await.expect("it has ended"), "i");
    let again = state(&mut sidecar, "i").await;
    assert_eq!((told(&again), again.orchestration_status()), (told(&first), OrchestrationStatus::Pending));
    assert!(again.output.is_none() && again.completed_timestamp.is_none() && again.execution_id != first.execution_id);
}

#[tokio::test]
async fn what_is_live_is_not_restarted_as_itself() {
    use OrchestrationStatus::*;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut sidecar = sidecar(&server).await;
    for (id, made) in
        [("a", Pending), ("b", Running), ("c", Suspended), ("d", Completed), ("e", Failed), ("f", Terminated)]
    {
        become_(&server, &mut sidecar, id, made).await;
        let told = restart(&mut sidecar, id, false).await;
        match made {
            Pending | Running | Suspended => {
                let refused = told.expect_err("it is live");
                assert_eq!(refused.code(), Code::FailedPrecondition, "{id}");
            }
            _ => assert_eq!(told.expect("it has ended"), id),
        }
    }
    for (id, code) in [("never", Code::NotFound), ("@counter@1", Code::NotFound), ("", Code::InvalidArgument)] {
        for as_another in [false, true] {
            assert_eq!(restart(&mut sidecar, id, as_another).await.expect_err("nobody").code(), code, "{id}");
        }
    }
}
