//! Group commit: one failure is everybody's who was in that commit, and of those who queued behind it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use soloist::{
    core::{ids::InstanceKey, status::Status},
    engine::Refusal,
    store::memory::Fault,
};

use crate::stage::{Stage, key};

const BEHIND: usize = 40;

#[tokio::test(start_paused = true)]
async fn a_failed_commit_is_unknown_to_all_who_waited_for_it() {
    for (fault, applied) in [(Fault::BeforeApplied { commits: 1 }, false), (Fault::AfterApplied { commits: 1 }, true)] {
        let stage = Stage::new();
        stage.memory.hold();
        stage.memory.plan(fault);
        let start = |key: InstanceKey| {
            let (engine, start) = (stage.engine.clone(), stage.start());
            tokio::spawn(async move { engine.start(&key, start).await })
        };
        let first = start(key("first"));
        let memory = stage.memory.clone();
        tokio::task::spawn_blocking(move || memory.wait_held(1)).await.expect("the first one's commit at the gate");
        let behind: Vec<InstanceKey> = (0..BEHIND).map(|n| key(&format!("behind {n}"))).collect();
        let waiting: Vec<_> = behind.iter().cloned().map(start).collect();
        tokio::task::yield_now().await;
        stage.memory.release();
        let answers = join_all(waiting).await.into_iter().chain([first.await]);
        for answer in answers {
            let answer = answer.expect("no panic");
            assert!(matches!(answer, Err(Refusal::OutcomeUnknown(_))), "{answer:?}");
        }
        let later = start(key("later")).await.expect("no panic");
        assert!(matches!(later, Err(Refusal::Unavailable(_))), "{later:?}");

        let stage = stage.crash().await;
        let mut found = BTreeSet::new();
        for key in behind.iter().cloned().chain([key("first"), key("later")]) {
            if let Ok(status) = stage.engine.status(&key, None, false).await {
                assert_eq!(status.status.view.execution.status, Status::Pending);
                found.insert(key);
            }
        }
        assert_eq!(found, applied.then(|| key("first")).into_iter().collect());
        stage.end().await;
    }
}
