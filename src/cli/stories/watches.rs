//! Watching, over lost connections.

use std::time::Duration;

use futures_util::FutureExt;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Part, Scene, Script, item, status};
use crate::{
    cli::{ClientArgs, Error, connect},
    client::{InstancesEvent, Watch, WatchEvent},
    proto::v1::{
        InstanceStatus, RuntimeStatus, WatchInstancesRequest, WatchInstancesResponse, WatchStatusRequest,
        WatchStatusResponse,
    },
};

fn heartbeat() -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse { heartbeat: true, ..WatchStatusResponse::default() })
}

async fn watch(args: &ClientArgs, execution_id: &str) -> Watch {
    let request = WatchStatusRequest {
        instance_id: "nightly".into(),
        execution_id: execution_id.into(),
        ..WatchStatusRequest::default()
    };
    args.connect().await.unwrap().watch(request)
}

/// What a watch tells up to its end, or to an error.
async fn told(mut watch: Watch) -> (Vec<String>, Option<Error>) {
    let mut seen = Vec::new();
    while let Some(event) = watch.next_event().await {
        match event {
            Ok(WatchEvent::Item(item)) if item.purged => seen.push("purged".into()),
            Ok(WatchEvent::Item(item)) => seen.push(format!("item {}", item.status.revision)),
            Ok(WatchEvent::Interrupted(lost)) => seen.push(format!("lost after {:?}", lost.after_revision)),
            Err(error) => return (seen, Some(Error::Call(error))),
        }
    }
    (seen, None)
}

fn of_watches(scenes: impl IntoIterator<Item = Scene<WatchStatusResponse>>) -> Script {
    Script { watches: Part::scenes(scenes), ..Script::default() }
}

fn resumed_from(script: &Script) -> Vec<Option<u64>> {
    script.watches.asked().into_iter().map(|request| request.from_revision).collect()
}

#[tokio::test]
async fn a_watch_goes_on_where_its_connection_was_lost() {
    let script = of_watches([
        vec![heartbeat(), item(status("a", RuntimeStatus::Pending, 5)), Err(Status::unavailable("draining"))],
        vec![item(status("a", RuntimeStatus::Running, 8))],
        vec![Err(Status::not_found("purged"))],
    ]);
    let (seen, error) = script.play(async |args| told(watch(&args, "").await).await).await;

    assert_eq!(seen, ["item 5", "lost after Some(5)", "item 8", "lost after Some(8)"]);
    assert_eq!(resumed_from(&script), [None, Some(5), Some(8)]);
    assert_eq!(error.unwrap().to_string(), "purged");
}

#[tokio::test]
async fn a_purge_is_the_last_that_a_watch_sees() {
    let ended = status("a", RuntimeStatus::Completed, 5);
    let purged =
        WatchStatusResponse { purged: true, status: Some(Box::new(ended.clone())), ..WatchStatusResponse::default() };
    let script = of_watches([vec![item(ended), Ok(purged), Err(Status::unavailable("draining"))]]);
    let (seen, error) = script.play(async |args| told(watch(&args, "").await).await).await;
    assert_eq!(seen, ["item 5", "purged"]);
    assert!(error.is_none());
}

#[tokio::test]
async fn a_watch_of_one_execution_ends_with_it() {
    let scene = || vec![item(status("a", RuntimeStatus::Running, 5))];
    // It ends well, however the execution went on.
    let script = of_watches([scene()]);
    let (seen, error) = script.play(async |args| told(watch(&args, "a").await).await).await;
    assert_eq!((seen, error.is_none()), (vec!["item 5".to_owned()], true));
    // The connection is lost: the end may still come.
    let lost = || Err(Status::unavailable("draining"));
    let ended = || item(status("a", RuntimeStatus::Failed, 6));
    let script = of_watches([scene().into_iter().chain([lost()]).collect(), vec![ended(), lost()]]);
    let (seen, error) = script.play(async |args| told(watch(&args, "a").await).await).await;
    assert_eq!(seen, ["item 5", "lost after Some(5)", "item 6"]);
    assert!(error.is_none());
}

fn told_of_many(id: &str) -> Result<WatchInstancesResponse, Status> {
    let status = InstanceStatus { instance_id: id.into(), ..InstanceStatus::default() };
    Ok(WatchInstancesResponse { status: Some(Box::new(status)), ..WatchInstancesResponse::default() })
}

#[tokio::test]
async fn a_watch_of_many_begins_again_when_its_connection_is_lost_or_it_fell_behind() {
    let synced = || Ok(WatchInstancesResponse { synced: true, ..WatchInstancesResponse::default() });
    let resync = || Ok(WatchInstancesResponse { resync: true, ..WatchInstancesResponse::default() });
    let heartbeat = || Ok(WatchInstancesResponse { heartbeat: true, ..WatchInstancesResponse::default() });
    let lost = || Err(Status::unavailable("draining"));
    let scenes = [
        vec![told_of_many("a"), synced(), heartbeat(), told_of_many("b"), lost()],
        vec![lost()],
        vec![told_of_many("b"), synced(), resync(), told_of_many("c"), synced()],
        vec![Err(Status::invalid_argument("no"))],
    ];
    let script = Script { watches_of_many: Part::scenes(scenes), ..Script::default() };
    let (seen, error) = script
        .play(async |args| {
            let request = WatchInstancesRequest::of_ids(["a", "b", "c"]);
            let mut watch = args.connect().await.unwrap().watch_instances(request);
            let mut seen = Vec::new();
            loop {
                match watch.next_event().await.unwrap() {
                    Ok(InstancesEvent::Item(item)) => seen.push(item.status.instance_id),
                    Ok(InstancesEvent::Synced) => seen.push("synced".into()),
                    Ok(InstancesEvent::BeginsAgain) => seen.push("again".into()),
                    Ok(InstancesEvent::Interrupted(_)) => seen.push("lost".into()),
                    Err(error) => {
                        assert!(watch.next_event().await.is_none());
                        return (seen, error);
                    }
                }
            }
        })
        .await;
    let expected = "a synced b lost lost again b synced again c synced lost";
    assert_eq!(seen.join(" "), expected);
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert_eq!(script.watches_of_many.asked(), vec![WatchInstancesRequest::of_ids(["a", "b", "c"]); 4]);
}

/// A table that was drawn every 100 ms opened its stream anew each time, and never had one where that took longer.
#[tokio::test]
async fn a_watch_that_is_waited_for_in_short_turns_is_opened_once() {
    let one = of_watches([vec![item(status("a", RuntimeStatus::Running, 8))]]);
    let many = Script { watches_of_many: Part::scenes([vec![told_of_many("a")]]), ..Script::default() };
    one.play(async |args| {
        let mut watch = watch(&args, "").await;
        let event = in_turns(async || watch.next_event().now_or_never()).await;
        assert!(matches!(event, Some(Ok(WatchEvent::Item(_)))), "{event:?}");
    })
    .await;
    many.play(async |args| {
        let mut watch = args.connect().await.unwrap().watch_instances(WatchInstancesRequest::of_prefix(""));
        let event = in_turns(async || watch.next_event().now_or_never()).await;
        assert!(matches!(event, Some(Ok(InstancesEvent::Item(_)))), "{event:?}");
    })
    .await;
    assert_eq!((one.watches.asked().len(), many.watches_of_many.asked().len()), (1, 1));
}

/// Asks until there is an answer, and lets others come to their turn in between.
async fn in_turns<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking).await.expect("an answer")
}

/// The server had more watches than it takes when it came back: those who had one before gave up.
#[tokio::test]
async fn a_server_that_is_full_for_a_while_ends_no_watch_that_it_had_taken() {
    let full = || {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::ZERO));
        details.set_error_info("TOO_MANY", "soloist", []);
        Err(Status::with_error_details(Code::ResourceExhausted, "too many watchers", details))
    };
    let scene = |revision| Ok(vec![item(status("a", RuntimeStatus::Running, revision))]);
    let script = Script { watches: Part::of([scene(5), full(), scene(8)]), ..Script::default() };
    let (seen, _) = script.play(async |args| told(watch(&args, "").await).await).await;
    assert_eq!(seen[..4], ["item 5", "lost after Some(5)", "lost after Some(5)", "item 8"]);

    let script = Script { watches: Part::of([full(), scene(5)]), ..Script::default() };
    let (seen, error) = script.play(async |args| told(watch(&args, "").await).await).await;
    assert!(seen.is_empty(), "a watch that was never taken is refused: {seen:?}");
    assert_eq!(error.unwrap().to_string(), "too many watchers");
}

/// The command's own way to watch: what is lost is told on stderr, and the next item waited for.
#[tokio::test]
async fn people_see_items_only() {
    let script = of_watches([vec![], vec![item(status("a", RuntimeStatus::Running, 8))]]);
    let seen = script.play(async |args| connect::next(&mut watch(&args, "").await).await).await;
    assert_eq!(seen.unwrap().unwrap().status.revision, 8);
}
