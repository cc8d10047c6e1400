//! A store that fails while the server is already on its way out: it must not look like a good end.

use soloist::{
    core::time::Span,
    engine::{EndError, Refusal},
    store::memory::Fault,
};

use crate::stage::{Stage, key};

/// The last commit used to fail quietly: its caller was told that the outcome is unknown, and the server exited with 0.
#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_at_the_end_is_no_good_end() {
    let stage = Stage::new();
    stage.memory.plan(Fault::BeforeApplied { commits: 1 });
    let (stage, started) = with_a_start_at_the_gate(stage).await;
    let (ended, ()) = tokio::join!(stage.end_of_threads(), async { stage.memory.release() });
    assert!(matches!(ended, Err(EndError::StoreFailed(_))), "{ended:?}");
    let started = started.await.expect("no panic");
    assert!(matches!(started, Err(Refusal::OutcomeUnknown(_))), "{started:?}");
}

/// Nobody looked at the commits any more once the end had begun, so a disk that hung kept the server for ever.
#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_at_the_end_is_given_up_on() {
    let (stage, started) = with_a_start_at_the_gate(Stage::new()).await;
    stage.clock.pass(Span::from_secs(61));
    let ended = stage.end_of_threads().await;
    assert!(matches!(ended, Err(EndError::StoreFailed(_))), "{ended:?}");
    let started = started.await.expect("no panic");
    assert!(matches!(started, Err(Refusal::OutcomeUnknown(_))), "{started:?}");
    stage.memory.release();
}

type Started = tokio::task::JoinHandle<Result<soloist::engine::Started, Refusal>>;

async fn with_a_start_at_the_gate(stage: Stage) -> (Stage, Started) {
    stage.memory.hold();
    let (engine, start) = (stage.engine.clone(), stage.start());
    let started = tokio::spawn(async move { engine.start(&key("a"), start).await });
    let memory = stage.memory.clone();
    tokio::task::spawn_blocking(move || memory.wait_held(1)).await.expect("a commit at the gate");
    (stage, started)
}
