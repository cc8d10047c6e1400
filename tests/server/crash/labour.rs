//! A worker that lives through the server's deaths, keeps to its leases by its own clock, and does anything it may.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use soloist::proto::v1::{
    self, CancelReason, RuntimeStatus, work_request::Message as Say, work_response::Message as Heard,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::callers::FUNCTION;
use crate::support::{
    recorder::{Fact, Recorder},
    seed::Seed,
};

/// Well below the third of a second that the server asks for.
const HEARTBEAT: Duration = Duration::from_millis(100);

pub struct Labourer {
    pub name: String,
    pub recorder: Recorder,
    pub seed: Seed,
    /// Ends every run as Completed, once it was given the events that it has to be given.
    pub tidy: bool,
    held: BTreeMap<ClaimId, Held>,
    /// Last words about runs that are over for the worker, not answered yet.
    last_words: BTreeMap<ClaimId, (Held, Say)>,
}

/// The grant's secret. Tokens are numbers of one instance each.
type ClaimId = Vec<u8>;

/// A run.
#[derive(Clone, Debug)]
struct Held {
    claim: v1::Claim,
    execution: String,
    /// When it has to have stopped; nothing before it was accepted.
    until: Option<Instant>,
    events: BTreeSet<u64>,
    /// The events that it has to be given before it says its last word.
    expected: BTreeSet<u64>,
    /// It has nothing to do but wait for these.
    waiting: bool,
    /// It is not heard of any more, and works on for as long as it may.
    silent: bool,
}

/// One connection.
struct Line {
    say: mpsc::Sender<v1::WorkRequest>,
    hear: Streaming<v1::WorkResponse>,
    sequence: u64,
    asked: HashMap<u64, Asked>,
    lease: Duration,
}

/// What waits for an answer.
enum Asked {
    Accept { run: ClaimId, sent: Instant },
    Heartbeat { sent: Instant },
    Progress { run: ClaimId },
    LastWord { run: ClaimId },
}

/// The server is gone.
struct Gone;

impl Labourer {
    pub fn new(name: String, recorder: Recorder, seed: Seed) -> Labourer {
        Labourer { name, recorder, seed, tidy: false, held: BTreeMap::new(), last_words: BTreeMap::new() }
    }

    /// Works until the server is gone.
    pub async fn work(mut self, mut stub: Stub) -> Labourer {
        // Whatever ended it: the server is gone.
        let _ = self.work_on(&mut stub).await;
        self
    }

    async fn work_on(&mut self, stub: &mut Stub) -> Result<(), Gone> {
        let (say, said) = mpsc::channel(1024);
        let sent = Instant::now();
        self.stop_what_ran_out(sent);
        let claims = self.held.values().chain(self.last_words.values().map(|(held, _)| held));
        let register = v1::Register {
            worker_name: self.name.clone(),
            functions: vec![FUNCTION.into()],
            max_runs: 6,
            held: claims.map(|held| held.claim.clone()).collect(),
        };
        say.send(v1::WorkRequest { sequence: 0, message: Some(Say::Register(register)) }).await.map_err(|_| Gone)?;
        let hear = stub.work(ReceiverStream::new(said)).await.map_err(|_| Gone)?.into_inner();
        let mut line = Line { say, hear, sequence: 0, asked: HashMap::new(), lease: Duration::ZERO };
        let Heard::Registered(registered) = line.hear().await? else { panic!("the first word is Registered") };
        let lease = registered.lease_duration.expect("a duration");
        line.lease = Duration::try_from(lease).expect("a duration");
        for (run, (_, last_word)) in self.last_words.clone() {
            line.say(last_word, Asked::LastWord { run }).await?;
        }
        for claim in registered.continued {
            match self.held.get(&claim.claim_id) {
                Some(held) if held.until.is_some() => {
                    self.renewed(&claim.claim_id, sent + line.lease);
                    self.next(claim.claim_id, &mut line).await?;
                }
                Some(_) => line.accept(claim).await?,
                None => {}
            }
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                heard = line.hear() => {
                    let heard = heard?;
                    self.recorder.answered();
                    self.heard(heard, &mut line).await?;
                }
                _ = heartbeat.tick() => {
                    let sent = Instant::now();
                    self.stop_what_ran_out(sent);
                    let accepted = self.held.values().filter(|held| held.until.is_some() && !held.silent);
                    let claims = accepted.map(|held| held.claim.clone()).collect();
                    line.say(Say::Heartbeat(v1::Heartbeat { claims }), Asked::Heartbeat { sent }).await?;
                }
            }
        }
    }

    async fn heard(&mut self, heard: Heard, line: &mut Line) -> Result<(), Gone> {
        match heard {
            Heard::Run(run) => {
                let claim = run.claim.expect("a claim");
                self.recorder.handed_out(&claim.instance_id, claim.fencing_token, &self.name);
                let expected = self.recorder.outstanding(&claim.instance_id, &run.execution_id);
                let held = Held {
                    claim: claim.clone(),
                    execution: run.execution_id,
                    until: None,
                    events: BTreeSet::new(),
                    expected,
                    waiting: false,
                    silent: false,
                };
                self.held.insert(claim.claim_id.clone(), held);
                line.accept(claim).await
            }
            Heard::Accepted(accepted) => match line.asked.remove(&accepted.sequence) {
                Some(Asked::Accept { run, sent }) => {
                    self.renewed(&run, sent + line.lease);
                    self.next(run, line).await
                }
                Some(Asked::Progress { run }) => self.next(run, line).await,
                Some(Asked::LastWord { run }) => {
                    self.last_word_was_taken(&run);
                    Ok(())
                }
                Some(Asked::Heartbeat { .. }) | None => Ok(()),
            },
            Heard::HeartbeatAcked(acked) => {
                if let Some(Asked::Heartbeat { sent }) = line.asked.remove(&acked.sequence) {
                    acked.renewed.iter().for_each(|claim| self.renewed(&claim.claim_id, sent + line.lease));
                }
                Ok(())
            }
            Heard::Event(event) => {
                let run = event.claim.expect("a claim").claim_id;
                let Some(held) = self.held.get_mut(&run) else { return Ok(()) };
                let in_order = held.events.last().is_none_or(|last| *last < event.sequence);
                // On a new stream the events that nobody has confirmed come again.
                assert!(in_order || held.events.contains(&event.sequence), "{held:?}, then {}", event.sequence);
                held.events.insert(event.sequence);
                if std::mem::take(&mut held.waiting) { self.next(run, line).await } else { Ok(()) }
            }
            Heard::Cancel(cancel) => {
                let reason = cancel.reason();
                let claim = cancel.claim.expect("a claim");
                if let Some(Asked::LastWord { run }) = line.asked.remove(&cancel.sequence) {
                    self.last_words.remove(&run);
                }
                // Whoever tells it so may give the run to somebody else.
                let lost = [CancelReason::LeaseLost, CancelReason::StaleFencingToken].contains(&reason);
                let until = self.held.get(&claim.claim_id).and_then(|held| held.until);
                let early = lost && until > Some(Instant::now());
                assert!(!early, "{} may still work on what it is told to have lost: {claim:?}", self.name);
                let Some(held) = self.stop(&claim.claim_id) else { return Ok(()) };
                let decided = [CancelReason::Terminated, CancelReason::Replaced, CancelReason::TimedOut];
                if decided.contains(&reason) {
                    self.say_last_word(held, Say::Stopped(v1::Stopped { claim: Some(claim) }), line).await?;
                }
                Ok(())
            }
            Heard::Rejected(rejected) => panic!("{rejected:?}"),
            Heard::Registered(_) | Heard::Suspend(_) | Heard::Resume(_) | Heard::Drain(_) => Ok(()),
        }
    }

    /// Does whatever comes next in a run.
    async fn next(&mut self, run: ClaimId, line: &mut Line) -> Result<(), Gone> {
        let dice = if self.tidy { 5 } else { self.seed.below(12) };
        let Some(held) = self.held.get_mut(&run) else { return Ok(()) };
        let claim = Some(held.claim.clone());
        if matches!(dice, 4..=8) && !held.expected.is_subset(&held.events) {
            held.waiting = true;
            return Ok(());
        }
        match (dice, held.events.last().copied()) {
            (0..=2, _) => {
                let progress = v1::Progress { claim, custom_status: Some("\"half\"".into()) };
                line.say(Say::Progress(progress), Asked::Progress { run }).await
            }
            (3, Some(sequence)) => {
                self.recorder.confirms(&held.claim.instance_id, sequence);
                let acked = v1::EventsAcked { claim, sequence };
                line.say(Say::EventsAcked(acked), Asked::Progress { run }).await
            }
            (4..=6, _) => self.end(&run, Say::Completed(v1::Completed { claim, output: None }), line).await,
            (7, _) => self.end(&run, Say::ContinueAsNew(v1::ContinueAsNew { claim, input: None }), line).await,
            (8, _) => {
                let failure = Some(v1::Failure { error_type: "Oops".into(), ..Default::default() });
                self.end(&run, Say::Failed(v1::Failed { claim, failure }), line).await
            }
            (9, _) => self.end(&run, Say::Stopped(v1::Stopped { claim }), line).await,
            (10, _) => {
                held.silent = true;
                Ok(())
            }
            // It takes its time, until somebody ends it.
            _ => Ok(()),
        }
    }

    async fn end(&mut self, run: &ClaimId, last_word: Say, line: &mut Line) -> Result<(), Gone> {
        let Some(held) = self.stop(run) else { return Ok(()) };
        self.say_last_word(held, last_word, line).await
    }

    /// The work stops, and only then it is said.
    fn stop(&mut self, run: &ClaimId) -> Option<Held> {
        let held = self.held.remove(run)?;
        self.recorder.let_go(&held.claim.instance_id, held.claim.fencing_token);
        Some(held)
    }

    async fn say_last_word(&mut self, held: Held, last_word: Say, line: &mut Line) -> Result<(), Gone> {
        let run = held.claim.claim_id.clone();
        self.last_words.insert(run.clone(), (held, last_word.clone()));
        line.say(last_word, Asked::LastWord { run }).await
    }

    fn last_word_was_taken(&mut self, run: &ClaimId) {
        let Some((held, last_word)) = self.last_words.remove(run) else { return };
        let Held { claim, execution, .. } = held;
        let fact = match last_word {
            Say::Completed(_) => Fact::Ended { execution, status: RuntimeStatus::Completed },
            Say::ContinueAsNew(_) => Fact::Continued { execution },
            _ => return,
        };
        self.recorder.fact(&claim.instance_id, fact);
    }

    fn renewed(&mut self, run: &ClaimId, until: Instant) {
        let Some(held) = self.held.get_mut(run) else { return };
        held.until = held.until.max(Some(until));
        self.recorder.holds(&held.claim.instance_id, held.claim.fencing_token, until);
    }

    fn stop_what_ran_out(&mut self, now: Instant) {
        self.held.retain(|_, held| held.until.is_none_or(|until| now < until));
    }
}

/// How a worker reaches its server.
pub type Stub = v1::worker_service_client::WorkerServiceClient<tonic::transport::Channel>;

impl Line {
    async fn say(&mut self, message: Say, asked: Asked) -> Result<(), Gone> {
        self.sequence += 1;
        self.asked.insert(self.sequence, asked);
        let request = v1::WorkRequest { sequence: self.sequence, message: Some(message) };
        self.say.send(request).await.map_err(|_| Gone)
    }

    async fn accept(&mut self, claim: v1::Claim) -> Result<(), Gone> {
        let asked = Asked::Accept { run: claim.claim_id.clone(), sent: Instant::now() };
        self.say(Say::Accept(v1::Accept { claim: Some(claim) }), asked).await
    }

    /// Cancel-safe.
    async fn hear(&mut self) -> Result<Heard, Gone> {
        match self.hear.message().await {
            Ok(Some(response)) => Ok(response.message.expect("it says something")),
            Ok(None) | Err(_) => Err(Gone),
        }
    }
}
