//! Callers of both APIs at one id.

use soloist::proto::{durable_task::OrchestrationStatus, v1::StartOutcome};
use tonic::Code;

use super::{creation, sidecar, state};
use crate::support::{Crowd, Server, start, status};

const CALLERS: usize = 200;
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_starters_at_two_doors_one_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let crowd = Crowd::gather(&server, CALLERS, CONNECTIONS).await;
    let mut sidecars = Vec::new();
    for _ in 0..CONNECTIONS {
        sidecars.push(sidecar(&server).await);
    }
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let told = crowd.at_once(|caller, mut client| {
            let (mut sidecar, id) = (sidecars[caller % CONNECTIONS].clone(), id.clone());
            async move {
                if caller % 2 == 0 {
                    let started = client.start_singleton(start("native", &id)).await?.into_inner();
                    assert_eq!(started.outcome(), StartOutcome::Started);
                    return Ok("native");
                }
                sidecar.start_instance(creation("durable", &id)).await.map(|_| "durable")
            }
        });
        let (mut won, mut refused) = (Vec::new(), 0);
        for told in told.await {
            match told {
                Ok(name) => won.push(name),
                Err(status) => {
                    assert_eq!(status.code(), Code::AlreadyExists);
                    refused += 1;
                }
            }
        }
        assert_eq!((won.len(), refused), (1, CALLERS - 1), "round {round}");
        let seen = state(&mut sidecars[0], &id).await;
        assert_eq!((seen.name.as_str(), seen.orchestration_status()), (won[0], OrchestrationStatus::Pending));
        let native = status(&mut server.client().await, &id).await;
        assert_eq!((native.function_name, Some(native.execution_id)), (won[0].into(), seen.execution_id));
    }
}
