//! Watchers that fell behind while their instance was purged.

use soloist::{
    core::{
        command::{Report, ReportBody},
        lease::Proof,
        status::Status,
    },
    engine::{
        watch::{Item, ItemKind, Watch, Wish},
        workers::Mail,
    },
};

use crate::stage::{Stage, key};

/// More transitions than are kept for a watcher that does not read.
const MANY: usize = 100;

/// An execution of `a` with so many transitions more than one has that begins and completes.
async fn life(stage: &Stage, worker: &soloist::engine::Connection, more: usize) {
    stage.engine.start(&key("a"), stage.start()).await.expect("it is free");
    let Mail::Run(_, run) = worker.session.next_mail().await else { panic!("no run") };
    for number in 0..more {
        let body = ReportBody::Progress { custom_status: Some(number.to_string().into()) };
        report(stage, run.proof, body).await;
    }
    report(stage, run.proof, ReportBody::Completed { output: None }).await;
}

async fn report(stage: &Stage, proof: Proof, body: ReportBody) {
    stage.engine.report(key("a"), Report { proof, body }).await.expect("accepted");
}

async fn purge(stage: &Stage) {
    stage.engine.purge(&key("a"), None).await.expect("it has ended");
}

async fn next(watch: &mut Watch) -> Option<Item> {
    watch.next().await.expect("no error")
}

/// The watcher was told NOT_FOUND, as if it had asked for what never was, instead of `purged`.
#[tokio::test(start_paused = true)]
async fn who_fell_behind_is_told_of_the_purge_and_of_its_gap() {
    let stage = Stage::new();
    let worker = stage.worker("w").await;
    let wish = Wish { wait_for_start: true, ..Wish::default() };
    let mut watch = stage.engine.watch(key("a"), wish).await.expect("a watch");
    life(&stage, &worker, MANY).await;
    purge(&stage).await;
    let last = next(&mut watch).await.expect("the word of the purge");
    assert_eq!((last.kind, last.transition.sequence), (ItemKind::Purged { gap: true }, MANY as u64 + 3));
    assert_eq!(last.transition.view.execution.status, Status::Completed);
    assert!(next(&mut watch).await.is_none(), "nothing follows");
    stage.end().await;
}

/// Whoever slept through the whole life of another instance under the same id was shown its end as the next of the
/// former one's transitions.
#[tokio::test(start_paused = true)]
async fn who_slept_through_a_purge_is_told_to_start_afresh() {
    for second_is_purged in [false, true] {
        let stage = Stage::new();
        let worker = stage.worker("w").await;
        let wish = Wish { wait_for_start: true, ..Wish::default() };
        let mut watch = stage.engine.watch(key("a"), wish).await.expect("a watch");
        life(&stage, &worker, 0).await;
        for sequence in 1..=3 {
            let item = next(&mut watch).await.expect("a transition");
            assert_eq!((item.kind, item.transition.sequence), (ItemKind::Transition, sequence));
        }
        purge(&stage).await;
        life(&stage, &worker, MANY).await;
        if second_is_purged {
            purge(&stage).await;
        }
        let item = next(&mut watch).await.expect("the state as it is");
        let expected = if second_is_purged { ItemKind::Purged { gap: true } } else { ItemKind::Resync };
        assert_eq!((item.kind, item.transition.sequence), (expected, MANY as u64 + 3));
        stage.end().await;
    }
}
