//! A backup of a server in full load.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use soloist::proto::v1::{GetStatusRequest, InstanceStatus, StartSingletonRequest, TerminateInstanceRequest};
use tokio::{sync::watch, task::JoinSet};

use super::{back_up, serve_restored};
use crate::support::{Client, Server, start};

/// Callers at a time.
const CALLERS: usize = 300;
const CONNECTIONS: usize = 4;
/// So many instances are as their callers want them before the backup begins.
const INSTANCES_MIN: usize = 2_000;

/// What the callers were told, each of an instance that nobody changes any more.
#[derive(Clone, Default)]
struct Told {
    statuses: Arc<Mutex<Vec<InstanceStatus>>>,
    count: watch::Sender<usize>,
}

impl Told {
    fn add(&self, status: InstanceStatus) {
        self.statuses.lock().expect("nobody panics with it").push(status);
        self.count.send_modify(|count| *count += 1);
    }

    async fn until(&self, count: usize) {
        self.count.subscribe().wait_for(|told| *told >= count).await.expect("the sender is there");
    }
}

/// Starts one instance after the other, and ends every other one.
async fn call(mut client: Client, caller: usize, told: Told, enough: Arc<AtomicBool>) {
    let mut n = 0;
    while !enough.load(Ordering::Relaxed) {
        let id = format!("{caller} {n}");
        let request = StartSingletonRequest { input: Some(format!("\"{id}\"")), ..start("work", &id) };
        let started = client.start_singleton(request).await.expect("started").into_inner();
        let status = if n % 2 == 0 {
            started.status
        } else {
            let request = TerminateInstanceRequest { instance_id: id, ..Default::default() };
            client.terminate_instance(request).await.expect("it is live").into_inner().status
        };
        told.add(*status.expect("a status"));
        n += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_in_full_load_holds_all_that_was_acknowledged_before_it() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(&home.path().join("original"));
    let (told, enough) = (Told::default(), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.client().await);
    }
    let mut calling = JoinSet::new();
    for caller in 0..CALLERS {
        calling.spawn(call(clients[caller % CONNECTIONS].clone(), caller, told.clone(), enough.clone()));
    }
    told.until(INSTANCES_MIN).await;
    let acknowledged = told.statuses.lock().expect("nobody panics with it").clone();
    let backup = back_up(&server).await.expect("a backup");
    enough.store(true, Ordering::Relaxed);
    while let Some(ended) = calling.join_next().await {
        ended.expect("nobody was told anything wrong");
    }
    let all = told.statuses.lock().expect("nobody panics with it").len();
    println!("{} of {all} instances before the backup of {} bytes", acknowledged.len(), backup.len());
    assert!(all > acknowledged.len(), "there was load while it was made");
    assert!(server.stop().await.0.success());

    let server = serve_restored(&backup, home.path(), "restored", &[]);
    let mut client = server.client().await;
    for expected in acknowledged {
        let id = expected.instance_id.clone();
        let request = GetStatusRequest { instance_id: id.clone(), include_payloads: true, ..Default::default() };
        let found = client.get_status(request).await.unwrap_or_else(|status| panic!("{id}: {status:?}"));
        let found = found.into_inner().status.expect("a status");
        assert_eq!(found.input, Some(format!("\"{id}\"")));
        assert_eq!(
            (found.runtime_status(), found.execution_id, found.revision, found.completed_at),
            (expected.runtime_status(), expected.execution_id.clone(), expected.revision, expected.completed_at),
        );
    }
}
