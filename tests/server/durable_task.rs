//! Clients and workers of the Durable Task SDKs: other words for the same instances.

mod both;
mod control;
mod history;
mod lists;
mod purges;
mod restart;
mod reuse;
mod sight;
mod starts;
mod waits;
mod workers;

use std::collections::BTreeMap;

use soloist::proto::durable_task::{
    self as pb, OrchestrationStatus, task_hub_sidecar_service_client::TaskHubSidecarServiceClient,
};
use tonic::{Request, Status, transport::Channel};

use crate::{
    leases::assert_accepted,
    support::{RawWorker, Server, start},
};

type Sidecar = TaskHubSidecarServiceClient<Channel>;

async fn sidecar(server: &Server) -> Sidecar {
    TaskHubSidecarServiceClient::new(server.channel().await)
}

fn creation(name: &str, id: &str) -> pb::CreateInstanceRequest {
    pb::CreateInstanceRequest { name: name.into(), instance_id: id.into(), ..Default::default() }
}

async fn create(sidecar: &mut Sidecar, id: &str) {
    let created = sidecar.start_instance(creation("f", id)).await.expect("it is free").into_inner();
    assert_eq!(created.instance_id, id);
}

fn asked(id: &str, payloads: bool) -> pb::GetInstanceRequest {
    pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: payloads }
}

/// The state with its payloads; nothing if there is no such instance.
async fn found(sidecar: &mut Sidecar, id: &str) -> Option<pb::OrchestrationState> {
    let got = sidecar.get_instance(asked(id, true)).await.expect("never NOT_FOUND").into_inner();
    assert_eq!(got.exists, got.orchestration_state.is_some());
    got.orchestration_state
}

async fn state(sidecar: &mut Sidecar, id: &str) -> pb::OrchestrationState {
    found(sidecar, id).await.unwrap_or_else(|| panic!("{id} is there"))
}

async fn terminate(sidecar: &mut Sidecar, id: &str, output: Option<&str>) {
    let request = pb::TerminateRequest { instance_id: id.into(), output: output.map(String::from), recursive: false };
    sidecar.terminate_instance(request).await.expect("always OK");
}

async fn suspend(sidecar: &mut Sidecar, id: &str) -> Result<(), Status> {
    let request = pb::SuspendRequest { instance_id: id.into(), reason: None };
    sidecar.suspend_instance(request).await.map(drop)
}

async fn resume(sidecar: &mut Sidecar, id: &str) -> Result<(), Status> {
    let request = pb::ResumeRequest { instance_id: id.into(), reason: Some("go on".into()) };
    sidecar.resume_instance(request).await.map(drop)
}

async fn raise(sidecar: &mut Sidecar, id: &str, name: &str) -> Result<(), Status> {
    let request = pb::RaiseEventRequest { instance_id: id.into(), name: name.into(), input: None };
    sidecar.raise_event(request).await.map(drop)
}

/// Puts an instance into a status. What runs, completes or fails does so in the hands of a native worker of its own.
async fn become_(server: &Server, sidecar: &mut Sidecar, id: &str, status: OrchestrationStatus) {
    use OrchestrationStatus::{Canceled, Completed, ContinuedAsNew, Failed, Pending, Running, Suspended, Terminated};
    match status {
        Pending => create(sidecar, id).await,
        Suspended => {
            create(sidecar, id).await;
            suspend(sidecar, id).await.expect("it is live");
        }
        Terminated => {
            create(sidecar, id).await;
            terminate(sidecar, id, None).await;
        }
        Running | Completed | Failed => {
            let function = format!("of {id}");
            server.client().await.start_singleton(start(&function, id)).await.expect("it is free");
            let mut worker = RawWorker::join(server, "w", &[&function], 1).await;
            let run = worker.take().await;
            match status {
                Completed => assert_accepted(&worker.complete(&run, "done").await),
                Failed => assert_accepted(&worker.fail(&run, "no", true).await),
                _ => {}
            }
        }
        ContinuedAsNew | Canceled => panic!("no instance has this status"),
    }
    assert_eq!(state(sidecar, id).await.orchestration_status(), status);
}

fn tags(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The message as a request to another task hub.
fn in_hub<T>(hub: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("taskhub", hub.parse().expect("a hub's name"));
    request
}
