//! `soloist dev` and its sample functions.

use super::program::Server;

#[test]
fn hello_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let done = server.run(&["start", "hello", "h", "--input", "\"Ada\"", "--wait"]).ends_with(0);
    assert_eq!((done.row("status"), done.row("output")), ("Completed", "\"Hello, Ada!\""));
    let execution = done.row("execution");
    assert!(done.stderr.ends_with(&format!("h: Completed (execution {execution}, attempt 1)\n")), "{done:?}");
    let json = server.run(&["start", "hello", "h", "--wait", "--json"]).ends_with(0).json();
    assert_eq!(json["status"]["output"], "\"Hello, world!\"");
    assert_ne!(json["executionId"], execution);
}

#[test]
fn waiting_ends_with_1_unless_the_execution_completed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let failed = server.run(&["start", "sleep", "s", "--input", "\"long\"", "--wait"]).ends_with(1);
    assert_eq!(failed.row("status"), "Failed");
    assert!(failed.row("failure").starts_with("BadInput: "), "{failed:?}");

    let sleeping = server.beside(&["start", "sleep", "s", "--input", "3600", "--wait"]);
    sleeping.stderr.until("s: Running (");
    server.run(&["start", "sleep", "s"]).ends_with(75);
    server.run(&["terminate", "s", "--reason", "not tonight"]).ends_with(0);
    let terminated = sleeping.end().ends_with(1);
    assert_eq!((terminated.row("status"), terminated.row("reason")), ("Terminated", "not tonight"));

    let limited = server.run(&["start", "counter", "c", "--wait", "--timeout", "1s"]).ends_with(1);
    assert_eq!(limited.stderr.lines().last(), Some("error: the time limit of 1s is over"));
}

#[test]
fn sleep_completes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let done = server.run(&["start", "sleep", "s", "--input", "1", "--wait"]).ends_with(0);
    assert_eq!((done.row("output"), done.row("custom status")), ("\"slept 1 s\"", "\"1 of 1 s\""));
}

#[test]
fn counter_continues_as_new_with_each_sum() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let waiting = server.beside(&["start", "counter", "votes", "--wait"]);
    waiting.stderr.until("votes: Running (");
    let first = server.run(&["raise", "votes", "add", "--input", "2"]).ends_with(0);
    server.run(&["raise", "votes", "add", "--input", "40"]).ends_with(0);
    server.run(&["raise", "votes", "stop"]).ends_with(0);
    let done = waiting.end().ends_with(0);
    assert_eq!((done.row("status"), done.row("input"), done.row("output")), ("Completed", "42", "42"));
    assert_ne!(done.row("execution"), first.row("execution"));

    let past = server.run(&["watch", "votes", "--from-revision", "0", "--until-terminal", "--json"]).ends_with(0);
    let mut executions: Vec<String> = past
        .stdout
        .lines()
        .map(|line| {
            let item: serde_json::Value = serde_json::from_str(line).unwrap();
            item["status"]["executionId"].as_str().unwrap().to_owned()
        })
        .collect();
    executions.dedup();
    assert_eq!(executions.len(), 3, "one for each sum: {executions:?}");
    assert_eq!(executions[0], first.row("execution"));
    assert_eq!(executions[2], done.row("execution"));
}

#[test]
fn the_text_at_its_start_can_be_typed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::dev(folder.path());
    let line = server.process.stderr.until(" start hello hello-1 ");
    let typed: Vec<&str> = line.split_whitespace().skip(1).collect();
    let typed: Vec<String> = typed.iter().map(|word| word.replace('\'', "")).collect();
    let done = super::program::run(&typed.iter().map(String::as_str).collect::<Vec<_>>()).ends_with(0);
    assert_eq!(done.row("output"), "\"Hello, Ada!\"");
    server.process.signal("INT");
    let ended = server.process.end().ends_with(0);
    assert_eq!(ended.stdout, "");
}
