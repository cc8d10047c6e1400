//! `soloist serve`: its configuration, and its end.

use std::{fs, net::TcpStream};

use soloist::client::Client;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::program::{Running, Server, run, soloist};

#[test]
fn the_printed_configuration_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("soloist.toml");
    let path = file.to_str().unwrap();
    let mut first = soloist(&["serve", "--print-config", "--listen", "127.0.0.1:0", "--payload-bytes-max", "2MiB"]);
    let first = Running::start(first.env("SOLOIST_LEASE", "1m 30s").env("SOLOIST_MAX_CONNECTION_AGE", "1h")).end();
    let first = first.ends_with(0);
    for line in ["listen = \"127.0.0.1:0\"", "lease = \"1m 30s\"", "max-connection-age = \"1h\"", "log = \"info\""] {
        assert!(first.stdout.lines().any(|printed| printed == line), "{line} in {first:#?}");
    }
    fs::write(&file, &first.stdout).unwrap();
    let second = run(&["serve", "--print-config", "--config", path]).ends_with(0);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(run(&["dev", "--print-config", "--config", path]).ends_with(0).stdout, first.stdout);
}

#[test]
fn wrong_settings_are_all_named() {
    let mut serve = soloist(&["serve", "--workers-max", "0"]);
    let done = Running::start(serve.env("SOLOIST_LEASE", "2h")).end().ends_with(2);
    let expected = "\
error: the value '2h' of lease, from the variable SOLOIST_LEASE, is not allowed: it must be a duration from 1s to 1h, \
with its unit, such as 1h 30m
the value '0' of workers-max, from the flag --workers-max, is not allowed: it must be a whole number from 1 to 1000000
";
    assert_eq!(done.stderr, expected);
}

#[test]
fn a_second_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().to_str().unwrap();
    let same_port = run(&["serve", "--listen", &server.address, "--data-dir", elsewhere]).ends_with(1);
    assert!(same_port.stderr.contains(&format!("can't listen on {}", server.address)), "{same_port:?}");
    let same_folder = ["serve", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let same_folder = run(&same_folder).ends_with(1);
    assert!(same_folder.stderr.contains("in use by another server"), "{same_folder:?}");
}

#[test]
fn sigterm_drains_and_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let address = server.address.clone();
    let started = server.run(&["start", "backup", "nightly"]).ends_with(0);
    let watch = server.beside(&["watch", "nightly"]);
    watch.stdout.until("  Pending  ");
    server.process.signal("TERM");
    server.process.end().ends_with(0);
    assert!(watch.stderr.next().contains("the server is draining"));

    let server = Server::start("serve", folder.path(), &address);
    let status = server.run(&["status", "nightly"]).ends_with(0);
    assert_eq!(status.row("execution"), started.row("execution"));
}

/// Such a watch once went on for as long as the drain might take, and the drain with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_watch_of_the_health_does_not_hold_up_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let client = Client::connect(&server.address).await.unwrap();
    let whole_server = HealthCheckRequest::default();
    let mut watch = HealthClient::new(client.channel()).watch(whole_server).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.process.signal("TERM");
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watch.message().await.unwrap(), None);
    tokio::task::block_in_place(|| server.process.end()).ends_with(0);
}

/// A connection that says nothing holds up a drain for as long as it may take, 30 s.
#[test]
fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let _silent = TcpStream::connect(&server.address).unwrap();
    server.run(&["health"]).ends_with(0);
    server.process.signal("TERM");
    server.process.stderr.until("draining");
    server.process.signal("INT");
    let ended = server.process.end().ends_with(1);
    assert!(ended.stderr.contains("ending at once"), "{ended:?}");
}
