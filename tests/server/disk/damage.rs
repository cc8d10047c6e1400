//! Folders that a server refuses: with a clear error, a bad exit code, and every file as it was.

use std::{collections::BTreeMap, fs, path::Path};

use rusqlite::Connection;
use soloist::proto::v1::{
    RaiseEventRequest, RuntimeStatus, StartOutcome, StartSingletonRequest, work_response::Message as Heard,
};

use crate::support::{RawWorker, Server, start, status, until};

type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("a plain name");
    entries.map(|entry| (name(&entry), fs::read(entry.path()).expect("a file"))).collect()
}

/// The folder of a server that has started these ids, one after the other, and then ended, or died.
async fn used(folder: &Path, ids: &[&str], died: bool) {
    let server = Server::start(folder);
    let mut client = server.client().await;
    for id in ids {
        client.start_singleton(start("work", id)).await.expect("started");
    }
    if died {
        server.kill();
    } else {
        assert!(server.stop().await.0.success());
    }
}

/// What the server said when it refused the folder.
fn refusal(folder: &Path) -> String {
    match Server::try_start(folder, &[], &[]) {
        Ok(_) => panic!("{} was not refused", folder.display()),
        Err((status, said)) => {
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(!said.contains("panicked"), "{said}");
            said
        }
    }
}

fn assert_untouched(before: &Files, folder: &Path) {
    let after = files(folder);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in before {
        assert!(after[name] == *bytes, "{name} has changed");
    }
}

#[tokio::test]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Server::start(folder.path());
    let mut client = first.client().await;
    client.start_singleton(start("work", "before")).await.expect("started");
    let said = refusal(folder.path());
    assert!(said.contains("is in use by another server"), "{said}");
    let started = client.start_singleton(start("work", "after")).await.expect("the first one goes on").into_inner();
    assert_eq!(started.outcome(), StartOutcome::Started);
    assert!(first.stop().await.0.success());

    let second = Server::start(folder.path());
    for id in ["before", "after"] {
        status(&mut second.client().await, id).await;
    }
}

#[tokio::test]
async fn a_folder_of_a_newer_server_is_refused_untouched() {
    for died in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        used(folder.path(), &["a"], died).await;
        fs::write(folder.path().join("FORMAT"), "soloist-store 2\n").expect("a file");
        let before = files(folder.path());
        let said = refusal(folder.path());
        assert!(said.contains("has format 2") && said.contains("use a newer server"), "{said}");
        assert_untouched(&before, folder.path());
    }
}

/// An older copy of the database under a MARK that has seen more: acknowledged starts are gone.
#[tokio::test]
async fn a_database_that_ends_short_of_its_mark_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    used(folder.path(), &["a"], false).await;
    let older = files(folder.path());
    used(folder.path(), &["b", "c"], false).await;
    let newer = files(folder.path());
    fs::write(folder.path().join("soloist.db"), &older["soloist.db"]).expect("a file");
    let before = files(folder.path());
    let said = refusal(folder.path());
    assert!(said.contains("damaged or replaced by an older copy"), "{said}");
    assert_untouched(&before, folder.path());

    fs::write(folder.path().join("soloist.db"), &newer["soloist.db"]).expect("a file");
    let server = Server::start(folder.path());
    for id in ["a", "b", "c"] {
        status(&mut server.client().await, id).await;
    }
}

/// What a damaged record says is believed by nobody, and nothing is lost of the others.
#[tokio::test]
async fn a_damaged_record_is_named_and_the_folder_refused_untouched() {
    for died in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        used(folder.path(), &["a", "b", "c"], died).await;
        let sql = |statement: &str| {
            let database = Connection::open(folder.path().join("soloist.db")).expect("a database");
            assert_eq!(database.execute(statement, ()).expect("it is done"), 1);
        };
        sql("UPDATE record SET checksum = checksum + 1 WHERE arrival = 2");
        let before = files(folder.path());
        let said = refusal(folder.path());
        assert!(said.contains("Record row 2/0 is damaged") && said.contains("checksum"), "{said}");
        assert_untouched(&before, folder.path());

        sql("UPDATE record SET checksum = checksum - 1 WHERE arrival = 2");
        let server = Server::start(folder.path());
        for id in ["a", "b", "c"] {
            status(&mut server.client().await, id).await;
        }
    }
}

/// An input that can't be read was offered for ever: each worker's stream ended over it, and with it everything else
/// that the worker had to do.
#[tokio::test]
async fn a_damaged_input_fails_its_own_execution_and_no_other() {
    for damage in ["UPDATE payload SET checksum = checksum + 1", "DELETE FROM payload"] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path());
        let mut client = server.client().await;
        for id in ["a", "b"] {
            let request = StartSingletonRequest { input: Some("\"in\"".into()), ..start("work", id) };
            client.start_singleton(request).await.expect("started");
        }
        assert!(server.stop().await.0.success());
        let database = Connection::open(folder.path().join("soloist.db")).expect("a database");
        assert_eq!(database.execute(&format!("{damage} WHERE arrival = 1"), ()).expect("it is done"), 1);
        drop(database);

        let server = Server::start(folder.path());
        let mut client = server.client().await;
        let mut worker = RawWorker::join(&server, "w", &["work"], 2).await;
        let run = worker.take().await;
        assert_eq!(run.claim.as_ref().map(|claim| claim.instance_id.as_str()), Some("b"));
        let failed = until(&mut client, "a", |status| status.runtime_status() == RuntimeStatus::Failed).await;
        assert_eq!(failed.failure.expect("why").error_type, "InputDamaged");
        // The stream goes on, and the place is free again.
        client.start_singleton(start("work", "a")).await.expect("it has ended");
        worker.take().await;
    }
}

/// An event that can't be read ended its worker's stream, and again whenever the worker came back with the run.
#[tokio::test]
async fn a_damaged_event_fails_its_own_execution_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    for id in ["a", "b"] {
        client.start_singleton(start("work", id)).await.expect("started");
        let event = RaiseEventRequest { instance_id: id.into(), name: "e".into(), ..Default::default() };
        client.raise_event(event).await.expect("raised");
    }
    assert!(server.stop().await.0.success());
    let database = Connection::open(folder.path().join("soloist.db")).expect("a database");
    let damaged = database.execute("UPDATE event SET checksum = checksum + 1 WHERE arrival = 1", ());
    assert_eq!(damaged.expect("it is done"), 1);
    drop(database);

    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    let mut worker = RawWorker::join(&server, "w", &["work"], 2).await;
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.push(match worker.hear().await {
            Heard::Run(run) => ("run", run.claim),
            Heard::Event(event) => ("event", event.claim),
            Heard::Cancel(cancel) => ("cancel", cancel.claim),
            other => panic!("not expected: {other:?}"),
        });
    }
    let of = |id: &str| {
        let mine = heard.iter().filter(|(_, claim)| claim.as_ref().is_some_and(|claim| claim.instance_id == id));
        mine.map(|(what, _)| *what).collect::<Vec<_>>()
    };
    assert_eq!((of("a"), of("b")), (vec!["run", "cancel"], vec!["run", "event"]));
    let failed = until(&mut client, "a", |status| status.runtime_status() == RuntimeStatus::Failed).await;
    assert_eq!(failed.failure.expect("why").error_type, "EventsDamaged");
}
