//! Callers over HTTP and over gRPC, one id, the same moment.

use std::sync::Arc;

use soloist::proto::v1::StartOutcome;
use tokio::{sync::Barrier, task::JoinSet};
use tonic::Code;

use crate::support::{Server, Web, start};

const CALLERS: usize = 200;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

/// What a caller was told: it has won, or that sentence.
type Told = Result<(), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_posts_and_two_hundred_calls_one_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let webs: Vec<_> = (0..CONNECTIONS).map(|_| Web::new(&server)).collect();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.client().await);
    }
    for round in 0..ROUNDS {
        let id = format!("round-{round}");
        let barrier = Arc::new(Barrier::new(2 * CALLERS));
        let mut callers: JoinSet<Told> = JoinSet::new();
        for caller in 0..CALLERS {
            let (web, id_, all) = (webs[caller % CONNECTIONS].clone(), id.clone(), barrier.clone());
            callers.spawn(async move {
                all.wait().await;
                let answer = web.post(&format!("/orchestrators/race/{id_}"), "").await;
                match answer.status.as_u16() {
                    202 => Ok(()),
                    409 => Err(answer.body),
                    code => panic!("{code}: {}", answer.body),
                }
            });
            let (mut client, id, all) = (clients[caller % CONNECTIONS].clone(), id.clone(), barrier.clone());
            callers.spawn(async move {
                all.wait().await;
                match client.start_singleton(start("race", &id)).await {
                    Ok(answer) => {
                        assert_eq!(answer.into_inner().outcome(), StartOutcome::Started);
                        Ok(())
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::AlreadyExists);
                        Err(status.message().to_owned())
                    }
                }
            });
        }
        let told = callers.join_all().await;
        assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1, "round {round}");
        let sentence = format!("An instance with ID '{id}' already exists.");
        assert!(told.iter().filter_map(|told| told.as_ref().err()).all(|heard| *heard == sentence), "{told:?}");
    }
}
