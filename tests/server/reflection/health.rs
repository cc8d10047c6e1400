//! What load balancers ask: is it serving, and what of.

use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::Server;

/// All that have a health of their own; the empty name is the server as a whole.
pub const SERVICES: [&str; 5] = [
    "",
    "soloist.v1.OrchestrationService",
    "soloist.v1.WorkerService",
    "soloist.v1.MaintenanceService",
    "TaskHubSidecarService",
];

pub fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn each_service_says_that_it_serves_and_an_unknown_one_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut health = HealthClient::new(server.channel().await);
    for service in SERVICES {
        let checked = health.check(of(service)).await.expect("it is known").into_inner();
        assert_eq!(checked.status(), ServingStatus::Serving, "{service}");
        let mut watch = health.watch(of(service)).await.expect("it is known").into_inner();
        let first = watch.message().await.expect("an item").expect("an item");
        assert_eq!(first.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(of("soloist.v1.Nobody")).await.expect_err("it is not known");
    assert_eq!(unknown.code(), Code::NotFound);
}
