//! A watcher that falls behind while the store makes it wait.

use futures_util::{FutureExt, future::join_all};
use soloist::{
    core::{command::Start, policy::ConflictPolicy},
    engine::watch::{ItemKind, Watch, Wish},
};

use crate::stage::{Stage, key};

/// Replacements, two transitions each, that come to more than a watcher's buffer holds.
const MANY: usize = 50;

async fn replace(stage: &Stage) {
    let start = Start { conflict_policy: ConflictPolicy::Replace, ..stage.start() };
    stage.engine.start(&key("i"), start).await.expect("it takes the place");
}

async fn next(watch: &mut Watch) -> (u64, ItemKind) {
    let item = watch.next().await.expect("a watch").expect("an item");
    (item.transition.sequence, item.kind)
}

/// A watcher that fell behind was given the present state, and fell behind once more while that became durable. It was
/// told a second time to start afresh, from the very state that it had just been given.
#[tokio::test]
async fn a_watcher_is_told_once_to_start_afresh_from_a_state() {
    let stage = Stage::new();
    replace(&stage).await;
    let mut watch = stage.engine.watch(key("i"), Wish::default()).await.expect("a watch");
    assert_eq!(next(&mut watch).await, (1, ItemKind::Current));

    join_all((0..MANY).map(|_| replace(&stage))).await;
    stage.memory.hold();
    let mut more = Box::pin(join_all((0..MANY).map(|_| replace(&stage))));
    assert!((&mut more).now_or_never().is_none(), "they are decided, and not durable");
    let told = {
        let mut looking = Box::pin(next(&mut watch));
        assert!((&mut looking).now_or_never().is_none(), "nobody is told of what is not durable");
        stage.memory.release();
        more.await;
        looking.await
    };
    let sequence = 1 + 4 * MANY as u64;
    assert_eq!(told, (sequence, ItemKind::Resync));
    assert!(watch.next().now_or_never().is_none(), "it has seen all that there is");
    replace(&stage).await;
    assert_eq!(next(&mut watch).await, (sequence + 1, ItemKind::Transition));
    assert_eq!(next(&mut watch).await, (sequence + 2, ItemKind::Transition));
    drop(watch);
    stage.end().await;
}
