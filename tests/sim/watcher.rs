//! Watchers: they read, stop reading, are cut off, and resume where they were.

use std::rc::Rc;

use soloist::{
    checker::history::{Closing, WatchNumber},
    core::{
        ids::{InstanceKey, Revision},
        rejection::Rejection,
    },
    engine::{
        Refusal,
        watch::{ItemKind, Watch, Wish},
    },
};

use crate::{
    stage::{MILLI, SECOND},
    witness::{Position, TOLD_WITHIN, Watching, instance_id},
    world::World,
};

struct Watcher {
    world: Rc<World>,
    name: String,
    key: InstanceKey,
    at: Option<Position>,
    /// How many items it reads on one stream.
    items: u64,
}

/// One stream of a watcher.
struct Stream {
    number: WatchNumber,
    watching: Watching,
    last: Option<Position>,
    leaves_at: i64,
    reads_slowly: bool,
}

/// Watches to the end of the play.
pub async fn watcher(world: Rc<World>, number: u64) {
    let key = world.any_key();
    // A restless one comes anew after each few items.
    let rests = *world.dice.pick(&[3 * SECOND, 200 * MILLI]);
    let items = if world.dice.percent(50) { u64::MAX } else { world.dice.between(1, 4).unsigned_abs() };
    let mut watcher = Watcher { world, name: format!("watcher {number}"), key, at: None, items };
    loop {
        watcher.world.rest(rests).await;
        if let Some(boot) = watcher.world.house.is_up().then(|| watcher.world.house.boot()) {
            watcher.watch(boot).await;
        }
    }
}

impl Watcher {
    async fn watch(&mut self, boot: u64) {
        let world = self.world.clone();
        let dice = &world.dice;
        world.stage.sleep(world.house.delay()).await;
        let Some(engine) = world.house.engine().filter(|_| world.house.boot() == boot) else { return };
        let execution = world.any_execution(&self.key).filter(|_| dice.percent(25));
        let resumed = self.at.filter(|_| execution.is_none() && dice.percent(80));
        let from = match resumed {
            Some(position) => Some(position.revision),
            None => dice.percent(10).then_some(0),
        };
        let wait_for_start = execution.is_none() && dice.percent(70);
        let payloads = dice.percent(20);
        let wish = Wish { execution, from: from.map(Revision), wait_for_start, payloads };
        let number = self.note(&wish, from);
        let mut stream = Stream {
            number,
            watching: Watching { key: self.key.clone(), reached: from.unwrap_or(0), is_shown: false, execution },
            last: resumed.or((from == Some(0) && execution.is_none()).then(Position::default)),
            leaves_at: if dice.percent(50) { i64::MAX } else { world.stage.now() + dice.between(0, 60 * SECOND) },
            reads_slowly: dice.percent(20),
        };
        let how = match world.house.while_up(boot, stream.leaves_at, engine.watch(self.key.clone(), wish)).await {
            Some(Ok(watch)) => self.read(&mut stream, watch, boot).await,
            Some(Err(refusal)) => self.refused(&refusal, execution.is_some()),
            None => Closing::Lost,
        };
        world.seen.borrow_mut().remove(&self.name);
        let now = world.stage.now().unsigned_abs();
        world.witness().history.unwatched(number, now, how);
    }

    fn note(&self, wish: &Wish, from: Option<u64>) -> WatchNumber {
        let now = self.world.stage.now().unsigned_abs();
        let (history, id) = (&mut self.world.witness().history, instance_id(&self.key));
        match wish.execution {
            Some(execution) => history.watched_execution(&id, &self.name, now, &execution.to_string(), from),
            None => history.watched(&id, &self.name, now, from),
        }
    }

    /// Why it may not watch.
    fn refused(&self, refusal: &Refusal, is_of_one: bool) -> Closing {
        let is_right = match refusal {
            Refusal::Unavailable(_) => true,
            Refusal::Rejected(rejection) => match **rejection {
                Rejection::NotFound { .. } => true,
                Rejection::ExecutionNotFound { .. } => is_of_one,
                _ => false,
            },
            Refusal::OutcomeUnknown(_) | Refusal::TooMany(_) | Refusal::Damaged(_) => false,
        };
        if !is_right {
            self.world.witness().object(format!("{:?}: a watch was refused with {refusal}", self.key));
        }
        Closing::Lost
    }

    async fn read(&mut self, stream: &mut Stream, mut watch: Watch, boot: u64) -> Closing {
        let world = self.world.clone();
        let dice = &world.dice;
        let mut items_left = self.items;
        loop {
            let now = world.stage.now();
            let until = stream.leaves_at.min(now + 2 * TOLD_WITHIN);
            world.seen.borrow_mut().insert(self.name.clone(), stream.watching.clone());
            match world.house.while_up(boot, until, watch.next()).await {
                Some(Ok(None)) => return self.over(stream),
                Some(Ok(Some(item))) => {
                    world.witness().saw(stream.number, &stream.watching, stream.last, &item);
                    let view = &item.transition.view;
                    let seen = Position { revision: view.revision.0, sequence: item.transition.sequence };
                    stream.last = Some(seen);
                    (stream.watching.reached, stream.watching.is_shown) = (seen.revision, true);
                    match &mut stream.watching.execution {
                        Some(execution) => *execution = view.execution.id,
                        None => self.at = Some(seen),
                    }
                    if matches!(item.kind, ItemKind::Purged { .. }) {
                        stream.watching.is_shown = false;
                    }
                    items_left -= 1;
                    if items_left == 0 {
                        return Closing::Lost;
                    }
                    if stream.reads_slowly && !world.calm.get() {
                        world.rest(20 * SECOND).await;
                    } else if dice.percent(30) {
                        world.rest(5 * MILLI).await;
                    }
                }
                None if world.house.boot() == boot && until < stream.leaves_at => {
                    if !world.house.is_slow() {
                        world.witness().waits(&stream.watching, now);
                    }
                }
                None | Some(Err(Refusal::Unavailable(_))) => return Closing::Lost,
                // It fell behind, and what it watches is over.
                Some(Err(Refusal::Rejected(rejection)))
                    if stream.watching.execution.is_some()
                        && matches!(*rejection, Rejection::ExecutionNotFound { .. } | Rejection::NotFound { .. }) =>
                {
                    return Closing::Lost;
                }
                Some(Err(other)) => {
                    world.witness().object(format!("{:?}: a watch ended with {other}", self.key));
                    return Closing::Lost;
                }
            }
        }
    }

    /// The stream has ended by itself.
    fn over(&self, stream: &Stream) -> Closing {
        let is_right = stream.watching.execution.is_some() || !stream.watching.is_shown;
        if !is_right {
            self.world.witness().object(format!("{:?}: a watch has ended by itself", self.key));
        }
        Closing::Finished
    }
}
