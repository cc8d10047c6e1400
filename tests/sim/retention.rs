//! The retention's sweep, and which purges it may have made: nothing that is live or has just ended, and everything
//! that has outlived it.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use soloist::{
    core::{
        ids::{Arrival, ExecutionId, InstanceKey},
        time::{Span, Timestamp},
    },
    engine::Refusal,
};

use crate::{house::Reply, stage::SECOND, world::World};

/// A server's clock is ahead of the stage's time, or behind it, by this at most.
const SKEW_MAX: i64 = SECOND;

/// The purges that somebody has asked for: the others are the sweep's.
pub struct Purges {
    kept_for: Option<Span>,
    /// How long before it became durable something may have been decided.
    commit_max: i64,
    /// The calls that may purge now, by their numbers.
    asked: BTreeMap<u64, InstanceKey>,
    /// When the last such call was over.
    over_at: HashMap<InstanceKey, i64>,
}

impl Purges {
    pub fn new(kept_for: Option<Span>, commit_max: i64) -> Purges {
        Purges { kept_for, commit_max, asked: BTreeMap::new(), over_at: HashMap::new() }
    }

    pub fn asked(&mut self, call: u64, key: &InstanceKey) {
        self.asked.insert(call, key.clone());
    }

    /// The call was answered, or is waited for no more.
    pub fn over(&mut self, call: u64, now: i64) {
        if let Some(key) = self.asked.remove(&call) {
            self.over_at.insert(key, now);
        }
    }

    /// What is wrong with a purge that became durable just now, of what had ended at `ended_at` by its own account, and
    /// had moved for the last time at `moved_at`.
    pub fn judge(&self, key: &InstanceKey, ended_at: Option<Timestamp>, moved_at: i64, now: i64) -> Option<String> {
        let is_asked_now = self.asked.values().any(|asked| asked == key);
        let was_asked = self.over_at.get(key).is_some_and(|over_at| *over_at >= moved_at - self.commit_max);
        if is_asked_now || was_asked {
            return None;
        }
        let Some(kept_for) = self.kept_for else { return Some("it was purged, and nobody has asked for that".into()) };
        let Some(ended_at) = ended_at else { return Some("it was swept before its end".into()) };
        let early = ended_at.as_micros() + kept_for.as_micros() - now;
        (early > SKEW_MAX).then(|| format!("it was swept {early} us before its time"))
    }
}

/// Purges what has outlived the retention, pass by pass.
pub async fn sweeper(world: Rc<World>) {
    let Some(kept_for) = world.house.retention else { return };
    while !world.compared.get() {
        world.rest(10 * SECOND).await;
        let outlived = outlived(&world, kept_for);
        if pass(&world).await {
            let left = outlived.into_iter().find(|(key, execution)| is_at(&world, key, *execution));
            if let Some((key, execution)) = left {
                world.witness().object(format!("{key:?}: a sweep has left {execution}, which has outlived its time"));
            }
        }
    }
}

/// One pass through the store; answers whether it has come to its end.
async fn pass(world: &World) -> bool {
    let mut after = Arrival(0);
    while !world.compared.get() {
        let swept = world.house.call(i64::MAX, async |engine| engine.stepper().sweep_next(after).await).await;
        after = match swept {
            Reply::Answered(Ok(swept)) => match swept.next {
                Some(next) => next,
                None => return true,
            },
            Reply::Answered(Err(Refusal::Unavailable(_) | Refusal::OutcomeUnknown(_)))
            | Reply::Lost
            | Reply::Refused => return false,
            Reply::Answered(Err(other)) => {
                world.witness().object(format!("a sweep has ended with {other}"));
                return false;
            }
        };
    }
    false
}

/// What must not survive a sweep that begins now.
fn outlived(world: &World, kept_for: Span) -> Vec<(InstanceKey, ExecutionId)> {
    let limit = world.stage.now() - kept_for.as_micros() - SKEW_MAX;
    let ledger = world.house.disk().ledger.clone();
    let ledger = ledger.lock();
    let there =
        ledger.instances.iter().filter(|(_, entry)| entry.is_there()).map(|(key, e)| (key, &e.latest.execution));
    let outlived = there.filter(|(_, execution)| execution.completed_at.is_some_and(|at| at.as_micros() < limit));
    outlived.map(|(key, execution)| (key.clone(), execution.id)).collect()
}

fn is_at(world: &World, key: &InstanceKey, execution: ExecutionId) -> bool {
    let ledger = world.house.disk().ledger.clone();
    ledger.lock().there(key).is_some_and(|instance| instance.execution.id == execution)
}
