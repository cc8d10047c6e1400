//! What has ended is kept for its time, and goes by itself.

use std::{sync::Arc, time::Duration};

use soloist::{
    core::{
        command::{Target, Terminate},
        ids::{Arrival, InstanceKey},
        time::Span,
    },
    engine::{Engine, Swept},
};

use crate::stage::{MOMENT, Stage, just_before, key};

const DAY: Span = Span::from_secs(86_400);

async fn begin_and_end(stage: &Stage, key: &InstanceKey) {
    stage.engine.start(key, stage.start()).await.expect("it is free");
    let terminate = Terminate { reason: "enough".into(), output: None, target: Target::Latest, recurse: false };
    stage.engine.terminate(key, terminate).await.expect("it is live");
}

async fn is_there(engine: &Engine, key: &InstanceKey) -> bool {
    engine.status(key, None, false).await.is_ok()
}

/// Returns when the next sweep has been and is over.
async fn sweep() {
    /// Longer than there ever is between two: the hour, and the rest after one that was just under way.
    const A_WHILE: Duration = Duration::from_secs(3_600 + 60 + 1);
    tokio::time::sleep(A_WHILE).await;
}

/// A server that was started anew every hour never purged anything: the first sweep came an hour after its start.
#[tokio::test(start_paused = true)]
async fn the_first_sweep_comes_soon_after_the_start() {
    let stage = Stage::new();
    let ended = key("ended");
    begin_and_end(&stage, &ended).await;
    stage.clock.pass(DAY);
    stage.clock.pass(MOMENT);
    let stage = stage.crash_keeping(DAY).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(!is_there(&stage.engine, &ended).await);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_goes_when_its_time_is_over_and_not_before() {
    let stage = Stage::keeping(DAY);
    let (ended, again, live) = (key("ended"), key("again"), key("live"));
    begin_and_end(&stage, &ended).await;
    begin_and_end(&stage, &again).await;
    stage.engine.start(&live, stage.start()).await.expect("it is free");
    stage.clock.pass(just_before(DAY));
    // It has ended twice, the second time just now.
    begin_and_end(&stage, &again).await;
    // Somebody sets the clock: nothing goes early because of that.
    stage.clock.set_wall_by(1_000);
    sweep().await;
    for key in [&ended, &again, &live] {
        assert!(is_there(&stage.engine, key).await, "{key:?}");
    }
    stage.clock.pass(MOMENT);
    stage.clock.pass(MOMENT);
    sweep().await;
    assert!(!is_there(&stage.engine, &ended).await, "its time is over");
    for key in [&again, &live] {
        assert!(is_there(&stage.engine, key).await, "{key:?}");
    }
    stage.end().await;
}

/// By hand, beside the engine's own: a step does a bounded part of the work, and says where the next one begins.
#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_step_by_step() {
    const ENDED: u32 = 1_200;
    const STEP: u32 = 1_000;
    let stage = Stage::keeping(DAY);
    for n in 0..ENDED {
        begin_and_end(&stage, &key(&format!("ended {n}"))).await;
    }
    stage.clock.pass(DAY);
    stage.clock.pass(MOMENT);
    let stepper = stage.engine.stepper();
    let mut next = Some(Arrival(0));
    while let Some(after) = next {
        let Swept { purged, next: further } = stepper.sweep_next(after).await.expect("it purges");
        assert!(purged <= STEP && further.is_none_or(|further| further > after));
        next = further;
    }
    let left = stage.engine.list(Arc::default(), Arrival(0), 1).await.expect("a list");
    assert!(left.views.is_empty());
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_everything_is_kept_nothing_goes() {
    let stage = Stage::new();
    begin_and_end(&stage, &key("ended")).await;
    stage.clock.pass(Span::from_secs(1_000_000_000));
    let swept = stage.engine.stepper().sweep_next(Arrival(0)).await.expect("nothing fails");
    assert_eq!(swept, Swept { purged: 0, next: None });
    sweep().await;
    assert!(is_there(&stage.engine, &key("ended")).await);
    stage.end().await;
}
