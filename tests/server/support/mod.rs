//! The program as a process, callers, and a worker that speaks the protocol by hand.

pub mod crowd;
pub mod http;
pub mod process;
pub mod recorder;
pub mod seed;
pub mod worker;

use soloist::proto::v1::{self, orchestration_service_client::OrchestrationServiceClient};
use tonic::{Status, transport::Channel};
use tonic_types::{ErrorDetail, ErrorInfo, FieldViolation, StatusExt};

pub use self::{crowd::Crowd, http::Web, process::Server, worker::RawWorker};

pub type Client = OrchestrationServiceClient<Channel>;

/// A start of `function` as `id`, everything else left out.
pub fn start(function: &str, id: &str) -> v1::StartSingletonRequest {
    v1::StartSingletonRequest { function_name: function.into(), instance_id: id.into(), ..Default::default() }
}

/// The current status, with payloads.
pub async fn status(client: &mut Client, id: &str) -> v1::InstanceStatus {
    let request = v1::GetStatusRequest { instance_id: id.into(), include_payloads: true, ..Default::default() };
    let response = client.get_status(request).await.expect("the instance is there");
    *response.into_inner().status.expect("a status")
}

/// Watches until the status is as wanted, and answers it.
pub async fn until(client: &mut Client, id: &str, wanted: impl Fn(&v1::InstanceStatus) -> bool) -> v1::InstanceStatus {
    let request = v1::WatchStatusRequest { instance_id: id.into(), wait_for_start: true, ..Default::default() };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    loop {
        let item = tokio::time::timeout(process::PATIENCE, watch.message()).await;
        let item = item.unwrap_or_else(|_| panic!("{id} did not become what was wanted"));
        let item = item.expect("the watch goes on").expect("the watch does not end");
        if let Some(status) = item.status.filter(|status| wanted(status)) {
            return *status;
        }
    }
}

/// The one ErrorInfo of an error.
pub fn error_info(status: &Status) -> ErrorInfo {
    let mut infos = status.get_error_details_vec().into_iter().filter_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) => Some(info),
        _ => None,
    });
    let info = infos.next().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert!(infos.next().is_none(), "more than one ErrorInfo in {status:?}");
    assert_eq!(info.domain, "soloist");
    info
}

/// The field violations of an error.
pub fn violations(status: &Status) -> Vec<FieldViolation> {
    status.get_error_details().bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default()
}

/// One value of an error's ErrorInfo; empty if it isn't there.
pub fn value<'a>(info: &'a ErrorInfo, key: &str) -> &'a str {
    info.metadata.get(key).map_or("", String::as_str)
}
