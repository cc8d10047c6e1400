//! Server-sent events: what a browser sees, also over restarts.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use soloist::proto::v1::{self, work_request::Message as Say};

use super::INSTANCES;
use crate::support::{RawWorker, Server, Web, process::PATIENCE, start};

/// Transitions that are kept.
const KEPT: u32 = 64;

/// An open stream of events.
struct Events {
    body: Incoming,
    text: String,
}

/// One event, or a comment, by its lines.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
    comment: String,
    retry: String,
}

impl Events {
    async fn open(web: &Web, path: &str, last: Option<&str>) -> Events {
        let headers: Vec<_> = last.iter().map(|last| ("last-event-id", *last)).collect();
        let answer = web.open("GET", path, &headers, "").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"].to_str().unwrap()),
            (200, &"text/event-stream")
        );
        let mut events = Events { body: answer.into_body(), text: String::new() };
        let opening = events.any().await.expect("how long to wait before coming back");
        assert_eq!(opening, Event { retry: "1000".into(), ..Event::default() });
        events
    }

    /// The next event or comment; nothing at the end of the stream.
    async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = Event::parse(event);
                self.text = rest.to_owned();
                return Some(event);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes");
            // However the stream ends, it is over.
            let data = frame?.ok()?.into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }

    async fn next(&mut self) -> Event {
        let event = self.any().await.expect("the stream goes on");
        assert_eq!(event.comment, "", "{event:?}");
        event
    }
}

impl Event {
    fn parse(text: &str) -> Event {
        let mut event = Event::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').expect("a field");
            let value = value.trim_start();
            match field {
                "event" => event.name = value.into(),
                "id" => event.id = value.into(),
                "data" => event.data = serde_json::from_str(value).expect("JSON"),
                "" => event.comment = value.into(),
                "retry" => event.retry = value.into(),
                other => panic!("{other} in {text}"),
            }
        }
        event
    }

    fn sequence(&self) -> u64 {
        self.data["sequence"].as_u64().expect("a number")
    }
}

async fn running(server: &Server, worker: &mut RawWorker, id: &str) -> v1::Run {
    server.client().await.start_singleton(start("f", id)).await.expect("started");
    worker.take().await
}

async fn progress(worker: &mut RawWorker, run: &v1::Run, steps: u32) {
    for step in 0..steps {
        let custom_status = Some(step.to_string());
        worker.ask(Say::Progress(v1::Progress { claim: run.claim.clone(), custom_status })).await;
    }
}

#[tokio::test]
async fn who_comes_back_with_the_last_id_misses_nothing_and_sees_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::with_long_leases(folder.path());
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&server, &mut worker, "i").await;
    let mut events = Events::open(&Web::new(&server), "/v1/instances/i/watch?fromRevision=0", None).await;
    let mut seen = vec![events.next().await, events.next().await];
    for kill in [true, false] {
        progress(&mut worker, &run, 4).await;
        for _ in 0..4 {
            seen.push(events.next().await);
        }
        // A last one that nobody reads.
        progress(&mut worker, &run, 3).await;
        if kill {
            server.kill();
        } else {
            server.stop().await;
        }
        drop(events);
        server = Server::with_long_leases(folder.path());
        worker = RawWorker::come_back(&server, "w", &["f"], 1, run.claim.clone().into_iter().collect()).await;
        progress(&mut worker, &run, 1).await;
        let last = &seen[seen.len() - 1].id;
        // A browser asks for the URL as it was: the header is what counts.
        events = Events::open(&Web::new(&server), "/v1/instances/i/watch?fromRevision=0", Some(last)).await;
        for _ in 0..4 {
            seen.push(events.next().await);
        }
    }
    worker.complete(&run, "1").await;
    seen.push(events.next().await);
    let numbers: Vec<u64> = seen.iter().map(Event::sequence).collect();
    assert_eq!(numbers, (1..=19).collect::<Vec<u64>>());
    assert!(seen.iter().all(|event| event.name == "status" && event.data["resync"] == false), "{seen:?}");
    assert_eq!(seen[18].data["status"]["runtimeStatus"], "Completed");
}

#[tokio::test]
async fn who_was_away_too_long_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let mut worker = RawWorker::join(&server, "w", &["f"], 1).await;
    let run = running(&server, &mut worker, "i").await;
    let mut events = Events::open(&web, "/v1/instances/i/watch", None).await;
    let current = events.next().await;
    assert_eq!((current.name.as_str(), current.sequence()), ("status", 2));
    drop(events);
    progress(&mut worker, &run, KEPT + 2).await;
    let mut events = Events::open(&web, "/v1/instances/i/watch?includePayloads=true", Some(&current.id)).await;
    let resync = events.next().await;
    assert_eq!((resync.name.as_str(), resync.sequence()), ("resync", u64::from(KEPT) + 4));
    assert_eq!(resync.data["status"]["customStatus"], KEPT + 1);
}

#[tokio::test]
async fn a_stream_ends_with_what_it_watches() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let path = "/v1/instances/i/watch?untilTerminal=true&waitForStart=true";
    let mut events = Events::open(&web, path, None).await;
    let mut all = Events::open(&web, "/v1/instances/i/watch?waitForStart=true", None).await;
    web.post("/orchestrators/f/i", "").await;
    web.post(&format!("{INSTANCES}/i/terminate?reason=enough"), "").await;
    assert_eq!(events.next().await.data["status"]["runtimeStatus"], "Pending");
    let last = events.next().await;
    assert_eq!((&last.data["status"]["output"], events.any().await), (&"enough".into(), None));
    // A browser comes back nevertheless: it is told to stay away.
    let again = web.ask("GET", path, &[("last-event-id", &last.id)], "").await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (204, ""));

    web.ask("DELETE", &format!("{INSTANCES}/i"), &[], "").await;
    let seen = [all.next().await.name, all.next().await.name, all.next().await.name];
    assert_eq!((seen, all.any().await), (["status", "status", "purged"].map(String::from), None));
}

/// The ends of lines in a payload are not those of an event, so that simple readers take a line for an event.
#[tokio::test]
async fn a_payload_of_several_lines_is_one_line_of_its_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let input = "{\"a\":\r\n[1,\r2,\n\n\"x\\ndata: y\"]}";
    assert_eq!(web.post("/orchestrators/f/i", input).await.status, 202);
    web.post(&format!("{INSTANCES}/i/terminate"), "").await;
    let all = web.get("/v1/instances/i/watch?untilTerminal=true&includePayloads=true").await;
    let mut data = all.body.split(['\r', '\n']).filter_map(|line| line.strip_prefix("data: "));
    let news: Value = serde_json::from_str(data.next().expect("an event")).expect("JSON");
    assert_eq!(data.next(), None, "{all:?}");
    assert_eq!(news["status"]["input"], serde_json::from_str::<Value>(input).expect("JSON"), "{all:?}");
}

#[tokio::test]
async fn an_idle_stream_says_that_it_is_alive_and_a_drain_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watch-heartbeat", "1s"], &[]);
    let web = Web::new(&server);
    web.post("/orchestrators/f/i", "").await;
    let mut events = Events::open(&web, "/v1/instances/i/watch", None).await;
    assert_eq!(events.next().await.sequence(), 1);
    for _ in 0..2 {
        assert_eq!(events.any().await.expect("a comment").comment, "heartbeat");
    }
    let reader = tokio::spawn(async move {
        let mut last = Event::default();
        while let Some(event) = events.any().await {
            last = event;
        }
        last
    });
    let (ended, said) = server.stop().await;
    assert!(ended.success() && !said.contains("not everybody had left"), "{said}");
    assert!(reader.await.expect("no panic").comment.contains("draining"));
}

#[tokio::test]
async fn what_can_not_be_watched_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--watchers-max", "1"], &[]);
    let web = Web::new(&server);
    let table = [
        ("/v1/instances/missing/watch", "", 404, "INSTANCE_NOT_FOUND"),
        ("/v1/instances/%ff/watch", "", 400, "INVALID_FIELD"),
        ("/v1/instances/i/watch?untilTerminal=soon", "", 400, "INVALID_FIELD"),
        ("/v1/instances/i/watch?fromRevision=-1", "", 400, "INVALID_FIELD"),
        ("/v1/instances/i/watch", "x", 400, "INVALID_FIELD"),
    ];
    for (path, last, code, reason) in table {
        let answer = web.ask("GET", path, &[("last-event-id", last)], "").await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (code, reason), "{path} {last}");
    }
    let _open = Events::open(&web, "/v1/instances/i/watch?waitForStart=true", None).await;
    let crowded = web.get("/v1/instances/i/watch?waitForStart=true").await;
    assert_eq!((crowded.status.as_u16(), crowded.reason().as_str()), (429, "TOO_MANY"));
    assert_eq!(crowded.header("retry-after"), "1");
}
