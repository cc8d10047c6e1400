//! Many watchers, and slow ones: nobody waits for anybody.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream::FuturesUnordered};
use soloist::proto::v1::{self, RuntimeStatus};
use tonic::Code;

use super::{LONG, Stream, next, of, progress, running, told, watch};
use crate::support::{Client, RawWorker, Server, error_info, start};

#[tokio::test]
async fn a_watcher_that_stops_reading_slows_nobody_and_is_told_of_its_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    // Each item is as large as tags make it, so that soon nothing more fits on the way to who does not read.
    let tags = (0..32).map(|number| (number.to_string(), "x".repeat(256))).collect();
    client.start_singleton(v1::StartSingletonRequest { tags, ..start("f", "i") }).await.expect("it is free");
    let run = worker.take().await;
    // The slow one has a connection of its own, and takes no more than the least window.
    let endpoint = tonic::transport::Endpoint::from_shared(server.address.clone()).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(1 << 16).initial_connection_window_size(1 << 16);
    let channel = endpoint.connect().await.expect("a connection");
    let slow_client = Client::new(channel);
    let mut slow = watch(&slow_client, of("i")).await;
    let mut quick = watch(&client, of("i")).await;
    assert_eq!(next(&mut quick).await.sequence, 2);
    const TRANSITIONS: u64 = 400;
    let began = Instant::now();
    for number in 0..TRANSITIONS {
        progress(&mut worker, &run, number as u32..number as u32 + 1).await;
        let item = next(&mut quick).await;
        assert_eq!((item.sequence, item.resync), (number + 3, false));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "the quick one was slowed: {:?}", began.elapsed());

    // It reads on: what was on the way in order, then word of the gap with the state as it is, then what follows.
    let mut last = next(&mut slow).await.sequence;
    let resync = loop {
        let item = next(&mut slow).await;
        if item.resync {
            break item;
        }
        assert_eq!(item.sequence, last + 1, "no silent gap");
        last = item.sequence;
    };
    assert_eq!(resync.sequence, TRANSITIONS + 2);
    assert!(last + 64 < TRANSITIONS + 2, "it was far behind: {last}");
    worker.complete(&run, "done").await;
    assert_eq!(told(&next(&mut slow).await), (TRANSITIONS + 3, RuntimeStatus::Completed));
}

#[tokio::test]
async fn ten_thousand_watchers_of_one_instance_are_all_told() {
    const CONNECTIONS: usize = 10;
    const WATCHERS: usize = 10_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &LONG);
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&mut client, &mut worker, "i").await;
    let before = server.resident_kib();
    let mut streams: Vec<Stream> = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = server.client().await;
        // In a burst, as after a server's restart.
        let mut opening: FuturesUnordered<_> = (0..WATCHERS / CONNECTIONS).map(|_| watch(&client, of("i"))).collect();
        while let Some(stream) = opening.next().await {
            streams.push(stream);
        }
    }
    for stream in &mut streams {
        assert_eq!(next(stream).await.sequence, 2);
    }
    let each = (server.resident_kib() - before) / WATCHERS as u64;
    println!("{each} KiB of the server for each watcher");
    assert!(each < 48, "{each} KiB of the server for each watcher");

    let began = Instant::now();
    progress(&mut worker, &run, 0..3).await;
    let accepted = began.elapsed();
    worker.complete(&run, "done").await;
    for sequence in 3..=6 {
        for stream in &mut streams {
            let item = next(stream).await;
            assert_eq!((item.sequence, item.resync), (sequence, false));
        }
    }
    println!("the worker was answered within {accepted:?}, all were told within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15), "all were told within {:?}", began.elapsed());
    // They leave, and others find room.
    drop(streams);
    let mut stream = watch(&client, of("i")).await;
    assert_eq!(told(&next(&mut stream).await), (6, RuntimeStatus::Completed));
}

#[tokio::test]
async fn watchers_are_bounded_and_make_room_when_they_leave() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watchers-max", "2"], &LONG);
    let mut client = server.client().await;
    client.start_singleton(start("f", "i")).await.expect("it is free");
    let mut one = watch(&client, of("i")).await;
    let _two = watch(&client, of("i")).await;
    let refused = client.watch_status(of("i")).await.expect_err("there is no room");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::ResourceExhausted, "TOO_MANY"));
    next(&mut one).await;
    drop(one);
    // The server hears of it in a moment.
    loop {
        match client.watch_status(of("i")).await {
            Ok(stream) => break drop(stream),
            Err(refused) => assert_eq!(refused.code(), Code::ResourceExhausted),
        }
    }
}
