//! Waiting for the end of an execution.

use std::time::Duration;

use tonic::Status;

use super::{Part, Scene, Script, item, run, status};
use crate::{
    cli::{Error, Output, connect, start},
    client::ErrorKind,
    proto::v1::{
        InstanceStatus, RuntimeStatus, StartOutcome, StartSingletonResponse, WatchStatusRequest, WatchStatusResponse,
    },
};

fn of_watches(scenes: impl IntoIterator<Item = Scene<WatchStatusResponse>>) -> Script {
    Script { watches: Part::scenes(scenes), ..Script::default() }
}

/// Where each watch began: its execution, if of one, and the revision.
fn watched(script: &Script) -> Vec<(String, Option<u64>)> {
    let of = |request: WatchStatusRequest| (request.execution_id, request.from_revision);
    script.watches.asked().into_iter().map(of).collect()
}

/// A start that waits behind the execution `a` to become `b`.
fn queued() -> StartSingletonResponse {
    StartSingletonResponse {
        outcome: StartOutcome::Queued.into(),
        execution_id: "b".into(),
        queue_position: 1,
        status: Some(Box::new(status("a", RuntimeStatus::Running, 3))),
        ..StartSingletonResponse::default()
    }
}

/// Starts nothing, but waits as `soloist start --wait` does after its start.
async fn wait(script: &Script, timeout: Option<Duration>) -> Result<InstanceStatus, Error> {
    let started = StartSingletonResponse {
        execution_id: "a".into(),
        status: Some(Box::new(status("a", RuntimeStatus::Pending, 1))),
        ..StartSingletonResponse::default()
    };
    wait_after(script, started, timeout).await
}

async fn wait_after(
    script: &Script,
    answer: StartSingletonResponse,
    timeout: Option<Duration>,
) -> Result<InstanceStatus, Error> {
    script
        .play(async |args| {
            let client = args.connect().await?;
            connect::within(timeout, start::wait_for_end(&client, &answer, &Output::new(false))).await
        })
        .await
}

#[tokio::test]
async fn waiting_follows_a_function_that_continues_as_new() {
    let script = Script {
        now: InstanceStatus { output: Some("done".into()), ..status("b", RuntimeStatus::Completed, 4) },
        ..of_watches([vec![
            item(status("a", RuntimeStatus::Running, 2)),
            item(status("b", RuntimeStatus::Running, 3)),
            item(status("b", RuntimeStatus::Completed, 4)),
        ]])
    };
    let ended = wait(&script, None).await.unwrap();
    assert_eq!(ended.output.as_deref(), Some("done"));
    assert_eq!(watched(&script), [(String::new(), Some(1))]);
}

#[tokio::test]
async fn waiting_does_not_take_a_successor_for_the_one_it_waited_for() {
    let now = status("b", RuntimeStatus::Completed, 90);
    let gap = WatchStatusResponse { status: Some(Box::new(now)), resync: true, ..WatchStatusResponse::default() };
    let error = wait(&of_watches([vec![Ok(gap)]]), None).await.unwrap_err();
    assert_eq!(error.to_string(), "how execution a ended is not known: the instance is at execution b now");
    assert!(matches!(&error, Error::Call(error) if error.kind() == ErrorKind::Missed), "{error:?}");
    assert_eq!(error.exit().code(), 1);
}

#[tokio::test]
async fn an_end_that_was_seen_counts_even_if_a_successor_runs_by_now() {
    let script = Script {
        now: status("b", RuntimeStatus::Running, 7),
        ..of_watches([vec![item(status("a", RuntimeStatus::Failed, 2))]])
    };
    assert_eq!(wait(&script, None).await.unwrap().runtime_status(), RuntimeStatus::Failed);
}

/// The start was done before, and its instance was purged since: the answer looked like a broken server's.
#[tokio::test]
async fn a_start_whose_instance_is_gone_can_not_be_waited_for() {
    let answer = StartSingletonResponse {
        outcome: StartOutcome::Deduplicated.into(),
        execution_id: "a".into(),
        ..StartSingletonResponse::default()
    };
    let error = wait_after(&Script::default(), answer, None).await.unwrap_err();
    let says = "how execution a ended is not known: the instance was purged";
    assert!(matches!(&error, Error::Call(error) if error.kind() == ErrorKind::Missed), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn waiting_has_a_limit_if_one_is_given() {
    let endless = (0..1000).map(|_| vec![Err(Status::unavailable("draining"))]);
    let error = wait(&of_watches(endless), Some(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn a_queued_start_is_followed_from_the_queue_to_its_end() {
    let script = Script {
        now: InstanceStatus { output: Some("done".into()), ..status("b", RuntimeStatus::Completed, 7) },
        ..of_watches([
            vec![item(status("b", RuntimeStatus::Pending, 3)), Err(Status::unavailable("draining"))],
            vec![item(status("b", RuntimeStatus::Running, 6)), item(status("b", RuntimeStatus::Completed, 7))],
        ])
    };
    let ended = wait_after(&script, queued(), None).await.unwrap();
    assert_eq!((ended.execution_id.as_str(), ended.output.as_deref()), ("b", Some("done")));
    assert_eq!(watched(&script), [("b".into(), None), ("b".into(), Some(3))]);
}

/// The watch of an execution ends where it continues as new, without an end of the execution.
#[tokio::test]
async fn a_queued_start_is_followed_where_its_function_continues_as_new() {
    let script = Script {
        now: status("c", RuntimeStatus::Completed, 9),
        ..of_watches([
            vec![item(status("b", RuntimeStatus::Pending, 3)), item(status("b", RuntimeStatus::Running, 6))],
            vec![item(status("c", RuntimeStatus::Running, 7)), item(status("c", RuntimeStatus::Completed, 9))],
        ])
    };
    let ended = wait_after(&script, queued(), None).await.unwrap();
    assert_eq!(ended.execution_id, "c");
    assert_eq!(watched(&script), [("b".into(), None), (String::new(), Some(6))]);
}

#[tokio::test]
async fn a_start_that_is_withdrawn_from_the_queue_did_not_complete() {
    let script = Script {
        starts: Part::of([Ok(queued())]),
        now: status("a", RuntimeStatus::Running, 3),
        ..of_watches([vec![
            item(status("b", RuntimeStatus::Pending, 3)),
            item(status("b", RuntimeStatus::Terminated, 4)),
        ]])
    };
    let line = "start backup nightly --on-conflict queue --wait";
    assert_eq!(script.play(async |args| run(line, args).await.unwrap()).await.code(), 1);
}

#[tokio::test]
async fn the_library_waits_for_an_execution_too() {
    let script = Script {
        now: InstanceStatus { output: Some("done".into()), ..status("b", RuntimeStatus::Completed, 7) },
        ..of_watches([vec![item(status("b", RuntimeStatus::Completed, 7))]])
    };
    let ended =
        script.play(async |args| args.connect().await?.wait_for_execution("nightly", "b").await.map_err(Error::from));
    assert_eq!(ended.await.unwrap().output.as_deref(), Some("done"));

    let unknown = Script::default();
    let error =
        unknown.play(async |args| args.connect().await.unwrap().wait_for_execution("nightly", "z").await.unwrap_err());
    assert_eq!(error.await.code(), tonic::Code::NotFound);
}
