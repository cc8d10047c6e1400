//! `soloist.v1.WorkerService`: one stream is one worker.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use tonic_types::ErrorDetails;

use super::{
    Door,
    convert::{self, Registration, Said},
    door::draining,
    status::{error, reason},
};
use crate::{
    core::{
        command::Report,
        ids::{ClaimId, InstanceKey, TaskHub},
        lease::{NotHeld, Proof},
        rejection::Rejection,
    },
    engine::{
        Connected, Connection, Engine, Refusal,
        workers::{Mail, Session, StopReason},
    },
    proto::v1::{self, work_response::Message, worker_service_server::WorkerService},
};

/// Messages to a worker that the transport has not taken yet: then the stream waits.
const OUTBOUND: usize = 16;
/// Reports of one worker whose commits are awaited at a time: then its next message waits.
const REPORTS_UNDER_WAY: usize = 256;
/// How long a new stream may take to say Register.
const REGISTER_WITHIN: Duration = Duration::from_secs(30);
/// How long a stream that ends waits for the reports under way, and for its last words to be taken.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub struct Work {
    pub door: Door,
    /// What workers are told.
    pub lease_duration: Duration,
    pub heartbeat_interval: Duration,
}

#[async_trait]
impl WorkerService for Work {
    type WorkStream = ReceiverStream<Result<v1::WorkResponse, Status>>;

    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let (hub, inbound) = self.door.enter(request)?;
        let (outbound, responses) = mpsc::channel(OUTBOUND);
        let stream = WorkStream {
            door: self.door.clone(),
            hub,
            outbound,
            lease_duration: self.lease_duration,
            heartbeat_interval: self.heartbeat_interval,
        };
        self.door.tasks.spawn(stream.serve(inbound));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// The reports whose commits are awaited, each with its answer.
type Answers = FuturesUnordered<Pin<Box<dyn Future<Output = Result<Message, Status>> + Send>>>;

/// Why a stream ends: the worker left, or this.
type Ended = Result<(), Status>;

#[derive(Clone)]
struct WorkStream {
    door: Door,
    hub: TaskHub,
    outbound: mpsc::Sender<Result<v1::WorkResponse, Status>>,
    lease_duration: Duration,
    heartbeat_interval: Duration,
}

/// A run on its way to the worker: taken back if it does not get there.
struct OnItsWay<'a> {
    engine: &'a Engine,
    key: InstanceKey,
    proof: Proof,
    left: bool,
}

impl WorkStream {
    async fn serve(self, mut inbound: Streaming<v1::WorkRequest>) {
        let ended = tokio::select! {
            ended = self.work(&mut inbound) => ended,
            () = self.outbound.closed() => return,
        };
        if let Err(status) = ended {
            // A worker that doesn't read its last words is not waited for.
            let _ = tokio::time::timeout(LAST_WORDS, self.outbound.send(Err(status))).await;
        }
    }

    async fn work(&self, inbound: &mut Streaming<v1::WorkRequest>) -> Ended {
        let connected = tokio::select! {
            connected = self.register(inbound) => connected?,
            () = self.door.drain.cancelled() => return Err(draining()),
        };
        let connection = self.welcome(connected).await?;
        let session = connection.session.clone();
        tracing::info!(worker = %session.worker, hub = self.hub.as_str(), "worker connected");

        let mut answers = Answers::new();
        let ended = tokio::select! {
            ended = self.listen(&session, inbound, &mut answers) => ended,
            ended = self.speak(&session) => ended,
            () = self.door.drain.cancelled() => self.say(Message::Drain(v1::Drain {})).await.and(Err(draining())),
        };
        // From now on it is given nothing more. What was reported is answered, whatever ends the stream.
        drop(connection);
        let last_answers = async {
            while let Some(answer) = answers.next().await {
                self.say(answer?).await?;
            }
            Ok::<(), Status>(())
        };
        let _ = tokio::time::timeout(LAST_WORDS, last_answers).await;
        tracing::info!(worker = %session.worker, hub = self.hub.as_str(), "worker disconnected");
        ended
    }

    async fn register(&self, inbound: &mut Streaming<v1::WorkRequest>) -> Result<Connected, Status> {
        let first = tokio::time::timeout(REGISTER_WITHIN, inbound.message()).await;
        let first = first.map_err(|_| out_of_turn("the first message must come within 30 s, and be Register"))??;
        let Some(v1::work_request::Message::Register(register)) = first.and_then(|request| request.message) else {
            return Err(out_of_turn("the first message must be Register"));
        };
        let Registration { worker, functions, max_runs, held } = convert::registration(&self.hub, &register)?;
        Ok(self.door.engine.connect(self.hub.clone(), worker, functions, max_runs, held).await?)
    }

    async fn welcome(&self, connected: Connected) -> Result<Connection, Status> {
        let Connected { connection, continued, lost } = connected;
        let paces = continued.iter().filter_map(|(_, proof)| connection.session.take_pace(proof.claim));
        let suspended: Vec<v1::Claim> =
            paces.filter(|(.., suspended)| *suspended).map(|(key, proof, _)| convert::claim(&key, proof)).collect();
        let registered = v1::Registered {
            lease_duration: prost_types::Duration::try_from(self.lease_duration).ok(),
            heartbeat_interval: prost_types::Duration::try_from(self.heartbeat_interval).ok(),
            continued: continued.iter().map(|(key, proof)| convert::claim(key, *proof)).collect(),
            suspended: suspended.clone(),
        };
        self.say(Message::Registered(registered)).await?;
        for (key, proof) in lost {
            self.say(Message::Cancel(convert::cancel(convert::claim(&key, proof), StopReason::LeaseLost, 0))).await?;
        }
        for claim in suspended {
            self.say(convert::pace(claim, true)).await?;
        }
        Ok(connection)
    }

    /// Hears what the worker says, and answers.
    async fn listen(
        &self,
        session: &Session,
        inbound: &mut Streaming<v1::WorkRequest>,
        answers: &mut Answers,
    ) -> Ended {
        loop {
            let said = tokio::select! {
                Some(answer) = answers.next() => {
                    self.say(answer?).await?;
                    continue;
                }
                said = inbound.message(), if answers.len() < REPORTS_UNDER_WAY => said?,
            };
            let Some(request) = said else { return Ok(()) };
            self.door.engine.heard(session);
            let sequence = request.sequence;
            match convert::said(&self.door, &self.hub, request.message) {
                Said::Heartbeat(claims) => self.renew(&claims, sequence).await?,
                Said::Report(key, report) => self.report(key, report, sequence, answers).await?,
                Said::Invalid(claim, message) => {
                    let rejected =
                        v1::Rejected { claim: Some(claim), sequence, reason: "INVALID_FIELD".into(), message };
                    self.say(Message::Rejected(rejected)).await?;
                }
                Said::OutOfTurn => return Err(out_of_turn("Register comes once, and every message says something")),
            }
        }
    }

    async fn renew(&self, claims: &[(InstanceKey, Proof)], sequence: u64) -> Ended {
        let mut renewed = Vec::new();
        let mut lost = Vec::new();
        for (key, proof) in claims {
            match self.door.engine.renew(key, *proof) {
                Ok(()) => renewed.push(convert::claim(key, *proof)),
                Err(NotHeld::Lost) => lost.push(convert::claim(key, *proof)),
                // The word of these is on its way: nobody hears of them before they are durable.
                Err(NotHeld::Cancelled(_) | NotHeld::Reported) => {}
            }
        }
        self.say(Message::HeartbeatAcked(v1::HeartbeatAcked { sequence, renewed })).await?;
        for claim in lost {
            self.say(Message::Cancel(convert::cancel(claim, StopReason::LeaseLost, 0))).await?;
        }
        Ok(())
    }

    async fn report(&self, key: InstanceKey, report: Report, sequence: u64, answers: &mut Answers) -> Ended {
        let claim = convert::claim(&key, report.proof);
        let answer = self.door.engine.report(key, report);
        let answer = Box::pin(async move {
            let refusal = match answer.await {
                Ok(()) => return Ok(Message::Accepted(v1::Accepted { claim: Some(claim), sequence })),
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Rejected(rejection) => Ok(refused(&rejection, claim, sequence)),
                other => Err(Status::from(other)),
            }
        });
        answers.push(answer);
        Ok(())
    }

    /// Tells the worker what waits for it.
    async fn speak(&self, session: &Arc<Session>) -> Ended {
        loop {
            match session.next_mail().await {
                Mail::Run(key, run) => {
                    let engine = &self.door.engine;
                    let mut on_its_way = OnItsWay { engine, key, proof: run.proof, left: false };
                    let input = match engine.input_of(&run).await {
                        Err(Refusal::Damaged(what)) => {
                            engine.give_up(&on_its_way.key, run.proof, "InputDamaged", what).await;
                            continue;
                        }
                        other => other?,
                    };
                    let run = convert::run(&on_its_way.key, &run, input);
                    self.say(Message::Run(run)).await?;
                    on_its_way.left = true;
                }
                Mail::Pace(claim) => {
                    if let Some((key, proof, suspended)) = session.take_pace(claim) {
                        self.say(convert::pace(convert::claim(&key, proof), suspended)).await?;
                    }
                }
                Mail::Events(claim) => self.deliver_events(session, claim).await?,
                Mail::Cancel(key, proof, why) => {
                    self.say(Message::Cancel(convert::cancel(convert::claim(&key, proof), why, 0))).await?;
                }
            }
        }
    }

    async fn deliver_events(&self, session: &Session, claim: ClaimId) -> Ended {
        loop {
            let Some(held) = session.held(claim) else { return Ok(()) };
            let events = match self.door.engine.events_for(session, claim).await {
                Err(Refusal::Damaged(what)) => {
                    self.door.engine.give_up(&held.key, held.proof, "EventsDamaged", what).await;
                    let claim = convert::claim(&held.key, held.proof);
                    return self.say(Message::Cancel(convert::cancel(claim, StopReason::LeaseLost, 0))).await;
                }
                other => other?,
            };
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                let sequence = event.sequence;
                self.say(Message::Event(convert::event(&held.key, held.proof, event))).await?;
                session.events_sent(claim, sequence);
            }
        }
    }

    async fn say(&self, message: Message) -> Ended {
        let sent = self.outbound.send(Ok(v1::WorkResponse { message: Some(message) })).await;
        sent.map_err(|_| Status::cancelled("the worker is gone"))
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.engine.take_back(&self.key, self.proof);
        }
    }
}

fn refused(rejection: &Rejection, claim: v1::Claim, sequence: u64) -> Message {
    match rejection {
        Rejection::Cancelled(why) => Message::Cancel(convert::cancel(claim, StopReason::Cancelled(*why), sequence)),
        Rejection::StaleFencingToken { .. } => Message::Cancel(convert::cancel(claim, StopReason::Stale, sequence)),
        other => Message::Rejected(v1::Rejected {
            claim: Some(claim),
            sequence,
            reason: reason(other).into(),
            message: other.to_string(),
        }),
    }
}

fn out_of_turn(message: &str) -> Status {
    error(Code::InvalidArgument, "OUT_OF_TURN", message, [], ErrorDetails::new())
}
