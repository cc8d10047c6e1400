//! GetWorkItems: one stream is one worker's.

use std::{collections::VecDeque, future, pin::Pin, time::Duration};

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
        partition::TurnClaim,
        work_items::{Assignment, Attendance, Content, Wishes, Work},
    },
    grpc::{Door, door::draining, durable_task::convert},
    proto::durable_task::{self as pb, work_item::Request},
};

/// An idle stream says so often that it is alive: workers give up one that says nothing for two minutes.
const HEALTH_PING: Duration = Duration::from_secs(25);
/// Work items that are read at a time.
const ITEMS_AT_ONCE: usize = 64;
/// Bytes of a work item that the published packages take.
const ITEM_BYTES_MAX: usize = 4 << 20;

pub type Items = Pin<Box<dyn Stream<Item = Result<pb::WorkItem, Status>> + Send>>;

/// What is known of a worker by the package that it uses.
pub struct Manners {
    /// It takes messages of any size.
    pub unbounded: bool,
    /// It may be one that names no completion tokens.
    pub nameless: bool,
}

pub fn work_items(
    door: &Door,
    hub: TaskHub,
    request: pb::GetWorkItemsRequest,
    Manners { unbounded, nameless }: Manners,
) -> Result<Items, Status> {
    let wishes = Wishes { nameless, ..convert::wishes(hub, request)? };
    let attendance = door.engine.attend(wishes)?;
    tracing::info!(stream = attendance.stream.id.0, "a Durable Task worker has connected");
    let bytes_max = if unbounded { usize::MAX } else { ITEM_BYTES_MAX };
    let giver =
        Giver { door: door.clone(), attendance, bytes_max, waiting: Vec::new(), ready: VecDeque::new(), ended: false };
    Ok(Box::pin(stream::unfold(giver, Giver::next)))
}

struct Giver {
    door: Door,
    attendance: Attendance,
    bytes_max: usize,
    /// What is not read yet, in the order in which it came.
    waiting: Vec<Assignment>,
    /// What is read and can be told.
    ready: VecDeque<pb::WorkItem>,
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
            if self.door.drain.is_cancelled() {
                break Err(draining());
            }
            if let Some(item) = self.ready.pop_front() {
                break Ok(item);
            }
            let come = tokio::select! {
                biased;
                () = self.door.drain.cancelled() => break Err(draining()),
                come = self.attendance.stream.next(ITEMS_AT_ONCE) => Ok(come),
                tellable = self.first_tellable() => tellable.map(|()| Vec::new()),
                () = tokio::time::sleep(HEALTH_PING) => break Ok(health_ping()),
            };
            let prepared = match come {
                Ok(come) => self.prepare(come).await,
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = prepared {
                break Err(refusal.into());
            }
        };
        self.ended = item.is_err();
        Some((item, self))
    }

    /// Waits for what speaks of changes that are not durable yet.
    async fn first_tellable(&self) -> Result<(), Refusal> {
        match self.waiting.first() {
            Some(assignment) => self.door.engine.until_tellable(assignment).await,
            None => future::pending().await,
        }
    }

    /// Gets what has come ready, and what waited, as far as it can be told by now.
    async fn prepare(&mut self, come: Vec<Assignment>) -> Result<(), Refusal> {
        let engine = self.door.engine.clone();
        self.waiting.extend(come);
        let mut tellable: Vec<Assignment> =
            self.waiting.extract_if(.., |assignment| engine.is_tellable(assignment)).take(ITEMS_AT_ONCE).collect();
        let contents = engine.contents(&tellable).await;
        self.waiting.splice(..0, tellable.split_off(contents.len()));
        for (assignment, content) in tellable.into_iter().zip(contents) {
            match self.item(&assignment, content).await {
                Ok(Some(item)) => self.ready.push_back(item),
                // It is no longer wanted, or ends here.
                Ok(None) => engine.take_back_item(assignment.token),
                Err(refusal) => {
                    engine.take_back_item(assignment.token);
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    async fn item(
        &self,
        assignment: &Assignment,
        content: Result<Option<Content>, Refusal>,
    ) -> Result<Option<pb::WorkItem>, Refusal> {
        match (&assignment.item.work, &assignment.claim) {
            (Work::Turn, Some(claim)) => self.turn(assignment, claim, content).await,
            (Work::Turn, None) => Ok(None),
            (Work::Activity(offer), _) => self.activity(assignment, offer, content).await,
        }
    }

    async fn activity(
        &self,
        assignment: &Assignment,
        offer: &ActivityOffer,
        content: Result<Option<Content>, Refusal>,
    ) -> Result<Option<pb::WorkItem>, Refusal> {
        let Assignment { token, item, .. } = assignment;
        let told = match content {
            Ok(Some(Content::Activity(event))) => {
                convert::activity(&item.key, offer, &event).map_err(|damage| damage.to_string())
            }
            Ok(Some(Content::Turn(_)) | None) => return Ok(None),
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

    async fn turn(
        &self,
        assignment: &Assignment,
        claim: &TurnClaim,
        content: Result<Option<Content>, Refusal>,
    ) -> Result<Option<pb::WorkItem>, Refusal> {
        let Assignment { token, item, .. } = assignment;
        let engine = &self.door.engine;
        let told = match content {
            Ok(Some(Content::Turn(content))) => convert::turn(&item.key, claim, content, engine.now()),
            Ok(Some(Content::Activity(_)) | None) => return Ok(None),
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
