//! Watches of many instances: how they stand is read page by page, and each of them is asked at every transition.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use soloist::{
    core::{
        filter::Filter,
        ids::{Arrival, TaskHub},
    },
    engine::{
        Refusal,
        watch::{Glimpse, Panorama, Wanted},
    },
};

use crate::stage::{Stage, key};

/// How long something may take that takes moments.
const PATIENCE: Duration = Duration::from_secs(30);

fn all(stage: &Stage) -> Result<Panorama, Refusal> {
    let filter = Filter { hub: Some(TaskHub::default()), ..Filter::default() };
    stage.engine.watch_many(Wanted::Pattern(TaskHub::default(), Arc::new(filter)))
}

/// A heartbeat that came more often than a page could be read kept the watch from ever getting on.
#[tokio::test]
async fn whoever_gives_up_waiting_and_waits_again_gets_on() {
    let stage = Stage::new();
    stage.engine.start(&key("i"), stage.start()).await.expect("it is free");
    let mut panorama = all(&stage).expect("a watch");
    let begun = Instant::now();
    let first = loop {
        if let Some(glimpse) = panorama.next().now_or_never() {
            break glimpse.expect("the watch goes on");
        }
        assert!(begun.elapsed() < PATIENCE, "nothing comes");
        tokio::task::yield_now().await;
    };
    assert!(matches!(first, Glimpse::Current(transition) if transition.view.key == key("i")));
    drop(panorama);
    stage.end().await;
}

/// Streams that nobody reads on held the turns to read pages for as long as they stood.
#[tokio::test]
async fn who_asks_no_more_keeps_nobody_waiting() {
    let stage = Stage::new();
    stage.engine.start(&key("i"), stage.start()).await.expect("it is free");
    let mut idle: Vec<Panorama> = (0..10).map(|_| all(&stage).expect("a watch")).collect();
    for panorama in &mut idle {
        assert!(panorama.next().now_or_never().is_none(), "a page takes a while");
    }
    let listed = stage.engine.list(Arc::default(), Arrival(0), 10);
    let page = tokio::time::timeout(PATIENCE, listed).await.expect("its turn comes").expect("a page");
    assert_eq!(page.views.len(), 1);
    let mut other = all(&stage).expect("a watch");
    tokio::time::timeout(PATIENCE, other.next()).await.expect("its turn comes").expect("an instance");
    drop(idle);
    stage.end().await;
}

#[tokio::test]
async fn there_is_a_bound_to_watches_by_prefix_or_function() {
    const PATTERNS_MAX: usize = 1_000;
    let stage = Stage::new();
    let mut watches: Vec<Panorama> = (0..PATTERNS_MAX).map(|_| all(&stage).expect("there is room")).collect();
    assert!(matches!(all(&stage), Err(Refusal::TooMany(_))));
    stage.engine.watch_many(Wanted::These([key("i")].into())).expect("others are not counted");
    drop(watches.pop());
    watches.push(all(&stage).expect("there is room again"));
    drop(watches);
    stage.end().await;
}
