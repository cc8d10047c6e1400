//! GetWorkItems: one stream is one worker's.

use std::{pin::Pin, time::Duration};

use futures_util::stream;
use prost::Message;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    core::{
        effect::ActivityOffer,
        ids::{CompletionToken, TaskHub},
        status::Failure,
    },
    engine::{
        Refusal,
        work_items::{Assignment, Attendance, Work},
    },
    grpc::{Door, door::draining, durable_task::convert},
    proto::durable_task::{self as pb, work_item::Request},
};

/// An idle stream says so often that it is alive: workers give up one that says nothing for two minutes.
const HEALTH_PING: Duration = Duration::from_secs(25);
/// Bytes of a work item that the published packages take.
const ITEM_BYTES_MAX: usize = 4 << 20;

pub type Items = Pin<Box<dyn Stream<Item = Result<pb::WorkItem, Status>> + Send>>;

/// `unbounded` are workers that take messages of any size.
pub fn work_items(
    door: &Door,
    hub: TaskHub,
    request: pb::GetWorkItemsRequest,
    unbounded: bool,
) -> Result<Items, Status> {
    let attendance = door.engine.attend(convert::wishes(hub, request)?)?;
    tracing::info!(stream = attendance.stream.id.0, "a Durable Task worker has connected");
    let bytes_max = if unbounded { usize::MAX } else { ITEM_BYTES_MAX };
    let giver = Giver { door: door.clone(), attendance, bytes_max, ended: false };
    Ok(Box::pin(stream::unfold(giver, Giver::next)))
}

struct Giver {
    door: Door,
    attendance: Attendance,
    bytes_max: usize,
    ended: bool,
}

impl Drop for Giver {
    fn drop(&mut self) {
        tracing::info!(stream = self.attendance.stream.id.0, "a Durable Task worker has disconnected");
    }
}

impl Giver {
    async fn next(mut self) -> Option<(Result<pb::WorkItem, Status>, Giver)> {
        if self.ended {
            return None;
        }
        let item = loop {
            let assignment = tokio::select! {
                biased;
                () = self.door.drain.cancelled() => break Err(draining()),
                assignment = self.attendance.stream.next() => assignment,
                () = tokio::time::sleep(HEALTH_PING) => break Ok(health_ping()),
            };
            match self.item(&assignment).await {
                Ok(Some(item)) => break Ok(item),
                // It is no longer wanted, or ends here.
                Ok(None) => self.door.engine.take_back_item(assignment.token),
                Err(refusal) => {
                    self.door.engine.take_back_item(assignment.token);
                    break Err(refusal.into());
                }
            }
        };
        self.ended = item.is_err();
        Some((item, self))
    }

    async fn item(&self, assignment: &Assignment) -> Result<Option<pb::WorkItem>, Refusal> {
        match &assignment.item.work {
            Work::Turn => self.turn(assignment).await,
            Work::Activity(offer) => self.activity(assignment, offer).await,
        }
    }

    async fn activity(&self, assignment: &Assignment, offer: &ActivityOffer) -> Result<Option<pb::WorkItem>, Refusal> {
        let Assignment { token, item, .. } = assignment;
        let told = match self.door.engine.scheduled(item).await {
            Ok(Some(event)) => convert::activity(&item.key, offer, &event).map_err(|damage| damage.to_string()),
            Ok(None) => return Ok(None),
            Err(Refusal::Damaged(what)) => Err(what),
            Err(refusal) => return Err(refusal),
        };
        let failure = match told {
            Ok(request) => {
                let item = work_item(*token, Request::ActivityRequest(request));
                match self.too_large(&item) {
                    None => return Ok(Some(item)),
                    Some(said) => Failure::declared("ActivityTooLarge", format!("an activity {said}")),
                }
            }
            Err(damage) => Failure::declared("StoreDamaged", damage),
        };
        self.fail_activity(*token, failure).await;
        Ok(None)
    }

    async fn turn(&self, assignment: &Assignment) -> Result<Option<pb::WorkItem>, Refusal> {
        let Assignment { token, item, claim: Some(claim) } = assignment else { return Ok(None) };
        let engine = &self.door.engine;
        let told = match engine.turn_content(&item.key, *token, claim).await {
            Ok(Some(content)) => convert::turn(&item.key, claim, content, engine.now()),
            Ok(None) => return Ok(None),
            Err(Refusal::Damaged(what)) => Err(what),
            Err(refusal) => return Err(refusal),
        };
        let failure = match told {
            Ok((request, sent)) => {
                let item = work_item(*token, Request::OrchestratorRequest(request));
                match self.too_large(&item) {
                    None => {
                        engine.was_sent(*token, sent);
                        return Ok(Some(item));
                    }
                    Some(said) => {
                        let advice = "for instance with continue-as-new or smaller payloads";
                        let what = format!("a turn of this orchestration {said}: make its history smaller, {advice}");
                        Failure::declared("HistoryTooLarge", what)
                    }
                }
            }
            Err(damage) => Failure::declared("StoreDamaged", damage),
        };
        engine.give_turn_up(&item.key, *token, claim, failure).await;
        Ok(None)
    }

    /// Whether the worker would lose its stream over the item, and why.
    fn too_large(&self, item: &pb::WorkItem) -> Option<String> {
        let (bytes, max) = (item.encoded_len(), self.bytes_max);
        let said = || format!("takes {bytes} bytes, and its worker's SDK takes messages of at most {max}");
        (bytes > max).then(said)
    }

    /// No worker can be told what to do.
    async fn fail_activity(&self, token: CompletionToken, failure: Failure) {
        if let Some(out) = self.door.engine.item_out(token) {
            // It may have been overtaken.
            let _ = self.door.engine.end_activity(&out, token, convert::failed(failure)).await;
        }
    }
}

fn work_item(token: CompletionToken, request: Request) -> pb::WorkItem {
    pb::WorkItem { completion_token: convert::token(token), request: Some(request) }
}

fn health_ping() -> pb::WorkItem {
    pb::WorkItem { completion_token: String::new(), request: Some(Request::HealthPing(pb::HealthPing {})) }
}
