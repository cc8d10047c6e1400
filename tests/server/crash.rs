//! `kill -9` in full load, again and again over one data folder: nothing that anybody was told is lost.

mod callers;
mod labour;

use std::time::Duration;

use soloist::proto::v1::{self, RuntimeStatus};
use tokio::task::JoinSet;

use self::{
    callers::{Caller, Lost},
    labour::Labourer,
};
use crate::support::{Client, Server, recorder::Recorder, seed::Seed, status};

/// How often the server is killed.
const KILLS: usize = 24;
/// Ids that live through it all, and ids of one round.
const LASTING_IDS: usize = 8;
const FRESH_IDS: usize = 6;
const CALLERS: usize = 12;
const WORKERS: usize = 4;
/// After so many answers at least a server is killed.
const ANSWERS_MIN: u64 = 20;
/// What a last worker has to be given, it is given within this.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anybody_was_told_survives_kill_9_in_full_load() {
    let mut seed = Seed::print("what_anybody_was_told_survives_kill_9_in_full_load");
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::default();
    let lost = Lost::default();
    let mut retried = 0;
    let labourer = |n: usize, seed: &mut Seed| Labourer::new(format!("worker {n}"), recorder.clone(), seed.fork());
    let mut labourers: Vec<Labourer> = (0..WORKERS).map(|n| labourer(n, &mut seed)).collect();
    for round in 0..KILLS {
        let server = Server::start(folder.path());
        // All ids are looked at in the end.
        let of_the_last_round = format!("{} ", round.saturating_sub(1));
        let ids: Vec<String> = recorder.ids();
        let ids = ids.into_iter().filter(|id| id.starts_with("lasting") || id.starts_with(&of_the_last_round));
        check(&server, &recorder, ids.collect()).await;
        let requests = lost.take();
        retried += requests.len();
        for request in requests {
            callers::retry(&mut server.client().await, &recorder, request).await;
        }

        let ids = (0..LASTING_IDS).map(|n| format!("lasting {n}"));
        let ids: Vec<String> = ids.chain((0..FRESH_IDS).map(|n| format!("{round} {n}"))).collect();
        let mut watching = JoinSet::new();
        let watcher = server.client().await;
        for id in &ids {
            watching.spawn(callers::watch(watcher.clone(), recorder.clone(), id.clone()));
        }
        let mut working = JoinSet::new();
        for labourer in labourers.drain(..) {
            working.spawn(labourer.work(server.workers().await));
        }
        let mut calling = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, recorder, lost) = (server.client().await, recorder.clone(), lost.clone());
            calling.spawn(Caller { client, recorder, lost, seed: seed.fork(), ids: ids.clone() }.call());
        }
        // Some servers live long enough for leases to run out.
        let most = if round % 8 == 7 { 2_000 } else { 250 };
        let count = recorder.answers() + ANSWERS_MIN + seed.below(most);
        recorder.until_answers(count).await;
        server.kill();
        while let Some(ended) = watching.join_next().await {
            ended.expect("a watcher saw what it had to see");
        }
        while let Some(ended) = calling.join_next().await {
            ended.expect("a caller was told what it had to be told");
        }
        while let Some(labourer) = working.join_next().await {
            labourers.push(labourer.expect("a worker was told what it had to be told"));
        }
    }

    let server = Server::start(folder.path());
    let ids = recorder.ids();
    println!("{} answers, {} ids, {retried} starts tried again", recorder.answers(), ids.len());
    check(&server, &recorder, ids.clone()).await;
    let mut working = JoinSet::new();
    for mut labourer in labourers {
        labourer.tidy = true;
        working.spawn(labourer.work(server.workers().await));
    }
    for id in &ids {
        let ended = tokio::time::timeout(PATIENCE, until_terminal(server.client().await, id));
        ended.await.unwrap_or_else(|_| panic!("{id} does not end: is an event or a lease lost?"));
    }
    check(&server, &recorder, ids).await;
    server.kill();
    while let Some(labourer) = working.join_next().await {
        labourer.expect("a worker was told what it had to be told");
    }
}

/// Compares what a server knows with what was seen.
async fn check(server: &Server, recorder: &Recorder, ids: Vec<String>) {
    let mut client = server.client().await;
    for id in ids {
        let (from, _) = recorder.position(&id);
        let kept = kept(&mut client, &id, from).await;
        recorder.check(&status(&mut client, &id).await, &kept);
    }
}

/// The transitions after a revision that are there now.
async fn kept(client: &mut Client, id: &str, from: u64) -> Vec<(u64, v1::InstanceStatus)> {
    let watch = |from_revision| v1::WatchStatusRequest { instance_id: id.into(), from_revision, ..Default::default() };
    let mut now = client.watch_status(watch(None)).await.expect("a watch").into_inner();
    let latest = now.message().await.expect("an item").expect("an item").sequence;
    let mut again = client.watch_status(watch(Some(from))).await.expect("a watch").into_inner();
    let mut kept: Vec<(u64, v1::InstanceStatus)> = Vec::new();
    loop {
        let item = again.message().await.expect("an item").expect("an item");
        assert!(!item.resync, "{id}: not kept from revision {from} on: {item:?}");
        kept.push((item.sequence, *item.status.expect("a status")));
        if item.sequence >= latest {
            return kept;
        }
    }
}

async fn until_terminal(mut client: Client, id: &str) {
    let request = v1::WatchStatusRequest { instance_id: id.into(), until_terminal: true, ..Default::default() };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    while let Some(item) = watch.message().await.expect("the server is there") {
        if let Some(status) = item.status {
            assert_ne!(status.runtime_status(), RuntimeStatus::Unspecified);
        }
    }
}
