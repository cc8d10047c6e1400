//! A worker's life: connect, register, work, reconnect, until it is told to stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc, sync::oneshot};
use tonic::Code;

use super::{
    Settings,
    crew::{Crew, Ended},
    holdings::Holdings,
    lease::{Heartbeats, Terms},
    link::{Link, News},
    run::Command,
};
use crate::{
    client::{Error, backoff::Backoff},
    proto::v1::{
        Heartbeat, HeartbeatAcked, Register, Registered, Resume, Suspend, WorkRequest, WorkResponse,
        work_request::Message, work_response::Message as Answer,
    },
};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Tries that fit into a lease, whatever the server asks to wait: so runs outlive its restart.
const TRIES_IN_A_LEASE: u32 = 5;
/// How long a connection, a stream and its registration may each take.
const OPENING_MAX: Duration = Duration::from_secs(10);
/// How long a worker that stops waits for the answers to its last reports.
const CLOSING_MAX: Duration = Duration::from_secs(3);
/// Claims in one message.
const CLAIMS_MAX: usize = 10_000;

/// Everything that a running worker has. It waits for many things at once and for none of them alone: nothing that a
/// function or the server does, or leaves undone, keeps it from watching the leases.
pub(super) struct Session {
    settings: Arc<Settings>,
    holdings: Holdings,
    crew: Crew,
    commands: mpsc::Receiver<Command>,
    link: Link,
    backoff: Backoff,
    /// When the Register of the present stream was sent.
    registering: Option<Instant>,
    /// Those of the present stream, once it is registered.
    heartbeats: Option<Heartbeats>,
    /// When the line counts as lost unless the server answers something.
    quiet_at: Option<Instant>,
    /// The longest rest before another try, for the leases that the server gives. Nothing before the first registration.
    longest_wait: Option<Duration>,
    stopping: Option<Stopping>,
}

#[derive(Clone, Copy)]
enum Stopping {
    /// Functions may go on until then.
    Finishing(Instant),
    /// Nothing runs on; answers to reports are awaited until then.
    Closing(Instant),
}

enum Turn {
    Alarm,
    Ended(Ended),
    Asked(Command),
    News(News),
    Stop,
}

// === impl Session ===

impl Session {
    /// `functions` is the runtime on which they run.
    pub(super) fn new(settings: Arc<Settings>, functions: Handle) -> Session {
        let (crew, commands) = Crew::new(settings.functions.clone(), functions);
        Session {
            holdings: Holdings::new(settings.limits()),
            settings,
            crew,
            commands,
            link: Link::Resting(Instant::now()),
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            registering: None,
            heartbeats: None,
            quiet_at: None,
            longest_wait: None,
            stopping: None,
        }
    }

    /// Works until `stop` is sent and everything is finished. Dropping this future drops all functions at once.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            self.ring(now);
            while let Some(order) = self.holdings.next_order() {
                self.crew.carry_out(order);
            }
            if self.is_done(now) {
                return Ok(());
            }
            let wants_room = self.wants_to_send(now);
            let turn = tokio::select! {
                () = sleep_until(self.next_alarm()) => Turn::Alarm,
                ended = self.crew.next_ended() => Turn::Ended(ended),
                Some(command) = self.commands.recv() => Turn::Asked(command),
                news = self.link.next(wants_room) => Turn::News(news),
                _ = &mut stop, if self.stopping.is_none() => Turn::Stop,
            };
            match turn {
                Turn::Alarm => {}
                Turn::Ended(ended) => self.ended(ended),
                Turn::Asked(command) => self.asked(command),
                Turn::News(news) => self.news(news)?,
                Turn::Stop => self.stop(),
            }
        }
    }

    /// Does what is due.
    fn ring(&mut self, now: Instant) {
        self.holdings.expire(now);
        if let Some(Stopping::Finishing(until)) = self.stopping
            && (now >= until || self.holdings.is_empty())
        {
            self.holdings.shut_down(now);
            self.stopping = Some(Stopping::Closing(now + CLOSING_MAX));
        }
        if self.quiet_at.is_some_and(|at| now >= at) {
            tracing::warn!("the server answers nothing; connecting anew");
            self.lost(None);
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        let stopping = self.stopping.map(|stopping| match stopping {
            Stopping::Finishing(until) | Stopping::Closing(until) => until,
        });
        let heartbeat = self.heartbeats.as_ref().map(Heartbeats::due).filter(|due| *due > Instant::now());
        [self.holdings.watch_at(), heartbeat, self.quiet_at, stopping].into_iter().flatten().min()
    }

    fn is_done(&self, now: Instant) -> bool {
        matches!(self.stopping, Some(Stopping::Closing(until)) if self.holdings.is_empty() || now >= until)
    }

    fn wants_to_send(&self, now: Instant) -> bool {
        let Some(heartbeats) = &self.heartbeats else { return false };
        self.holdings.reports.is_waiting() || heartbeats.due() <= now
    }

    fn ended(&mut self, ended: Ended) {
        // What the function asked for before it ended comes first.
        while let Ok(command) = self.commands.try_recv() {
            self.asked(command);
        }
        self.holdings.ended(&ended.claim, ended.ending, ended.taken, Instant::now());
    }

    fn asked(&mut self, command: Command) {
        match command {
            Command::Progress { claim, custom_status, ticket } => self.holdings.progress(claim, custom_status, ticket),
            Command::ConfirmEvents { claim, sequence } => self.holdings.confirm_events(claim, sequence),
        }
    }

    fn stop(&mut self) {
        tracing::info!("the worker stops");
        self.holdings.stop_taking();
        self.stopping = Some(Stopping::Finishing(Instant::now() + self.settings.shutdown_grace));
    }

    fn news(&mut self, news: News) -> Result<(), Error> {
        let now = Instant::now();
        match news {
            News::Rested => {
                self.quiet_at = Some(now + OPENING_MAX);
                self.link = Link::connect(&self.settings.endpoint);
            }
            News::Connected(channel) => {
                self.quiet_at = Some(now + OPENING_MAX);
                self.registering = Some(now);
                self.link = Link::open(channel, self.settings.hub.clone(), self.register());
            }
            News::Opened => {}
            News::Said(said) => self.said(said, now),
            News::Room => self.send(),
            News::Lost(error) => match error {
                // What is wrong with the registration will be wrong with the next one.
                Some(error) if error.code() == Code::InvalidArgument && self.longest_wait.is_none() => {
                    return Err(error);
                }
                error => self.lost(error),
            },
        }
        Ok(())
    }

    fn register(&self) -> WorkRequest {
        let mut held = self.holdings.held();
        held.truncate(CLAIMS_MAX);
        let register = Register {
            worker_name: self.settings.name.clone(),
            functions: self.settings.functions.keys().cloned().collect(),
            max_runs: self.settings.max_runs,
            held,
        };
        WorkRequest { sequence: 0, message: Some(Message::Register(register)) }
    }

    /// Hands over what is to be said while there is room. A heartbeat goes before the reports, so that no number of
    /// them can delay it.
    fn send(&mut self) {
        while self.link.has_room() {
            let Some(heartbeats) = &mut self.heartbeats else { return };
            let now = Instant::now();
            let message = if heartbeats.due() <= now {
                let sequence = self.holdings.reports.number();
                let mut claims = self.holdings.renewable();
                claims.truncate(CLAIMS_MAX);
                heartbeats.sent(sequence, now);
                WorkRequest { sequence, message: Some(Message::Heartbeat(Heartbeat { claims })) }
            } else if let Some(report) = self.holdings.reports.next(now) {
                report
            } else {
                return;
            };
            self.link.send(message);
        }
    }

    fn said(&mut self, said: WorkResponse, now: Instant) {
        // An unknown message is one of a newer server: what must be understood is never sent unasked.
        let Some(answer) = said.message else { return };
        if is_acknowledgement(&answer) {
            self.quiet_at = self.heartbeats.as_ref().map(|heartbeats| now + heartbeats.terms().lease);
        }
        match answer {
            Answer::Registered(registered) => self.registered(&registered, now),
            Answer::Run(run) => self.holdings.offered(run, now),
            Answer::Event(event) => self.holdings.event(event),
            Answer::Cancel(cancel) => self.holdings.cancelled(&cancel, now),
            Answer::Accepted(accepted) => self.holdings.accepted(&accepted, now),
            Answer::Rejected(rejected) => self.holdings.rejected(rejected, now),
            Answer::HeartbeatAcked(HeartbeatAcked { sequence, renewed }) => {
                if let Some(sent) = self.heartbeats.as_mut().and_then(|heartbeats| heartbeats.answered(sequence)) {
                    self.holdings.renewed(&renewed, sent);
                }
            }
            Answer::Suspend(Suspend { claim }) => claim.iter().for_each(|claim| self.holdings.paced(claim, true)),
            Answer::Resume(Resume { claim }) => claim.iter().for_each(|claim| self.holdings.paced(claim, false)),
            Answer::Drain(_) => tracing::info!("the server is about to end the stream"),
        }
    }

    fn registered(&mut self, registered: &Registered, now: Instant) {
        let Some(sent) = self.registering.take() else { return };
        let Some(terms) = Terms::of(registered) else {
            tracing::error!("the server did not say how long a lease lasts");
            return self.lost(None);
        };
        tracing::info!(lease = ?terms.lease, continued = registered.continued.len(), "the worker is registered");
        self.longest_wait = Some(LONGEST_WAIT.min(terms.lease / TRIES_IN_A_LEASE));
        self.backoff.reset();
        self.heartbeats = Some(Heartbeats::new(terms, now));
        self.quiet_at = Some(now + terms.lease);
        self.holdings.registered(terms.lease, registered, sent);
    }

    /// There is no stream any more: after a rest another one is opened.
    fn lost(&mut self, error: Option<Error>) {
        let wait = self.backoff.wait_within(self.longest_wait.unwrap_or(LONGEST_WAIT), error.as_ref());
        match &error {
            Some(error) => tracing::warn!(error = error as &dyn std::error::Error, ?wait, "no line to the server"),
            None => tracing::info!(?wait, "the stream has ended"),
        }
        self.holdings.reports.lost_stream();
        self.registering = None;
        self.heartbeats = None;
        self.quiet_at = None;
        self.link = Link::Resting(Instant::now() + wait);
    }
}

/// Whether it answers something: then what the worker says arrives.
fn is_acknowledgement(answer: &Answer) -> bool {
    match answer {
        Answer::HeartbeatAcked(_) | Answer::Accepted(_) | Answer::Rejected(_) | Answer::Registered(_) => true,
        Answer::Cancel(cancel) => cancel.sequence != 0,
        Answer::Run(_) | Answer::Event(_) | Answer::Suspend(_) | Answer::Resume(_) | Answer::Drain(_) => false,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
