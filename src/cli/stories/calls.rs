//! Calls, their pages and their exit codes.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::Status;

use super::{Part, Script, run, status};
use crate::{
    cli::{ClientArgs, Error, Exit},
    proto::v1::{
        GetHistoryRequest, GetHistoryResponse, HistoryEvent, InstanceFilter, InstanceStatus, ListInstancesRequest,
        ListInstancesResponse, PurgeInstanceRequest, PurgeInstanceResponse, PurgeInstancesRequest,
        PurgeInstancesResponse, RestartInstanceRequest, RestartInstanceResponse, RuntimeStatus, StartOutcome,
        SuspendInstanceRequest, SuspendInstanceResponse,
    },
};

async fn told(script: &Script, line: &str) -> Result<Exit, Error> {
    script.play(async |args| run(line, args).await).await
}

#[tokio::test]
async fn a_start_of_a_taken_id_names_its_hub_and_ends_with_75() {
    let taken = Status::already_exists("An instance with ID 'nightly' already exists.");
    let script = Script { starts: Part::of([Err(taken)]), ..Script::default() };
    assert_eq!(told(&script, "start backup nightly").await.unwrap_err().exit().code(), 75);
    assert_eq!(*script.hubs.lock().unwrap(), ["stage"]);
}

#[tokio::test]
async fn a_full_queue_ends_with_75() {
    let full = Status::resource_exhausted("16 starts wait already");
    let script = Script { starts: Part::of([Err(full)]), ..Script::default() };
    let error = told(&script, "start backup nightly --on-conflict queue").await.unwrap_err();
    assert_eq!(error.exit().code(), 75);
    assert_eq!(script.starts.asked().len(), 1, "that a place is free soon is not to be hoped for");
}

#[tokio::test]
async fn a_restart_with_a_request_id_is_tried_again() {
    let answer = RestartInstanceResponse {
        outcome: StartOutcome::Started.into(),
        execution_id: "b".into(),
        status: Some(Box::new(status("b", RuntimeStatus::Pending, 9))),
        ..RestartInstanceResponse::default()
    };
    let answers = || Part::of([Err(Status::unavailable("draining")), Ok(answer.clone())]);
    let script = Script { restarts: answers(), ..Script::default() };
    assert_eq!(told(&script, "restart nightly --request-id r1").await.unwrap(), Exit::Done);
    let request = RestartInstanceRequest {
        instance_id: "nightly".into(),
        request_id: "r1".into(),
        ..RestartInstanceRequest::default()
    };
    assert_eq!(script.restarts.asked(), [request.clone(), request]);

    let script = Script { restarts: answers(), ..Script::default() };
    assert_eq!(told(&script, "restart nightly").await.unwrap_err().exit().code(), 1);
}

#[tokio::test]
async fn a_suspension_tells_why_and_which_execution() {
    let answer = SuspendInstanceResponse { status: Some(Box::new(status("a", RuntimeStatus::Suspended, 4))) };
    let script = Script { suspensions: Part::of([Ok(answer)]), ..Script::default() };
    told(&script, "suspend nightly --reason maintenance --expected-execution-id a").await.unwrap();
    let request = SuspendInstanceRequest {
        instance_id: "nightly".into(),
        reason: "maintenance".into(),
        expected_execution_id: "a".into(),
    };
    assert_eq!(script.suspensions.asked(), [request]);
}

fn page(ids: &[&str], next: &str) -> Result<ListInstancesResponse, Status> {
    let instance = |id: &&str| InstanceStatus { instance_id: (*id).into(), ..InstanceStatus::default() };
    Ok(ListInstancesResponse { instances: ids.iter().map(instance).collect(), next_page_token: next.into() })
}

fn tokens(script: &Script) -> Vec<String> {
    script.lists.asked().into_iter().map(|request| request.page_token).collect()
}

#[tokio::test]
async fn a_list_goes_through_all_pages_the_empty_ones_too() {
    let pages = || [page(&["a", "b"], "p1"), page(&[], "p2"), Err(Status::unavailable("draining")), page(&["c"], "")];
    let script = Script { lists: Part::of(pages()), ..Script::default() };
    let seen = script
        .play(async |args| {
            let mut instances = args.connect().await.unwrap().list_all(ListInstancesRequest::default());
            let mut seen = String::new();
            while let Some(instance) = instances.next().await {
                seen += &instance.unwrap().instance_id;
            }
            seen
        })
        .await;
    assert_eq!(seen, "abc");
    assert_eq!(tokens(&script), ["", "p1", "p2", "p2"]);

    let script = Script { lists: Part::of(pages()), ..Script::default() };
    told(&script, "list").await.unwrap();
    assert_eq!(tokens(&script), ["", "p1", "p2", "p2"]);
}

#[tokio::test]
async fn a_list_with_a_limit_asks_for_one_more_at_most() {
    let pages = [page(&["a", "b"], "p1"), page(&["c", "d"], "p2")];
    let script = Script { lists: Part::of(pages), ..Script::default() };
    told(&script, "list --limit 3").await.unwrap();
    let asked = script.lists.asked();
    assert_eq!(asked.iter().map(|request| request.page_size).collect::<Vec<_>>(), [4, 4]);
}

#[tokio::test]
async fn a_history_is_asked_for_by_its_execution() {
    let events = |ids: std::ops::Range<u64>| {
        let events = ids.map(|event_id| HistoryEvent { event_id, ..HistoryEvent::default() }).collect();
        Ok(GetHistoryResponse { events })
    };
    let scene = || vec![events(0..2), events(2..2), events(2..3)];
    let script = Script { histories: Part::scenes([scene(), scene()]), ..Script::default() };
    told(&script, "history nightly --expected-execution-id a").await.unwrap();
    let request = GetHistoryRequest { instance_id: "nightly".into(), expected_execution_id: "a".into() };
    assert_eq!(script.histories.asked(), std::slice::from_ref(&request));
    let seen = script.play(async |args| {
        let mut history = args.connect().await.unwrap().get_history(request).await.unwrap();
        let mut seen = Vec::new();
        while let Some(event) = history.next().await {
            seen.push(event.unwrap().event_id);
        }
        seen
    });
    assert_eq!(seen.await, [0, 1, 2]);
}

#[tokio::test]
async fn one_instance_is_purged_by_its_id() {
    let script = Script { purges: Part::of([Ok(PurgeInstanceResponse {})]), ..Script::default() };
    told(&script, "purge nightly --expected-execution-id a").await.unwrap();
    let request = PurgeInstanceRequest { instance_id: "nightly".into(), expected_execution_id: "a".into() };
    assert_eq!(script.purges.asked(), [request]);
}

#[tokio::test]
async fn a_purge_by_filter_goes_on_until_nothing_is_left() {
    let page = |purged, next: &str| Ok(PurgeInstancesResponse { purged, next_page_token: next.into() });
    let script =
        Script { purges_of_many: Part::of([page(1000, "p1"), page(0, "p2"), page(7, "")]), ..Script::default() };
    let filter = InstanceFilter { function_name: "backup".into(), ..InstanceFilter::default() };
    told(&script, "purge --function backup").await.unwrap();
    let request = |token: &str| PurgeInstancesRequest {
        filter: Some(filter.clone()),
        page_token: token.into(),
        ..PurgeInstancesRequest::default()
    };
    assert_eq!(script.purges_of_many.asked(), ["", "p1", "p2"].map(request));

    // A page whose answer was lost is not asked for again: the number would be wrong.
    let broken = [page(1000, "p1"), Err(Status::unavailable("no word of what was applied"))];
    let script = Script { purges_of_many: Part::of(broken), ..Script::default() };
    assert_eq!(told(&script, "purge --all").await.unwrap_err().exit().code(), 1);
    assert_eq!(script.purges_of_many.asked().len(), 2);
}

#[tokio::test]
async fn nothing_is_purged_by_accident() {
    let script = Script::default();
    for line in ["purge", "purge nightly --all", "purge nightly --function f", "purge --all --function f"] {
        assert_eq!(told(&script, line).await.unwrap_err().exit().code(), 2, "{line}");
    }
    assert!(script.purges.asked().is_empty() && script.purges_of_many.asked().is_empty());
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let error = Script::default()
        .play(async |args| {
            let args = ClientArgs { timeout: Some(Duration::from_millis(100)), ..args };
            run("terminate nightly", args).await.unwrap_err()
        })
        .await;
    assert_eq!(error.block(), "error: there was no answer within 100ms");
    assert_eq!(error.exit().code(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let args = ClientArgs { server: server.clone(), hub: "default".into(), json: false, timeout: None };
    let error = run("status nightly", args).await.unwrap_err().block();
    assert!(error.starts_with(&format!("error: cannot connect to {server}/: ")), "{error}");
    assert!(
        error.ends_with("\nStart a server with `soloist dev`, or name one with --server or SOLOIST_SERVER."),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_without_the_health_service_is_no_success() {
    let error = Script::default().play(async |args| run("health", args).await.unwrap_err()).await;
    assert!(error.block().ends_with("  code: UNIMPLEMENTED"), "{}", error.block());
    assert_eq!(error.exit().code(), 1);
}
