//! Each route and verb with each code that is documented.

use soloist::proto::v1;
use tokio::task::JoinSet;
use tonic::Request;

use super::{
    INSTANCES,
    openapi::{Description, filled},
};
use crate::support::{RawWorker, Server, Web, http::Answer, start};

/// Starts that wait in a queue, unless they say otherwise.
const QUEUE_MAX: usize = 16;
/// Events of one instance that no worker has confirmed.
const EVENTS_MAX: usize = 1_000;

/// Instances in every state that makes a difference.
async fn set_the_stage(server: &Server) {
    let mut client = server.client().await;
    let mut worker = RawWorker::join(server, "w", &["ends", "fails"], 2).await;
    for id in ["completed", "completed-2", "completed-3"] {
        client.start_singleton(start("ends", id)).await.expect("started");
        let run = worker.take().await;
        worker.complete(&run, "42").await;
    }
    client.start_singleton(start("fails", "failed")).await.expect("started");
    let run = worker.take().await;
    worker.fail(&run, "it broke", true).await;
    for id in ["live", "live-2", "to-suspend", "to-terminate"] {
        client.start_singleton(start("nobody", id)).await.expect("started");
    }
    client.start_singleton(start("nobody", "terminated")).await.expect("started");
    let request = v1::TerminateInstanceRequest {
        instance_id: "terminated".into(),
        reason: "enough".into(),
        ..Default::default()
    };
    client.terminate_instance(request).await.expect("terminated");
    let mut elsewhere = Request::new(start("nobody", "hidden"));
    elsewhere.metadata_mut().insert("taskhub", "other".parse().expect("ASCII"));
    client.start_singleton(elsewhere).await.expect("started");
}

/// Method, path, body, code, and what the answer has: the reason of a problem, or a part of the text.
type Line = (&'static str, &'static str, &'static str, u16, &'static str);

/// Under both of the paths that start.
const STARTS: [Line; 14] = [
    ("POST", "/orchestrators/f/a", "{\"x\": 1}", 202, "\"id\":\"a\""),
    ("POST", "/orchestrators/f/a", "", 409, "An instance with ID 'a' already exists."),
    ("POST", "/orchestrators/f", "", 202, "\"outcome\":\"STARTED\""),
    ("POST", "/orchestrators/f", "{", 400, "MALFORMED_JSON"),
    ("POST", "/orchestrators/f/a?conflictPolicy=use-existing", "", 202, "\"outcome\":\"JOINED\""),
    ("POST", "/orchestrators/g/a?conflictPolicy=USE_EXISTING", "", 409, "FUNCTION_MISMATCH"),
    ("POST", "/orchestrators/f/a?conflictPolicy=QUEUE", "", 202, "\"outcome\":\"QUEUED\""),
    ("POST", "/orchestrators/f/a?conflictPolicy=coalesce", "", 202, "\"outcome\":\"QUEUED\""),
    ("POST", "/orchestrators/f/a?ConflictPolicy=Replace", "", 202, "\"outcome\":\"REPLACED\""),
    ("POST", "/orchestrators/f/b?conflictPolicy=maybe", "", 400, "INVALID_FIELD"),
    ("POST", "/orchestrators/f/b?requestId=r1", "1", 202, "\"outcome\":\"STARTED\""),
    ("POST", "/orchestrators/f/b?requestId=r1", "1", 202, "\"outcome\":\"DEDUPLICATED\""),
    ("POST", "/orchestrators/f/b?requestId=r1", "2", 400, "REQUEST_ID_REUSED"),
    ("POST", "/orchestrators/f?requestId=r1", "", 400, "INVALID_FIELD"),
];

/// Paths below the instances.
const READS: [Line; 16] = [
    ("GET", "/live", "", 202, "\"runtimeStatus\":\"Pending\""),
    ("GET", "/completed", "", 200, "\"output\":42"),
    ("GET", "/terminated", "", 200, "\"output\":\"enough\""),
    ("GET", "/failed", "", 200, "\"output\":\"Oops: it broke\""),
    ("GET", "/failed?returnInternalServerErrorOnFailure=true", "", 500, "\"runtimeStatus\":\"Failed\""),
    ("GET", "/failed?returnInternalServerErrorOnFailure=perhaps", "", 400, "INVALID_FIELD"),
    ("GET", "/completed?returnInternalServerErrorOnFailure=true", "", 200, "\"output\":42"),
    ("GET", "/completed?showHistory=true", "", 200, "\"OrchestrationStatus\":\"Completed\"}"),
    ("GET", "/completed?showHistory=true&showHistoryOutput=true", "", 200, "\"Result\":42}"),
    ("GET", "/completed?executionId=0123456789abcdef0123456789abcdef", "", 404, "EXECUTION_NOT_FOUND"),
    ("GET", "/completed?executionId=x", "", 400, "INVALID_FIELD"),
    ("GET", "/missing", "", 404, "INSTANCE_NOT_FOUND"),
    ("GET", "/hidden", "", 404, "INSTANCE_NOT_FOUND"),
    ("GET", "/hidden?taskHub=other&code=secret&connection=Storage", "", 202, "\"instanceId\":\"hidden\""),
    ("GET", "/hidden?taskHub=no%20hub", "", 400, "INVALID_FIELD"),
    ("GET", "/hidden?taskHub=a%00", "", 400, "INVALID_FIELD"),
];

const CONTROLS: [Line; 37] = [
    ("POST", "/live/raiseEvent/go", "{}", 202, ""),
    ("POST", "/live/raiseEvent/go", "", 202, ""),
    ("POST", "/live/raiseEvent/go", "{", 400, "MALFORMED_JSON"),
    ("POST", "/completed/raiseEvent/go", "{}", 410, "INSTANCE_NOT_LIVE"),
    ("POST", "/missing/raiseEvent/go", "{}", 404, "INSTANCE_NOT_FOUND"),
    ("POST", "/live/raiseEvent/go?executionId=0123456789abcdef0123456789abcdef", "{}", 409, "EXECUTION_MISMATCH"),
    ("POST", "/to-suspend/suspend?reason=wait", "", 202, ""),
    ("GET", "/to-suspend", "", 202, "\"runtimeStatus\":\"Suspended\""),
    ("POST", "/to-suspend/resume?reason=go", "", 202, ""),
    ("GET", "/to-suspend", "", 202, "\"runtimeStatus\":\"Pending\""),
    ("POST", "/completed/suspend", "", 410, "INSTANCE_NOT_LIVE"),
    ("POST", "/completed/resume", "", 410, "INSTANCE_NOT_LIVE"),
    ("POST", "/missing/suspend", "", 404, "INSTANCE_NOT_FOUND"),
    ("POST", "/missing/resume", "", 404, "INSTANCE_NOT_FOUND"),
    ("POST", "/to-terminate/terminate?reason=no%20more", "", 202, ""),
    ("GET", "/to-terminate", "", 200, "\"output\":\"no more\""),
    ("POST", "/to-terminate/terminate", "", 410, "INSTANCE_NOT_LIVE"),
    ("POST", "/missing/terminate", "", 404, "INSTANCE_NOT_FOUND"),
    ("POST", "/completed/restart?restartWithNewInstanceId=true", "", 400, "INVALID_FIELD"),
    ("POST", "/completed/restart?restartWithNewInstanceId=false", "", 202, "\"id\":\"completed\""),
    ("POST", "/live/restart", "", 409, "An instance with ID 'live' already exists."),
    ("POST", "/missing/restart", "", 404, "INSTANCE_NOT_FOUND"),
    ("POST", "/live/restart?executionId=0123456789abcdef0123456789abcdef", "", 409, "EXECUTION_MISMATCH"),
    ("POST", "/live/terminate?executionId=x", "", 400, "INVALID_FIELD"),
    ("POST", "/live/suspend?executionId=x", "", 400, "INVALID_FIELD"),
    ("POST", "/live/resume?executionId=x", "", 400, "INVALID_FIELD"),
    ("POST", "/live/suspend?executionId=0123456789abcdef0123456789abcdef", "", 409, "EXECUTION_MISMATCH"),
    ("POST", "/live/resume?executionId=0123456789abcdef0123456789abcdef", "", 409, "EXECUTION_MISMATCH"),
    ("DELETE", "/completed-2?executionId=x", "", 400, "INVALID_FIELD"),
    ("DELETE", "/completed-2", "", 200, "{\"instancesDeleted\":1}"),
    ("DELETE", "/completed-2", "", 404, "INSTANCE_NOT_FOUND"),
    ("DELETE", "/live", "", 409, "INSTANCE_STILL_LIVE"),
    ("POST", "/live", "", 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/live/terminate", "", 405, "METHOD_NOT_ALLOWED"),
    ("PUT", "", "", 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/live/rewind", "", 404, "ROUTE_NOT_FOUND"),
    ("GET", "/live/else", "", 404, "ROUTE_NOT_FOUND"),
];

const MANY: [Line; 14] = [
    ("GET", "", "", 200, "\"instanceId\":\"completed-3\""),
    ("GET", "?runtimeStatus=Failed,Terminated&instanceIdPrefix=f", "", 200, "[{\"name\":\"fails\""),
    ("GET", "?runtimeStatus=Canceled", "", 200, "[]"),
    ("GET", "?runtimeStatus=Odd", "", 400, "INVALID_FIELD"),
    ("GET", "?top=1001", "", 400, "INVALID_FIELD"),
    ("GET", "?top=many", "", 400, "INVALID_FIELD"),
    ("GET", "?createdTimeFrom=yesterday", "", 400, "INVALID_FIELD"),
    ("GET", "?createdTimeFrom=2020-01-01T00:00:00Z&createdTimeTo=2020-01-02", "", 200, "[]"),
    ("GET", "?taskHub=empty", "", 200, "[]"),
    ("DELETE", "", "", 400, "INVALID_FIELD"),
    ("DELETE", "?createdTimeFrom=2020-01-01&runtimeStatus=Running", "", 400, "INVALID_FIELD"),
    ("DELETE", "?createdTimeFrom=2020-01-01&createdTimeTo=2020-01-02", "", 404, "INSTANCE_NOT_FOUND"),
    ("DELETE", "?createdTimeFrom=2020-01-01&runtimeStatus=Failed", "", 200, "{\"instancesDeleted\":1}"),
    ("GET", "/failed", "", 404, "INSTANCE_NOT_FOUND"),
];

const OTHERS: [Line; 12] = [
    ("GET", "/v1/instances/terminated/watch?untilTerminal=true", "", 200, "event: status"),
    ("GET", "/v1/instances/missing/watch", "", 404, "INSTANCE_NOT_FOUND"),
    ("GET", "/v1/instances/missing/watch?waitForStart=perhaps", "", 400, "INVALID_FIELD"),
    ("POST", "/v1/instances/live/watch", "", 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/metrics", "", 200, "soloist_starts_total"),
    ("GET", "/openapi.json", "", 200, "\"openapi\":\"3.1"),
    ("GET", "/openapi.yaml", "", 404, "ROUTE_NOT_FOUND"),
    ("GET", "/livez", "", 200, "ok"),
    ("GET", "/readyz", "", 200, "ok"),
    ("POST", "/readyz", "", 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/orchestrators/f/a", "", 405, "METHOD_NOT_ALLOWED"),
    ("GET", "/", "", 404, "ROUTE_NOT_FOUND"),
];

/// Asks, and compares the answer with the description too.
async fn ask(
    web: &Web,
    description: &mut Description,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let answer = web.ask(method, path, headers, body).await;
    description.check(method, path, &answer);
    answer
}

#[tokio::test]
async fn every_route_answers_with_the_codes_that_are_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--watchers-max", "1"], &[]);
    set_the_stage(&server).await;
    let web = Web::new(&server);
    let mut description = Description::read(&web).await;
    let tables = [
        ("", "starts", &STARTS[..]),
        ("/runtime/webhooks/durabletask", "starts-too", &STARTS),
        (INSTANCES, "", &READS),
        (INSTANCES, "", &CONTROLS),
        (INSTANCES, "", &MANY),
        ("", "", &OTHERS),
    ];
    for (root, hub, table) in tables {
        for (method, path, body, code, has) in table {
            let line = format!("{method} {root}{path} {body}");
            let headers = [("content-type", "application/json"), ("taskhub", hub)];
            let answer = ask(&web, &mut description, (method, &format!("{root}{path}")), &headers, body).await;
            assert_eq!(answer.status.as_u16(), *code, "{line}: {answer:?}");
            let is_reason = !has.is_empty() && has.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            match is_reason {
                true => assert_eq!(answer.reason(), *has, "{line}: {answer:?}"),
                false if *code == 409 => {
                    assert_eq!(
                        (answer.body.as_str(), answer.header("content-type")),
                        (*has, "text/plain; charset=utf-8")
                    );
                }
                false => assert!(answer.body.contains(has), "{line}: {answer:?}"),
            }
            if answer.status == 202 && (answer.body.starts_with('{')) {
                assert_eq!(answer.header("retry-after"), "10", "{line}");
                assert!(answer.header("location").starts_with(&format!("{}{INSTANCES}/", server.address)), "{line}");
            }
        }
    }
    refuse_what_all_refuse(&web, &mut description).await;
    reach_the_bounds(&server, &web, &mut description).await;
    come_back_after_the_end(&web, &mut description).await;
    // That one has a story of its own.
    assert_eq!(description.unseen(), [("GET".into(), "/readyz".into(), 503)]);
}

/// Each route that changes something, for pages of other sites; each that takes a body, for one that it does not take.
async fn refuse_what_all_refuse(web: &Web, description: &mut Description) {
    let operations = description.operations().into_iter();
    let operations: Vec<_> = operations.map(|(method, path, said)| (method, filled(&path), said.clone())).collect();
    let large = "1".repeat((1 << 20) + 1);
    for (method, path, said) in operations {
        let line = (method.as_str(), path.as_str());
        if method != "GET" {
            let foreign = ask(web, description, line, &[("origin", "https://evil.example")], "").await;
            assert_eq!((foreign.status.as_u16(), foreign.reason().as_str()), (403, "ORIGIN_NOT_ALLOWED"), "{line:?}");
        }
        if said["requestBody"].is_object() {
            let form = ask(web, description, line, &[("content-type", "text/plain")], "1").await;
            assert_eq!((form.status.as_u16(), form.reason().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{line:?}");
            let large = ask(web, description, line, &[("content-type", "application/json")], &large).await;
            assert_eq!((large.status.as_u16(), large.reason().as_str()), (413, "BODY_TOO_LARGE"), "{line:?}");
        }
    }
}

/// Full queues, of starts, of events and of watchers.
async fn reach_the_bounds(server: &Server, web: &Web, description: &mut Description) {
    for path in ["/orchestrators/nobody/full", "/runtime/webhooks/durabletask/orchestrators/nobody/full-too"] {
        let path = format!("{path}?conflictPolicy=QUEUE");
        for _ in 0..=QUEUE_MAX {
            assert_eq!(ask(web, description, ("POST", &path), &[], "").await.status, 202);
        }
        let full = ask(web, description, ("POST", &path), &[], "").await;
        assert_eq!((full.status.as_u16(), full.reason().as_str()), (429, "QUEUE_FULL"));
    }
    let client = server.client().await;
    let mut events = JoinSet::new();
    for _ in 0..EVENTS_MAX {
        let mut client = client.clone();
        let event = v1::RaiseEventRequest { instance_id: "full".into(), name: "e".into(), ..Default::default() };
        events.spawn(async move { client.raise_event(event).await });
    }
    while let Some(raised) = events.join_next().await {
        raised.expect("no panic").expect("raised");
    }
    let full = ask(web, description, ("POST", &format!("{INSTANCES}/full/raiseEvent/e")), &[], "").await;
    assert_eq!((full.status.as_u16(), full.reason().as_str()), (429, "TOO_MANY_EVENTS"));
    let _open = web.open("GET", "/v1/instances/full/watch", &[], "").await;
    let crowded = ask(web, description, ("GET", "/v1/instances/full/watch"), &[], "").await;
    assert_eq!((crowded.status.as_u16(), crowded.reason().as_str()), (429, "TOO_MANY"));
}

/// A browser that has seen the end of what it watched.
async fn come_back_after_the_end(web: &Web, description: &mut Description) {
    let path = "/v1/instances/terminated/watch?untilTerminal=true";
    let revision = web.get(&format!("{INSTANCES}/terminated")).await.json()["revision"].to_string();
    let answer = ask(web, description, ("GET", path), &[("last-event-id", &revision)], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""));
}

#[tokio::test]
async fn a_retry_with_the_same_idempotency_key_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let key = [("idempotency-key", "k-1")];
    let first = web.ask("POST", "/orchestrators/f/a", &key, "").await.json();
    let second = web.ask("POST", "/orchestrators/f/a", &key, "").await.json();
    assert_eq!((&first["outcome"], &second["outcome"]), (&"STARTED".into(), &"DEDUPLICATED".into()));
    assert_eq!(first["executionId"], second["executionId"]);
    let contradicted = web.ask("POST", "/orchestrators/f/a?requestId=k-2", &key, "").await;
    assert_eq!((contradicted.status.as_u16(), contradicted.reason().as_str()), (400, "INVALID_FIELD"));
}

/// A page of another site could post to a server on the reader's machine, without a right to read the answer.
#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = web.ask("POST", "/orchestrators/f/a", &[("origin", origin)], "").await;
        assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (403, "ORIGIN_NOT_ALLOWED"), "{origin}");
    }
    assert_eq!(web.get(&format!("{INSTANCES}/a")).await.status, 404);
    let own = web.ask("POST", "/orchestrators/f/a", &[("origin", &server.address)], "").await;
    assert_eq!(own.status, 202);
}
