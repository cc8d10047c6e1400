//! Watchers: they read, stop reading, are cut off, and resume where they were.

use std::rc::Rc;

use soloist::{
    checker::history::Closing,
    core::{
        ids::{InstanceKey, Revision},
        rejection::Rejection,
    },
    engine::{Refusal, watch::Wish},
};

use crate::{
    stage::{MILLI, SECOND},
    witness::TOLD_WITHIN,
    world::World,
};

/// What it knows of an instance.
#[derive(Clone, Copy, Default)]
struct Position {
    revision: u64,
    sequence: u64,
}

/// Watches to the end of the play.
pub async fn watcher(world: Rc<World>, number: u64) {
    let name = format!("watcher {number}");
    let key = world.any_key();
    let mut at: Option<Position> = None;
    // A restless one comes anew after each few items.
    let rests = *world.dice.pick(&[3 * SECOND, 200 * MILLI]);
    let items = if world.dice.percent(50) { u64::MAX } else { world.dice.between(1, 4).unsigned_abs() };
    loop {
        world.rest(rests).await;
        if let Some(boot) = world.house.is_up().then(|| world.house.boot()) {
            watch(&world, &name, &key, boot, items, &mut at).await;
        }
    }
}

async fn watch(world: &Rc<World>, name: &str, key: &InstanceKey, boot: u64, items: u64, at: &mut Option<Position>) {
    let dice = &world.dice;
    world.stage.sleep(world.house.delay()).await;
    let Some(engine) = world.house.engine().filter(|_| world.house.boot() == boot) else { return };
    let resumed = at.filter(|_| dice.percent(80));
    let from = match resumed {
        Some(position) => Some(Revision(position.revision)),
        None => dice.percent(10).then_some(Revision(0)),
    };
    let wish = Wish { execution: None, from, wait_for_start: dice.percent(70), payloads: dice.percent(20) };
    let number = world.witness().history.watched(
        &crate::witness::instance_id(key),
        name,
        world.stage.now().unsigned_abs(),
        from.map(|revision| revision.0),
    );
    let mut last = resumed.map(|position| position.sequence);
    if resumed.is_none() && from.is_some() {
        last = Some(0);
    }
    let leaves_at = if dice.percent(50) { i64::MAX } else { world.stage.now() + dice.between(0, 60 * SECOND) };
    let reads_slowly = dice.percent(20);
    let mut items_left = items;
    let how = match world.house.while_up(boot, leaves_at, engine.watch(key.clone(), wish)).await {
        Some(Ok(mut watch)) => loop {
            let now = world.stage.now();
            let until = leaves_at.min(now + 2 * TOLD_WITHIN);
            world.seen.borrow_mut().insert(name.to_owned(), (key.clone(), last.unwrap_or(0)));
            match world.house.while_up(boot, until, watch.next()).await {
                Some(Ok(None)) => break Closing::Lost,
                Some(Ok(Some(item))) => {
                    world.witness().saw(number, key, last, &item);
                    let seen =
                        Position { revision: item.transition.view.revision.0, sequence: item.transition.sequence };
                    last = Some(seen.sequence);
                    items_left -= 1;
                    if items_left == 0 {
                        *at = Some(seen);
                        break Closing::Lost;
                    }
                    *at = Some(seen);
                    if reads_slowly && !world.calm.get() {
                        world.rest(20 * SECOND).await;
                    } else if dice.percent(30) {
                        world.rest(5 * MILLI).await;
                    }
                }
                None if world.house.boot() == boot && until < leaves_at => {
                    if !world.house.is_slow() {
                        world.witness().waits(key, now, last.unwrap_or(0));
                    }
                }
                Some(Err(Refusal::Unavailable(_))) | None => break Closing::Lost,
                Some(Err(other)) => {
                    world.witness().object(format!("{key:?}: a watch ended with {other}"));
                    break Closing::Lost;
                }
            }
        },
        Some(Err(Refusal::Rejected(rejection))) if matches!(*rejection, Rejection::NotFound { .. }) => {
            if at.is_some() {
                world.witness().object(format!("{key:?}: a watcher did not find what it had seen"));
            }
            Closing::Lost
        }
        Some(Err(Refusal::Unavailable(_))) | None => Closing::Lost,
        Some(Err(other)) => {
            world.witness().object(format!("{key:?}: a watch was refused with {other}"));
            Closing::Lost
        }
    };
    world.seen.borrow_mut().remove(name);
    let now = world.stage.now().unsigned_abs();
    world.witness().history.unwatched(number, now, how);
}
