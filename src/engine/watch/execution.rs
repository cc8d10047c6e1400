//! A watch of one execution: from the queue, where it may still wait, to its end.

use super::{ItemKind, Watch};
use crate::{
    core::{ids::ExecutionId, status::View},
    engine::Refusal,
};

/// Which of an instance's transitions belong to the execution that is watched.
pub struct Follow {
    execution: ExecutionId,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun,
    Over,
}

impl Follow {
    pub fn new(execution: ExecutionId) -> Follow {
        Follow { execution, stage: Stage::Waiting }
    }

    pub(super) fn is_of(&self, view: &View) -> bool {
        view.execution.id == self.execution
    }

    pub(super) fn has_begun(&self) -> bool {
        self.stage != Stage::Waiting
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Goes on to this state of the instance; answers whether it is one of the execution.
    pub fn shows(&mut self, view: &View) -> bool {
        let shows = match self.stage {
            Stage::Waiting => self.is_of(view),
            // Another execution after one that has not ended is the same one, continued as new.
            Stage::Begun => true,
            Stage::Over => false,
        };
        if shows {
            self.execution = view.execution.id;
            self.stage = match view.execution.status.is_live() {
                true if view.queue_position > 0 => Stage::Waiting,
                true => Stage::Begun,
                false => Stage::Over,
            };
        }
        shows
    }
}

impl Watch {
    /// The execution as it stands, or as it was when it ended; then nothing follows.
    pub(super) async fn look_at_execution(&mut self, kind: ItemKind) -> Result<(), Refusal> {
        let Some(execution) = self.follow.as_ref().map(|follow| follow.execution) else { return Ok(()) };
        let key = self.subscription.key.clone();
        let (sighting, payloads) = if self.payloads {
            let (sighting, payloads) = self.shared.look_with_payloads(&key, Some(execution)).await?;
            (sighting, Some(Box::new(payloads)))
        } else {
            (self.shared.look_at(&key, Some(execution)).await?, None)
        };
        let is_former = sighting.is_former;
        if let Some(follow) = &mut self.follow {
            follow.execution = sighting.transition.view.execution.id;
        }
        self.look_shows(sighting, kind, payloads);
        self.over |= is_former;
        Ok(())
    }
}
