//! A script's way: start, poll, and follow the URLs of the answers.

use serde_json::{Value, json};
use soloist::proto::v1;

use super::INSTANCES;
use crate::support::{RawWorker, Server, Web};

#[tokio::test]
async fn a_start_is_polled_at_its_location_until_it_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let started = web.post("/orchestrators/report/r-1", "{\"n\": 12345678901234567890123}").await;
    let location = started.header("location").to_owned();
    assert_eq!(
        (started.status.as_u16(), &location),
        (202, &started.json()["statusQueryGetUri"].as_str().unwrap().into())
    );

    let pending = web.get(&location).await;
    assert_eq!((pending.status.as_u16(), pending.header("location")), (202, location.as_str()));
    assert!(pending.json()["pendingReason"].as_str().is_some_and(|why| why.contains("report")), "{pending:?}");

    let mut worker = RawWorker::join(&server, "w", &["report"], 1).await;
    let run = worker.take().await;
    assert_eq!(run.input.as_deref(), Some("{\"n\": 12345678901234567890123}"));
    let progress = v1::Progress { claim: run.claim.clone(), custom_status: Some("half way".into()) };
    worker.ask(v1::work_request::Message::Progress(progress)).await;
    let running = web.get(&location).await;
    // Numbers stand as they were given; a text that is no JSON is a string.
    assert!(running.body.contains("\"input\":{\"n\": 12345678901234567890123}"), "{running:?}");
    assert_eq!((running.status.as_u16(), &running.json()["customStatus"]), (202, &json!("half way")));

    worker.complete(&run, "[1,2]").await;
    let ended = web.get(&format!("{location}&showInput=false&showHistory=true")).await;
    let body = ended.json();
    assert_eq!((ended.status.as_u16(), ended.header("location")), (200, ""));
    let told = ["name", "instanceId", "runtimeStatus", "input", "output"].map(|key| body[key].clone());
    assert_eq!(told, [json!("report"), json!("r-1"), json!("Completed"), Value::Null, json!([1, 2])]);
    let events = body["historyEvents"].as_array().expect("a history");
    let kinds: Vec<_> = events.iter().map(|event| event["EventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ExecutionStarted", "RunGranted", "ExecutionCompleted"]);
    assert!(events.iter().all(|event| event.get("Input").is_none() && event.get("Result").is_none()), "{events:?}");
}

#[tokio::test]
async fn the_urls_of_the_answer_control_the_instance() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let links = web.post("/orchestrators/f/a%20b%C3%A4?taskHub=hub-1", "").await.json();
    let link = |name: &str| links[name].as_str().unwrap().replace("{text}", "because").replace("{eventName}", "go");
    assert_eq!(links["id"], "a bä");
    for name in ["suspendPostUri", "resumePostUri", "sendEventPostUri", "terminatePostUri"] {
        assert_eq!(web.post(&link(name), "").await.status, 202, "{name}");
    }
    assert_eq!(web.get(&link("statusQueryGetUri")).await.json()["output"], "because");
    assert_eq!(web.post(&link("restartPostUri"), "").await.status, 202);
    assert_eq!(web.post(&link("terminatePostUri"), "").await.status, 202);
    assert_eq!(web.ask("DELETE", &link("purgeHistoryDeleteUri"), &[], "").await.json(), json!({"instancesDeleted": 1}));
    assert_eq!(web.get(&link("statusQueryGetUri")).await.status, 404);
}

/// A queued caller is led to its own execution: what it terminates is not somebody else's.
#[tokio::test]
async fn a_queued_start_has_urls_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let first = web.post("/orchestrators/f/a", "").await.json();
    let queued = web.post("/orchestrators/f/a?conflictPolicy=QUEUE", "").await.json();
    let own = web.get(queued["statusQueryGetUri"].as_str().unwrap()).await.json();
    assert_eq!((&own["executionId"], &own["runtimeStatus"]), (&queued["executionId"], &json!("Pending")));
    assert_ne!(own["executionId"], first["executionId"]);
    assert_eq!(web.post(&queued["terminatePostUri"].as_str().unwrap().replace("{text}", ""), "").await.status, 202);
    let left = web.get(&format!("{INSTANCES}/a")).await;
    assert_eq!((left.status.as_u16(), &left.json()["executionId"]), (202, &first["executionId"]));
}

/// The URLs are those of the proxy that the caller knows.
#[tokio::test]
async fn urls_are_as_the_proxies_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let headers =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", "soloist.example"), ("x-forwarded-prefix", "/jobs")];
    let started = web.ask("POST", "/orchestrators/f/a", &headers, "").await;
    let expected = format!("https://soloist.example/jobs{INSTANCES}/a?taskHub=default");
    assert_eq!(started.header("location"), expected);
    assert_eq!(started.json()["purgeHistoryDeleteUri"], expected);
}

/// Connections that are kept for the next request wait for nothing.
#[tokio::test]
async fn kept_connections_do_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    assert_eq!(web.get("/readyz").await.status, 200);
    let (ended, said) = server.stop().await;
    assert!(ended.success() && !said.contains("not everybody had left"), "{said}");
}
