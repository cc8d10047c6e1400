//! Watchers of an id that is purged: they are told, and nobody mistakes the next life for the former one.

use soloist::proto::v1::{self, RuntimeStatus, WatchStatusRequest};
use tonic::Code;

use super::super::{after, item, purged, seen, watch, watch_of};
use crate::{
    leases::{LONG, assert_accepted, started, terminated},
    support::{RawWorker, Server, error_info, status},
};

#[tokio::test]
async fn a_purge_is_the_last_that_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let execution_id = started(&mut client, "i").await.execution_id;
    let mut watching = watch(&mut client, watch_of("i")).await;
    let mut from_the_beginning = watch(&mut client, after("i", 0)).await;
    let of_execution = WatchStatusRequest { execution_id, ..watch_of("i") };
    let mut of_execution = watch(&mut client, of_execution).await;
    terminated(&mut client, "i").await;
    for watching in [&mut watching, &mut from_the_beginning, &mut of_execution] {
        assert_eq!(seen(watching).await.runtime_status(), RuntimeStatus::Pending);
        assert_eq!(seen(watching).await.runtime_status(), RuntimeStatus::Terminated);
    }
    assert!(item(&mut of_execution).await.is_none(), "it ends with the execution");
    let mut late = watch(&mut client, watch_of("i")).await;
    let last = seen(&mut late).await;
    purged(&mut client, "i").await;
    for watching in [&mut watching, &mut from_the_beginning, &mut late] {
        let item = item(watching).await.expect("the word of the purge");
        assert_eq!((item.purged, item.resync, item.sequence), (true, false, 2));
        assert_eq!(item.status.as_deref(), Some(&last));
        assert!(super::super::item(watching).await.is_none(), "nothing follows");
    }
}

#[tokio::test]
async fn the_next_life_is_not_taken_for_the_former_one() {
    for (kill, remembered) in [(false, false), (true, false), (false, true), (true, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(folder.path(), &[], &LONG);
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
        let mut request = crate::support::start("f", "i");
        request.request_id = if remembered { "once".into() } else { String::new() };
        client.start_singleton(request).await.expect("it is free");
        let run = worker.take().await;
        assert_accepted(&worker.complete(&run, "done").await);
        let former = status(&mut client, "i").await.revision;
        purged(&mut client, "i").await;
        if kill {
            server.kill();
            server = Server::start_with(folder.path(), &[], &LONG);
            client = server.client().await;
        }

        // While there is none, it is not found, or waited for.
        for request in [watch_of("i"), after("i", 0), after("i", former)] {
            let gone = client.watch_status(request).await.expect_err("it was purged");
            assert_eq!((gone.code(), error_info(&gone).reason.as_str()), (Code::NotFound, "INSTANCE_NOT_FOUND"));
        }
        let waiting = |request| WatchStatusRequest { wait_for_start: true, include_payloads: true, ..request };
        let mut new = watch(&mut client, waiting(watch_of("i"))).await;
        let mut from_the_beginning = watch(&mut client, waiting(after("i", 0))).await;
        let mut from_the_former = watch(&mut client, waiting(after("i", former))).await;
        let next = client
            .start_singleton(v1::StartSingletonRequest { input: Some("in".into()), ..crate::support::start("g", "i") })
            .await
            .expect("it is free")
            .into_inner();
        for watching in [&mut new, &mut from_the_beginning] {
            let item = item(watching).await.expect("it is started");
            assert_eq!((item.sequence, item.resync, item.purged), (1, false, false));
            assert_eq!(item.status.expect("a status").execution_id, next.execution_id);
        }
        // What it had seen is over: it is told to start afresh, with the state as it is.
        let mut from_the_former_later = watch(&mut client, waiting(after("i", former))).await;
        for watching in [&mut from_the_former, &mut from_the_former_later] {
            let item = item(watching).await.expect("it is started");
            assert_eq!((item.sequence, item.resync, item.purged), (1, true, false));
            let status = item.status.expect("a status");
            assert_eq!((&status.execution_id, status.input.as_deref()), (&next.execution_id, Some("in")));
        }
        terminated(&mut client, "i").await;
        for watching in [&mut new, &mut from_the_beginning, &mut from_the_former, &mut from_the_former_later] {
            let item = item(watching).await.expect("it goes on");
            assert_eq!((item.sequence, item.resync), (2, false));
        }
    }
}
