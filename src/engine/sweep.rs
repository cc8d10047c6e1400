//! Purges of many: those that somebody asks for, and of what has outlived the retention.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt, stream};

use super::{Engine, Page, Refusal, Shared, Stepper};
use crate::core::{
    command::{Command, Purge},
    filter::Filter,
    ids::{Arrival, InstanceId, InstanceKey},
    instance::Instance,
    limits,
    status::{Status, View},
    time::{Span, Timestamp},
};
use crate::mutant::Mutant;

/// Purges of one sweep whose commits are awaited at a time. They stand in the committer's queue like anybody's command.
const PURGES_UNDER_WAY: usize = 64;
/// The retention's sweep comes ten times within it, within these bounds.
const SWEEPS_PER_RETENTION: f64 = 10.0;
const SWEEP_INTERVAL_MIN: Span = Span::from_secs(1);
const SWEEP_INTERVAL_MAX: Span = Span::from_secs(3600);

/// What was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    pub purged: u32,
    /// Everything that arrived up to here was looked at; nothing if that is all.
    pub next: Option<Arrival>,
}

impl Engine {
    /// Purges the instances that are meant and arrived after `after`, at most `limit`. What is another execution, or
    /// meant no more, when its turn comes, is left alone.
    pub async fn purge_many(&self, filter: Arc<Filter>, after: Arrival, limit: usize) -> Result<Swept, Refusal> {
        self.shared.sweep(filter, after, limit).await
    }

    /// Purges an instance that has ended, then its sub-orchestrations and theirs, as far as they have ended too. Answers
    /// how many those were.
    pub async fn purge_family(&self, key: &InstanceKey) -> Result<u32, Refusal> {
        let (mut purged, mut left) = (0, vec![(key.clone(), None::<InstanceId>)]);
        while let Some((key, parent)) = left.pop() {
            let look = |instance: &Instance, _| {
                let spec = &instance.execution.spec;
                let is_of = |parent: &InstanceId| spec.parent.as_ref().is_some_and(|of| of.instance == *parent);
                // Another instance may have the id of a child by now.
                let is_family = parent.as_ref().is_none_or(is_of);
                let children = instance.turns.iter().flat_map(|turns| turns.children()).cloned();
                is_family.then(|| (instance.execution.id, children.collect::<BTreeSet<InstanceId>>()))
            };
            let Ok(Some((execution, children))) = self.shared.look_or_absent(&key, look).await? else { continue };
            match self.purge(&key, Some(execution)).await {
                Ok(()) => purged += 1,
                Err(Refusal::Rejected(_)) => continue,
                Err(refusal) => return Err(refusal),
            }
            let id = key.instance_id();
            left.extend(children.iter().map(|child| (key.sibling(child), Some(id.clone()))));
        }
        Ok(purged)
    }
}

impl Stepper {
    /// A step of a pass through the store that purges what ended longer ago than the retention, from `after` on. Answers
    /// where the next step begins; nothing if the pass is over, or if everything is kept.
    pub async fn sweep_next(&self, after: Arrival) -> Result<Swept, Refusal> {
        let Some(retention) = self.shared.config.retention else { return Ok(Swept { purged: 0, next: None }) };
        // On the steady clock, which is never ahead of the wall's: nothing goes early because somebody has set that.
        let now = self.shared.clock.now();
        let now = if Mutant::SweepByWallClock.is_on() { now.wall.as_micros() } else { now.steady.as_micros() };
        let kept_for = if Mutant::SweepEarly.is_on() { retention.scale(0.5) } else { retention };
        let ended_before = Some(Timestamp::from_micros(now.saturating_sub(kept_for.as_micros())));
        let filter = Arc::new(Filter { ended_before, ..Filter::default() });
        self.shared.sweep(filter, after, limits::PAGE_MAX).await
    }
}

impl Shared {
    async fn sweep(&self, filter: Arc<Filter>, after: Arrival, limit: usize) -> Result<Swept, Refusal> {
        let ended_before = filter.ended_before;
        let Page { views, next, .. } = self.page(&self.list_turns, filter, after, limit).await?;
        let purges = views.into_iter().map(|view| self.purge(view, ended_before));
        let mut purges = stream::iter(purges).buffer_unordered(PURGES_UNDER_WAY);
        let mut purged = 0;
        while let Some(done) = purges.next().await {
            purged += u32::from(done?);
        }
        Ok(Swept { purged, next })
    }

    /// Purges what was seen; answers whether it still was that.
    async fn purge(&self, seen: View, ended_before: Option<Timestamp>) -> Result<bool, Refusal> {
        if Mutant::LeaveOutlived.is_on() && seen.execution.status == Status::Terminated {
            return Ok(false);
        }
        let expected_execution = Some(seen.execution.id);
        let purge = Purge { expected_execution, ended_before, remember: self.config.request_memory };
        match self.execute(&seen.key, &Command::Purge(purge), 1).await {
            Ok(_) => Ok(true),
            Err(Refusal::Rejected(_)) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }
}

/// How often what has outlived the retention is looked for.
pub(super) fn interval(retention: Span) -> Span {
    retention.scale(1.0 / SWEEPS_PER_RETENTION).clamp(SWEEP_INTERVAL_MIN, SWEEP_INTERVAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_comes_often_enough_and_not_too_often() {
        for (retention, between) in [(1, 1), (60, 6), (86_400, 3600), (30 * 86_400, 3600)] {
            assert_eq!(interval(Span::from_secs(retention)), Span::from_secs(between));
        }
    }
}
