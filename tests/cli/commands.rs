//! The client commands and their exit codes, with a server that has no worker.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::program::{Server, run};

#[test]
fn the_second_start_is_told_who_was_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());

    let first = server.run(&["start", "backup", "nightly", "--input", "{}", "--tag", "team=ops"]).ends_with(0);
    assert_eq!(first.row("outcome"), "started");
    assert_eq!(first.row("status"), "Pending");
    assert_eq!(first.row("pending"), "no worker has registered function 'backup'");
    let execution = first.row("execution");

    let second = server.run(&["start", "backup", "nightly"]).ends_with(75);
    assert_eq!(second.stdout, "");
    let expected = format!(
        "\
error: An instance with ID 'nightly' already exists.
  reason: INSTANCE_ALREADY_RUNNING (ALREADY_EXISTS)
  execution_id: {execution}
  function_name: backup
  instance_id: nightly
"
    );
    assert!(second.stderr.starts_with(&expected), "{}", second.stderr);

    let third = server.run(&["start", "backup", "nightly", "--json"]).ends_with(75);
    let error: Value = serde_json::from_str(&third.stderr).unwrap();
    assert_eq!(error["error"]["code"], "ALREADY_EXISTS");
    assert_eq!(error["error"]["reason"], "INSTANCE_ALREADY_RUNNING");
    assert_eq!(error["error"]["metadata"]["execution_id"], execution);

    let joined = server.run(&["start", "backup", "nightly", "--on-conflict", "use-existing"]).ends_with(0);
    assert_eq!((joined.row("outcome"), joined.row("execution")), ("joined", execution));
    server.run(&["start", "restore", "nightly", "--on-conflict", "use-existing"]).ends_with(75);

    let replaced = server.run(&["start", "backup", "nightly", "--on-conflict", "replace", "--json"]).ends_with(0);
    assert_eq!(replaced.json()["outcome"], "REPLACED");
    assert_ne!(replaced.json()["executionId"], execution);
}

#[test]
fn a_start_that_is_sent_again_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let start = ["start", "backup", "nightly", "--request-id", "r1", "--json"];
    let first = server.run(&start).ends_with(0).json();
    let again = server.run(&start).ends_with(0).json();
    assert_eq!((&first["outcome"], &again["outcome"]), (&json!("STARTED"), &json!("DEDUPLICATED")));
    assert_eq!(again["firstOutcome"], "STARTED");
    assert_eq!(again["executionId"], first["executionId"]);
    let other = server.run(&["start", "restore", "nightly", "--request-id", "r1"]).ends_with(1);
    assert!(other.stderr.contains("  reason: REQUEST_ID_REUSED (INVALID_ARGUMENT)\n"), "{other:?}");
}

#[test]
fn an_instance_is_read_signalled_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let start = server.run(&["start", "backup", "nightly", "--input", "-"]).ends_with(0);
    let execution = start.row("execution");

    let status = server.run(&["status", "nightly"]).ends_with(0);
    assert_eq!((status.row("instance"), status.row("execution")), ("nightly", execution));
    let status = server.run(&["status", "nightly", "--payloads", "--json"]).ends_with(0).json();
    assert_eq!(status["runtimeStatus"], "PENDING");
    assert_eq!(status["input"], "", "stdin was empty");
    assert!(status["revision"].is_string(), "{status}");

    let raised = server.run(&["raise", "nightly", "go", "--input", "1"]).ends_with(0);
    assert_eq!((raised.row("event"), raised.row("execution")), ("1", execution));
    let raised = server.run(&["raise", "nightly", "go", "--json"]).ends_with(0);
    assert_eq!(raised.json(), json!({"executionId": execution, "sequence": "2"}));

    let successor = ["--expected-execution-id", "00000000000000000000000000000000"];
    let other = server.run(&[&["terminate", "nightly"], &successor[..]].concat()).ends_with(1);
    assert!(other.stderr.contains("  reason: EXECUTION_MISMATCH (FAILED_PRECONDITION)\n"), "{other:?}");
    let ended = server.run(&["terminate", "nightly", "--reason", "not tonight"]).ends_with(0);
    assert_eq!((ended.row("status"), ended.row("reason")), ("Terminated", "not tonight"));
    let again = server.run(&["terminate", "nightly", "--json"]).ends_with(1);
    assert!(again.stderr.contains("\"reason\":\"INSTANCE_NOT_LIVE\""), "{again:?}");
    server.run(&["raise", "nightly", "go"]).ends_with(1);
    server.run(&["start", "backup", "nightly", "--replaceable", "completed"]).ends_with(75);
    server.run(&["start", "backup", "nightly", "--replaceable", "terminated"]).ends_with(0);
}

#[test]
fn a_task_hub_has_ids_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    server.run(&["start", "backup", "nightly"]).ends_with(0);
    server.run(&["start", "backup", "nightly", "--hub", "stage"]).ends_with(0);
    let unknown = server.run(&["--hub", "elsewhere", "status", "nightly"]).ends_with(1);
    let expected = "\
error: no instance with ID 'nightly'
  reason: INSTANCE_NOT_FOUND (NOT_FOUND)
  instance_id: nightly
";
    assert_eq!(unknown.stderr, expected);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    let wrong = server.run(&["start", "", "a/b", "--run-timeout", "0s"]).ends_with(1);
    let fields: Vec<&str> = wrong.stderr.lines().skip(2).filter_map(|line| line.trim().split(':').next()).collect();
    assert!(wrong.stderr.contains("\n  reason: INVALID_FIELD (INVALID_ARGUMENT)\n"), "{wrong:?}");
    assert_eq!(fields, ["instance_id", "run_timeout", "function_name"], "{wrong:?}");
    let json = server.run(&["start", "", "a/b", "--json"]).ends_with(1).stderr;
    let error: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(error["error"]["violations"].as_array().map(Vec::len), Some(2), "{error}");
}

#[test]
fn what_can_not_be_typed_ends_with_2() {
    let lines = [
        "start backup",
        "start f i --on-conflict maybe",
        "status",
        "purge",
        "purge i --all",
        "--server https://x:1 status i",
    ];
    for line in lines {
        let done = run(&line.split(' ').collect::<Vec<_>>()).ends_with(2);
        assert!(done.stderr.starts_with("error: ") && done.stdout.is_empty(), "{done:?}");
    }
}

#[test]
fn shells_are_told_how_to_complete() {
    for (shell, begins) in [("bash", "_soloist() {"), ("zsh", "#compdef soloist"), ("fish", "# Print")] {
        let done = run(&["completions", shell]).ends_with(0);
        assert!(done.stdout.starts_with(begins) && done.stdout.contains("terminate"), "{}", done.stdout);
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for command in ["status", "watch", "terminate"] {
        let done = run(&[command, "nightly", "--server", &address]).ends_with(1);
        assert!(done.stderr.starts_with(&format!("error: cannot connect to http://{address}/: ")), "{done:?}");
        assert!(done.stderr.contains("\nStart a server with `soloist dev`"), "{done:?}");
        assert_eq!(done.stdout, "");
    }
    let json = run(&["health", "--server", &address, "--json"]).ends_with(1).stderr;
    assert!(json.starts_with(r#"{"error":{"code":"UNREACHABLE","message":"#), "{json}");
}

#[test]
fn health_is_asked_for_the_server_and_for_its_services() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::serve(folder.path());
    assert_eq!(server.run(&["health"]).ends_with(0).stdout, "SERVING\n");
    for service in ["soloist.v1.OrchestrationService", "soloist.v1.WorkerService", "soloist.v1.MaintenanceService"] {
        let json = server.run(&["health", service, "--json"]).ends_with(0).json();
        assert_eq!(json, json!({"service": service, "status": "SERVING"}));
    }
    let unknown = server.run(&["health", "nobody"]).ends_with(1);
    assert!(unknown.stderr.ends_with("  code: NOT_FOUND\n"), "{unknown:?}");
}
