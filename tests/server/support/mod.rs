//! The program as a process, callers, and a worker that speaks the protocol by hand.

pub mod process;
pub mod recorder;
pub mod seed;
pub mod worker;

use soloist::proto::v1::{self, orchestration_service_client::OrchestrationServiceClient};
use tonic::{Status, transport::Channel};
use tonic_types::{ErrorInfo, StatusExt};

pub use self::{process::Server, worker::RawWorker};

pub type Client = OrchestrationServiceClient<Channel>;

/// A start of `function` as `id`, everything else left out.
pub fn start(function: &str, id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { function_name: function.into(), instance_id: id.into(), ..Default::default() }
}

/// The current status, with payloads.
pub async fn status(client: &mut Client, id: &str) -> v1::InstanceStatus {
    let request = v1::GetStatusRequest { instance_id: id.into(), include_payloads: true };
    let response = client.get_status(request).await.expect("the instance is there");
    response.into_inner().status.expect("a status")
}

/// Watches until the status is as wanted, and answers it.
pub async fn until(client: &mut Client, id: &str, wanted: impl Fn(&v1::InstanceStatus) -> bool) -> v1::InstanceStatus {
    let request = v1::WatchStatusRequest { instance_id: id.into(), wait_for_start: true, ..Default::default() };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    loop {
        let item = watch.message().await.expect("the watch goes on").expect("the watch does not end");
        if let Some(status) = item.status.filter(|status| wanted(status)) {
            return status;
        }
    }
}

/// The one ErrorInfo of an error.
pub fn error_info(status: &Status) -> ErrorInfo {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}")).clone();
    assert_eq!(info.domain, "soloist");
    info
}
