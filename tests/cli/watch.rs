//! Watching.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::program::{PATIENCE, Server};

/// Until the server has somebody who watches. The table has its head before that: a start that came first would be
/// shown as what is there, with its notes.
fn until_watched(server: &Server) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut connection = TcpStream::connect(&server.address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: soloist\r\nConnection: close\r\n\r\n").unwrap();
        let mut metrics = String::new();
        connection.read_to_string(&mut metrics).unwrap();
        if metrics.lines().any(|line| line == "soloist_watchers 1") {
            return;
        }
        assert!(Instant::now() < until, "nobody watches: {metrics}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_watch_shows_each_transition_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let watch = server.beside(&["watch", "nightly", "--wait-for-start", "--until-terminal"]);
    assert!(watch.stdout.next().starts_with("UPDATED "));
    until_watched(&server);
    server.run(&["start", "backup", "nightly"]).ends_with(0);
    assert!(watch.stdout.next().contains("  Pending  "));
    server.run(&["terminate", "nightly", "--reason", "enough"]).ends_with(0);
    assert!(watch.stdout.next().contains("  Terminated  "));
    let done = watch.end().ends_with(0);
    assert_eq!((done.stdout.trim(), done.stderr.as_str()), ("reason  enough", ""));

    let past = server.run(&["watch", "nightly", "--from-revision", "0", "--until-terminal", "--json"]).ends_with(0);
    let items: Vec<Value> = past.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = items.iter().map(|item| [&item["sequence"], &item["status"]["runtimeStatus"]]).collect();
    assert_eq!(seen, [["1", "PENDING"], ["2", "TERMINATED"]]);
}

#[test]
fn a_watch_survives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let address = server.address.clone();
    server.run(&["start", "backup", "nightly"]).ends_with(0);
    let watch = server.beside(&["watch", "nightly", "--until-terminal", "--json"]);
    assert!(watch.stdout.next().contains("\"PENDING\""));

    server.process.signal("KILL");
    drop(server);
    let lost = watch.stderr.next();
    assert!(lost.starts_with("connection lost (") && lost.contains("; resuming after revision 1 in "), "{lost}");

    let server = Server::start("serve", folder.path(), &address);
    server.run(&["terminate", "nightly"]).ends_with(0);
    let last: Value = serde_json::from_str(&watch.stdout.next()).unwrap();
    assert_eq!((&last["sequence"], &last["resync"]), (&"2".into(), &false.into()));
    assert_eq!(last["status"]["runtimeStatus"], "TERMINATED");
    assert_eq!(watch.end().ends_with(0).stdout, "");
}

#[test]
fn a_watch_of_nothing_and_one_that_takes_too_long_fail() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let unknown = server.run(&["watch", "nobody"]).ends_with(1);
    assert!(unknown.stderr.contains("  reason: INSTANCE_NOT_FOUND (NOT_FOUND)\n"), "{unknown:?}");
    let endless = server.run(&["watch", "nobody", "--wait-for-start", "--timeout", "500ms"]).ends_with(1);
    assert_eq!(endless.stderr, "error: the time limit of 500ms is over\n");
}
