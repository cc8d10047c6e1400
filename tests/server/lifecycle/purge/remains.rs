//! What lies in the data folder after a purge.

use std::path::Path;

use soloist::{
    proto::v1,
    store::{
        Store, Table,
        embedded::{Config, Embedded},
    },
};

use super::super::{progress, purged, queued, resumed, suspended, until_free};
use crate::{
    leases::{LONG, assert_accepted, raised, terminated},
    support::{RawWorker, Server, start, status},
};

/// How many rows each table of a folder has that nobody uses now; those without any left out.
fn rows(folder: &Path) -> Vec<(Table, usize)> {
    let store = Embedded::open(Config::new(folder)).expect("the folder is whole");
    let counted = Table::ALL.map(|table| (table, store.scan(table, None, 1_000).expect("rows").len()));
    store.close().expect("a clean end");
    counted.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn nothing_but_the_lease_and_the_requests_and_then_nothing() {
    // What is left, as (table, rows): a lease needs the record; a request needs it too, and has a row of its own.
    let nothing: &[(Table, usize)] = &[];
    let record: &[(Table, usize)] = &[(Table::Record, 1)];
    let requests: &[(Table, usize)] = &[(Table::Record, 1), (Table::Request, 2)];
    for (has_lease, has_requests, left) in
        [(false, false, nothing), (true, false, record), (false, true, requests), (true, true, requests)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
        // Something in every table.
        for (round, policy) in [v1::ConflictPolicy::Fail, v1::ConflictPolicy::Queue].into_iter().enumerate() {
            let request_id = if has_requests { round.to_string() } else { String::new() };
            let mut request = v1::StartSingletonRequest { request_id, input: Some("in".into()), ..start("f", "i") };
            request.set_conflict_policy(policy);
            client.start_singleton(request).await.expect("it is taken");
        }
        let run = worker.take().await;
        let withdrawn = queued(&mut client, "i").await.execution_id;
        let request =
            v1::TerminateInstanceRequest { instance_id: "i".into(), execution_id: withdrawn, ..Default::default() };
        client.terminate_instance(request).await.expect("it waits");
        progress(&mut worker, &run, "half").await;
        raised(&mut client, "i", "e", "1").await;
        worker.event().await;
        assert_accepted(&worker.complete(&run, "done").await);
        let run = worker.take().await;
        suspended(&mut client, "i").await;
        worker.pace().await;
        raised(&mut client, "i", "e", "2").await;
        resumed(&mut client, "i").await;
        worker.pace().await;
        worker.event().await;
        progress(&mut worker, &run, "half").await;
        if has_lease {
            terminated(&mut client, "i").await;
            worker.cancel().await;
        } else {
            assert_accepted(&worker.complete(&run, "done").await);
        }
        purged(&mut client, "i").await;
        let (ended, said) = server.stop().await;
        assert!(ended.success(), "{said}");
        assert_eq!(rows(folder.path()), left, "lease: {has_lease}, requests: {has_requests}");

        // What a server makes of that, and what is left when the lease is over too.
        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let request = v1::GetStatusRequest { instance_id: "i".into(), ..Default::default() };
        client.get_status(request).await.expect_err("it was purged");
        if has_lease {
            let held = run.claim.clone().into_iter().collect();
            let mut worker = RawWorker::come_back(&server, "w", &["f"], 1, held).await;
            worker.cancel().await;
            assert_accepted(&worker.give_back(&run).await);
        }
        assert!(server.stop().await.0.success());
        let left = if has_requests { requests } else { nothing };
        assert_eq!(rows(folder.path()), left, "lease: {has_lease}, requests: {has_requests}");

        // The next life takes the place of what was left.
        let server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        client.start_singleton(start("f", "i")).await.expect("it is free");
        assert_eq!(status(&mut client, "i").await.input, None);
        until_free(&mut client, "i").await;
        assert!(server.stop().await.0.success());
        let requests = if has_requests { vec![(Table::Request, 2)] } else { Vec::new() };
        let expected = [vec![(Table::Record, 1)], requests].concat();
        assert_eq!(rows(folder.path()), expected, "lease: {has_lease}, requests: {has_requests}");
    }
}
