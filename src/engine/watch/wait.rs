//! Calls that wait until an instance has come so far.

use std::sync::Arc;

use super::{ItemKind, Shared, Watch, Wish};
use crate::{
    core::{
        ids::InstanceKey,
        status::{Status, View},
    },
    engine::Refusal,
};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// It is Pending no more.
    Begun,
    Ended,
}

impl Milestone {
    fn is_reached(self, status: Status) -> bool {
        match self {
            Milestone::Begun => status != Status::Pending,
            Milestone::Ended => !status.is_live(),
        }
    }
}

impl Shared {
    /// How the instance stood when it had come so far; nothing if it was purged meanwhile. An id that was never started is
    /// waited for; an execution that goes on as new, or that another one takes the place of, has not come anywhere.
    pub(in crate::engine) async fn until(
        self: &Arc<Shared>,
        key: &InstanceKey,
        milestone: Milestone,
    ) -> Result<Option<View>, Refusal> {
        let place = self.watchers.take_place_to_wait()?;
        let wish = Wish { wait_for_start: true, ..Wish::default() };
        let mut watch = Watch::begin_at(place, self.clone(), key.clone(), wish).await?;
        // It ended, as it says because it was replaced: the successor, begun in the same step, proves that.
        let mut replaced: Option<View> = None;
        loop {
            if replaced.is_some() && watch.is_over() {
                return Ok(replaced);
            }
            let Some(item) = watch.next().await? else { return Ok(None) };
            match item.kind {
                ItemKind::Purged { .. } => return Ok(None),
                ItemKind::Current | ItemKind::Resync | ItemKind::Transition => {}
            }
            let view = &item.transition.view;
            if let Some(former) = replaced.take()
                && former.execution.replaced_by() != Some(view.execution.id)
            {
                return Ok(Some(former));
            }
            if milestone.is_reached(view.execution.status) {
                if view.execution.replaced_by().is_none() {
                    return Ok(Some(view.clone()));
                }
                replaced = Some(view.clone());
            }
        }
    }
}
