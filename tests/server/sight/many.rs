//! Many instances on one stream: how they stand, every transition after that, and word where some were missed.

use std::collections::BTreeMap;

use soloist::proto::v1::{
    self, RuntimeStatus, WatchInstancesResponse, watch_instances_request::Selector, work_request::Message as Say,
};
use tonic::{Code, Status, Streaming};

use super::{completed, terminate};
use crate::support::{Client, RawWorker, Server, error_info, process::PATIENCE, start};

type Stream = Streaming<WatchInstancesResponse>;

async fn try_watch(client: &Client, selector: Selector) -> Result<Stream, Status> {
    let request = v1::WatchInstancesRequest { selector: Some(selector) };
    Ok(client.clone().watch_instances(request).await?.into_inner())
}

async fn watch(client: &Client, selector: Selector) -> Stream {
    try_watch(client, selector).await.expect("a watch")
}

fn these(ids: &[&str]) -> Selector {
    Selector::InstanceIds(v1::InstanceIds { ids: ids.iter().map(|id| (*id).into()).collect() })
}

fn with_prefix(prefix: &str) -> Selector {
    Selector::InstanceIdPrefix(prefix.into())
}

fn of_function(function: &str) -> Selector {
    Selector::FunctionName(function.into())
}

async fn comes(stream: &mut Stream) -> Result<Option<WatchInstancesResponse>, Status> {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("something comes")
}

async fn next(stream: &mut Stream) -> WatchInstancesResponse {
    loop {
        let item = comes(stream).await.expect("the watch goes on").expect("it does not end");
        if !item.heartbeat {
            return item;
        }
    }
}

/// What an item with a status tells.
fn told(item: &WatchInstancesResponse) -> (String, u64, RuntimeStatus) {
    let status = item.status.as_ref().unwrap_or_else(|| panic!("no status in {item:?}"));
    (status.instance_id.clone(), item.sequence, status.runtime_status())
}

/// How things stand, up to `synced`: one item each.
async fn snapshot(stream: &mut Stream) -> BTreeMap<String, (u64, RuntimeStatus)> {
    let mut found = BTreeMap::new();
    loop {
        let item = next(stream).await;
        if item.synced {
            return found;
        }
        let (id, sequence, status) = told(&item);
        assert!(found.insert(id, (sequence, status)).is_none(), "{item:?} comes twice");
    }
}

fn standing(of: &[(&str, u64, RuntimeStatus)]) -> BTreeMap<String, (u64, RuntimeStatus)> {
    of.iter().map(|(id, sequence, status)| ((*id).into(), (*sequence, *status))).collect()
}

#[tokio::test]
async fn ids_are_watched_from_before_their_start_over_their_purge() {
    use RuntimeStatus::{Completed, Pending, Running};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    completed(&mut client, &mut worker, "old").await;
    // Two streams, of which one watches more; an id named twice counts once.
    let mut few = watch(&client, these(&["new"])).await;
    let mut more = watch(&client, these(&["new", "old", "new", "never"])).await;
    assert_eq!(snapshot(&mut few).await, standing(&[]));
    assert_eq!(snapshot(&mut more).await, standing(&[("old", 3, Completed)]));

    let life = [("new".into(), 1, Pending), ("new".into(), 2, Running), ("new".into(), 3, Completed)];
    completed(&mut client, &mut worker, "new").await;
    for expected in &life {
        assert_eq!(told(&next(&mut few).await), *expected);
        assert_eq!(told(&next(&mut more).await), *expected);
    }
    // Nobody watches this one.
    completed(&mut client, &mut worker, "other").await;
    let purge = v1::PurgeInstanceRequest { instance_id: "new".into(), ..Default::default() };
    client.purge_instance(purge).await.expect("it has ended");
    completed(&mut client, &mut worker, "new").await;
    for stream in [&mut few, &mut more] {
        let item = next(stream).await;
        assert_eq!((item.purged, told(&item)), (true, life[2].clone()));
        // A new life of the id: it is numbered anew.
        for expected in &life {
            let item = next(stream).await;
            assert_eq!((item.purged, told(&item)), (false, expected.clone()));
        }
    }
}

#[tokio::test]
async fn a_prefix_and_a_function_mean_those_that_come_later_too() {
    use RuntimeStatus::{Completed, Pending, Terminated};
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    completed(&mut client, &mut worker, "a-1").await;
    client.start_singleton(start("g", "a-2")).await.expect("it is free");
    client.start_singleton(start("g", "b-1")).await.expect("it is free");
    let mut elsewhere = tonic::Request::new(start("g", "a-elsewhere"));
    elsewhere.metadata_mut().insert("taskhub", "other".parse().expect("a hub"));
    client.start_singleton(elsewhere).await.expect("it is free");

    let mut all = watch(&client, with_prefix("")).await;
    let mut of_a = watch(&client, with_prefix("a-")).await;
    let mut of_f = watch(&client, of_function("f")).await;
    let mut of_g = watch(&client, of_function("g")).await;
    let (one, two, three) = (("a-1", 3, Completed), ("a-2", 1, Pending), ("b-1", 1, Pending));
    assert_eq!(snapshot(&mut all).await, standing(&[one, two, three]));
    assert_eq!(snapshot(&mut of_a).await, standing(&[one, two]));
    assert_eq!(snapshot(&mut of_f).await, standing(&[one]));
    assert_eq!(snapshot(&mut of_g).await, standing(&[two, three]));

    client.start_singleton(start("g", "a-3")).await.expect("it is free");
    terminate(&mut client, "b-1").await;
    // It becomes one of `g`.
    client.start_singleton(start("g", "a-1")).await.expect("it has ended");
    let news = |id: &str, sequence, status| (id.to_string(), sequence, status);
    let expected = [news("a-3", 1, Pending), news("b-1", 2, Terminated), news("a-1", 4, Pending)];
    for expected in &expected {
        assert_eq!(told(&next(&mut all).await), *expected);
        assert_eq!(told(&next(&mut of_g).await), *expected);
    }
    for expected in expected.iter().filter(|(id, ..)| id.starts_with('a')) {
        assert_eq!(told(&next(&mut of_a).await), *expected);
    }
    // Whoever watches `f` sees it leave, and nothing of it after that.
    let left = next(&mut of_f).await;
    assert_eq!(told(&left), expected[2]);
    assert_eq!(left.status.expect("its status").function_name, "g");
    terminate(&mut client, "a-1").await;
    completed(&mut client, &mut worker, "later").await;
    assert_eq!(told(&next(&mut of_f).await), news("later", 1, Pending));
}

/// So many transitions more, many at a time.
async fn progress(worker: &mut RawWorker, run: &v1::Run, transitions: usize) {
    const AT_A_TIME: usize = 200;
    for _ in 0..transitions / AT_A_TIME {
        for _ in 0..AT_A_TIME {
            let custom_status = Some("further".into());
            worker.say(Say::Progress(v1::Progress { claim: run.claim.clone(), custom_status })).await;
        }
        for _ in 0..AT_A_TIME {
            let heard = worker.hear().await;
            assert!(matches!(heard, v1::work_response::Message::Accepted(_)), "{heard:?}");
        }
    }
}

/// Two watchers that do not take what comes: they are told so, and then how things stand; from there on they miss
/// nothing.
#[tokio::test]
async fn a_watcher_that_falls_behind_starts_afresh() {
    const TRANSITIONS: usize = 12_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["f"], 10).await;
    completed(&mut client, &mut worker, "quiet").await;
    client.start_singleton(start("f", "busy")).await.expect("it is free");
    let run = worker.take().await;
    let mut streams = Vec::new();
    for selector in [these(&["busy", "quiet", "never"]), with_prefix("")] {
        let mut stream = watch(&server.narrow_client().await, selector).await;
        let found = snapshot(&mut stream).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["busy", "quiet"]);
        streams.push((stream, found["busy"].0));
    }
    progress(&mut worker, &run, TRANSITIONS).await;
    worker.complete(&run, "out").await;
    let end = (TRANSITIONS as u64 + 3, RuntimeStatus::Completed);
    let mut afresh = Vec::new();
    for (mut stream, mut sequence) in streams {
        loop {
            let item = next(&mut stream).await;
            if item.resync {
                assert_eq!(item, WatchInstancesResponse { resync: true, ..Default::default() });
                break;
            }
            assert_eq!(item.sequence, sequence + 1, "no gap before it is told of one");
            sequence = item.sequence;
        }
        assert!(sequence < end.0, "some are missing");
        let found = snapshot(&mut stream).await;
        assert_eq!(found, standing(&[("busy", end.0, end.1), ("quiet", 3, RuntimeStatus::Completed)]));
        afresh.push(stream);
    }
    client.start_singleton(start("unserved", "quiet")).await.expect("it has ended");
    for stream in &mut afresh {
        assert_eq!(told(&next(stream).await), ("quiet".into(), 4, RuntimeStatus::Pending), "what follows");
    }
}

/// Instances begin, change and are purged while the watcher looks at more than a page of them: nothing is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_it_looks_is_not_missed() {
    const BEFORE: usize = 2_500;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let client = server.client().await;
    let begin = |prefix: &'static str, n: usize| {
        let mut client = client.clone();
        async move { client.start_singleton(start("f", &format!("{prefix}-{n}"))).await.expect("it is free") }
    };
    futures_util::future::join_all((0..BEFORE).map(|n| begin("old", n))).await;
    let writing = {
        let mut client = server.client().await;
        tokio::spawn(async move {
            for n in (0..BEFORE).rev().step_by(5) {
                terminate(&mut client, &format!("old-{n}")).await;
                client.start_singleton(start("f", &format!("new-{n}"))).await.expect("it is free");
                if n % 2 == 0 {
                    let purge = v1::PurgeInstanceRequest { instance_id: format!("old-{n}"), ..Default::default() };
                    client.purge_instance(purge).await.expect("it has ended");
                    client.start_singleton(start("f", &format!("old-{n}"))).await.expect("it is free");
                }
            }
            client.start_singleton(start("f", "last")).await.expect("it is free");
        })
    };
    let mut stream = watch(&server.client().await, with_prefix("")).await;
    let mut known: BTreeMap<String, v1::InstanceStatus> = BTreeMap::new();
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    let mut is_synced = false;
    loop {
        let item = next(&mut stream).await;
        assert!(!item.resync, "it keeps up");
        if item.synced {
            assert!(!is_synced, "once");
            is_synced = true;
            continue;
        }
        let status = *item.status.expect("a status");
        let id = status.instance_id.clone();
        if item.purged {
            known.remove(&id);
            assert!(sequences.remove(&id).is_none_or(|before| before == item.sequence), "no gap before the purge");
            continue;
        }
        match sequences.insert(id.clone(), item.sequence) {
            Some(before) => assert_eq!(item.sequence, before + 1, "{id}: no gap, nothing twice"),
            None if is_synced => assert_eq!(item.sequence, 1, "{id}: from its beginning"),
            None => {}
        }
        known.insert(id.clone(), status);
        if id == "last" && is_synced {
            break;
        }
    }
    writing.await.expect("the writer does not panic");
    let mut client = server.client().await;
    let there = super::list(&mut client, v1::InstanceFilter::default(), 1_000).await;
    assert_eq!(known.len(), there.len());
    for status in there {
        let seen = &known[&status.instance_id];
        assert_eq!((seen.revision, seen.runtime_status()), (status.revision, status.runtime_status()));
    }
}

#[tokio::test]
async fn one_stream_takes_one_place_and_gives_it_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watchers-max", "2", "--lease", "5m"], &[]);
    let client = server.client().await;
    let one = watch(&client, these(&["a", "b", "c"])).await;
    let _two = watch(&client, with_prefix("")).await;
    let refused = try_watch(&client, of_function("f")).await.expect_err("there is no room");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::ResourceExhausted, "TOO_MANY"));
    drop(one);
    // The server hears of it in a moment.
    while let Err(refused) = try_watch(&client, of_function("f")).await {
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }
}

/// Half a kilobyte is promised. So many streams that what one look takes for a moment does not matter.
#[tokio::test]
async fn a_further_id_on_a_stream_takes_little() {
    const STREAMS: usize = 200;
    const IDS: usize = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let client = server.client().await;
    let mut opened = Vec::new();
    let mut open = async |ids: usize| {
        for stream in 0..STREAMS {
            let ids = (0..ids).map(|n| format!("an-id-of-usual-length-{stream}-{n}")).collect();
            let mut stream = watch(&client, Selector::InstanceIds(v1::InstanceIds { ids })).await;
            assert!(next(&mut stream).await.synced);
            opened.push(stream);
        }
        server.resident_kib()
    };
    let (first, one_each, many_each) = (open(1).await, open(1).await, open(IDS).await);
    let streams = one_each.saturating_sub(first);
    let each = (many_each.saturating_sub(one_each).saturating_sub(streams) << 10) / (STREAMS * IDS) as u64;
    println!("{each} bytes of the server for each further id");
    assert!(each <= 512, "{each} bytes of the server for each further id");
}

#[tokio::test]
async fn a_drain_ends_the_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let client = server.client().await;
    let mut stream = watch(&client, with_prefix("")).await;
    assert!(next(&mut stream).await.synced);
    server.signal("TERM");
    let ended = comes(&mut stream).await.expect_err("it ends");
    assert_eq!((ended.code(), error_info(&ended).reason.as_str()), (Code::Unavailable, "DRAINING"));
    let (status, said) = server.wait().await;
    assert!(status.success(), "{said}");
}
