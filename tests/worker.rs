//! The worker against a server that plays a script: real sockets, and leases of the length that the story needs.

#![cfg(all(feature = "server", feature = "worker"))]
#![expect(clippy::disallowed_methods, reason = "a test starts tasks, threads and clocks of its own")]

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use soloist::{
    proto::v1::{
        Accepted, Cancel, CancelReason, Claim, Drain, Event, HeartbeatAcked, Registered, Resume, Run as Given, Suspend,
        WorkRequest, WorkResponse,
        work_request::Message,
        work_response::Message as Answer,
        worker_service_server::{WorkerService, WorkerServiceServer},
    },
    worker::{Cancellation, Cancelled, Failure, Outcome, Run, Worker},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

/// Nothing in these stories takes as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A lease that no story outlives.
const LONG: Duration = Duration::from_secs(60);

/// Hands each stream that a worker opens to the script.
struct Stage {
    streams: mpsc::Sender<Line>,
}

/// The script's end of one stream.
struct Line {
    hub: Option<String>,
    said: Streaming<WorkRequest>,
    answers: mpsc::Sender<Result<WorkResponse, Status>>,
}

#[tonic::async_trait]
impl WorkerService for Stage {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<WorkResponse, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let hub = request.metadata().get("taskhub").and_then(|hub| hub.to_str().ok()).map(str::to_owned);
        let (answers, stream) = mpsc::channel(64);
        let line = Line { hub, said: request.into_inner(), answers };
        self.streams.send(line).await.map_err(|_| Status::unavailable("the play is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// A server on a port of its own, and the streams that workers open.
async fn stage() -> (SocketAddr, mpsc::Receiver<Line>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let (streams, opened) = mpsc::channel(4);
    let service = WorkerServiceServer::new(Stage { streams });
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    (address, opened)
}

impl Line {
    /// The worker's next message that is no heartbeat; heartbeats are not answered.
    async fn hear(&mut self) -> (u64, Message) {
        loop {
            let (sequence, message) = self.hear_any().await;
            if !matches!(message, Message::Heartbeat(_)) {
                return (sequence, message);
            }
        }
    }

    async fn hear_any(&mut self) -> (u64, Message) {
        let said = timeout(PATIENCE, self.said.message()).await.expect("the worker speaks").expect("a whole stream");
        let said = said.expect("the worker has not hung up");
        (said.sequence, said.message.expect("a message that this server knows"))
    }

    async fn say(&self, answer: Answer) {
        self.answers.send(Ok(WorkResponse { message: Some(answer) })).await.expect("the worker listens");
    }

    async fn register(&mut self, lease: Duration, interval: Duration, continued: Vec<Claim>) -> Vec<Claim> {
        self.register_suspended(lease, interval, continued, Vec::new()).await
    }

    /// The same, and some of the runs that go on are suspended.
    async fn register_suspended(
        &mut self,
        lease: Duration,
        interval: Duration,
        continued: Vec<Claim>,
        suspended: Vec<Claim>,
    ) -> Vec<Claim> {
        let (_, message) = self.hear().await;
        let Message::Register(register) = message else { panic!("first comes Register: {message:?}") };
        let length = |length: Duration| prost_types::Duration::try_from(length).ok();
        let (lease_duration, heartbeat_interval) = (length(lease), length(interval));
        let registered = Registered { lease_duration, heartbeat_interval, continued, suspended };
        self.say(Answer::Registered(registered)).await;
        register.held
    }

    async fn accept(&self, id: &str, sequence: u64) {
        self.say(Answer::Accepted(Accepted { claim: Some(claim(id)), sequence })).await;
    }

    /// Hands out a run and confirms its Accept.
    async fn hand_out(&mut self, id: &str) {
        self.say(Answer::Run(given(id))).await;
        let (sequence, message) = self.hear().await;
        assert!(matches!(message, Message::Accept(_)), "{message:?}");
        self.accept(id, sequence).await;
    }

    async fn cancel(&self, id: &str, reason: CancelReason) {
        let cancel = Cancel { claim: Some(claim(id)), reason: reason.into(), ..Cancel::default() };
        self.say(Answer::Cancel(cancel)).await;
    }

    async fn suspend(&self, id: &str) {
        self.say(Answer::Suspend(Suspend { claim: Some(claim(id)) })).await;
    }

    async fn resume(&self, id: &str) {
        self.say(Answer::Resume(Resume { claim: Some(claim(id)) })).await;
    }

    /// Hears a report that must be `Progress` and confirms it.
    async fn hear_progress(&mut self, id: &str) -> Option<String> {
        let (sequence, message) = self.hear().await;
        let Message::Progress(progress) = message else { panic!("not Progress: {message:?}") };
        self.accept(id, sequence).await;
        progress.custom_status
    }

    /// Hears, and answers, some heartbeats and nothing else.
    async fn hear_only_heartbeats(&mut self) {
        for _ in 0..5 {
            let (sequence, message) = self.hear_any().await;
            let Message::Heartbeat(heartbeat) = message else { panic!("not Heartbeat: {message:?}") };
            self.say(Answer::HeartbeatAcked(HeartbeatAcked { sequence, renewed: heartbeat.claims })).await;
        }
    }

    /// Hears a report that must be `Completed` and confirms it.
    async fn hear_output(&mut self, id: &str) -> Option<String> {
        let (sequence, message) = self.hear().await;
        let Message::Completed(completed) = message else { panic!("not Completed: {message:?}") };
        self.accept(id, sequence).await;
        completed.output
    }
}

fn claim(id: &str) -> Claim {
    Claim { instance_id: id.to_owned(), fencing_token: 7, claim_id: vec![1; 16] }
}

fn given(id: &str) -> Given {
    Given {
        claim: Some(claim(id)),
        execution_id: "0123456789abcdef0123456789abcdef".to_owned(),
        function_name: "work".to_owned(),
        input: Some("in".to_owned()),
        attempt: 1,
        ..Given::default()
    }
}

/// A worker that runs until told to stop.
struct Playing {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), soloist::client::Error>>,
}

impl Playing {
    async fn stop(self) {
        assert!(self.stop.send(()).is_ok(), "it still runs");
        timeout(PATIENCE, self.worker).await.expect("it stops").expect("no panic").expect("no error");
    }
}

fn play<F, R, O>(address: SocketAddr, function: F) -> Playing
where
    F: Fn(Run) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, Failure>> + Send + 'static,
    O: Into<Outcome> + 'static,
{
    let builder = Worker::builder(format!("http://{address}")).hub("stage").shutdown_grace(PATIENCE);
    let worker = builder.function("work", function).build().expect("valid settings");
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async { drop(stopped.await) }));
    Playing { stop, worker }
}

async fn next(opened: &mut mpsc::Receiver<Line>) -> Line {
    timeout(PATIENCE, opened.recv()).await.expect("the worker connects").expect("the stage stands")
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<Instant>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // A story that is over no longer listens.
        let _ = self.0.send(Instant::now());
    }
}

#[tokio::test]
async fn a_run_from_the_hand_out_to_the_output() {
    let (address, mut opened) = stage().await;
    let playing = play(address, |run: Run| async move {
        run.progress("half").await?;
        let event = run.next_event().await?;
        Ok(format!("{} {} {}", run.input().unwrap_or_default(), run.fencing_token(), event.name))
    });
    let mut line = next(&mut opened).await;
    assert_eq!(line.hub.as_deref(), Some("stage"));
    assert!(line.register(LONG, LONG, Vec::new()).await.is_empty());
    line.hand_out("a").await;

    let (sequence, message) = line.hear().await;
    assert!(matches!(message, Message::Progress(_)), "{message:?}");
    line.accept("a", sequence).await;
    line.say(Answer::Event(Event { claim: Some(claim("a")), sequence: 9, name: "go".into(), ..Event::default() }))
        .await;
    let (_, message) = line.hear().await;
    assert!(matches!(&message, Message::EventsAcked(acked) if acked.sequence == 9), "{message:?}");
    assert_eq!(line.hear_output("a").await.as_deref(), Some("in 7 go"));
    playing.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_worker_lives_on() {
    let (address, mut opened) = stage().await;
    let playing = play(address, |run: Run| async move {
        assert!(run.instance_id() != "a", "a is bad luck");
        Ok(())
    });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.hand_out("a").await;
    let (sequence, message) = line.hear().await;
    let Message::Failed(failed) = message else { panic!("not Failed: {message:?}") };
    let failure = failed.failure.expect("a failure");
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("Panic", "a is bad luck"));
    line.accept("a", sequence).await;
    line.hand_out("b").await;
    assert_eq!(line.hear_output("b").await, None);
    playing.stop().await;
}

#[tokio::test]
async fn heartbeats_that_are_answered_keep_a_function_running_and_silence_drops_it_in_time() {
    let lease = Duration::from_secs(1);
    let (address, mut opened) = stage().await;
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let playing = play(address, move |_: Run| {
        let guard = Dropped(sender.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), Failure>>().await
        }
    });
    let mut line = next(&mut opened).await;
    line.register(lease, lease / 10, Vec::new()).await;
    line.hand_out("a").await;
    // Twice the length of the lease: only the answers can have kept it alive.
    let mut heard = Instant::now();
    for _ in 0..20 {
        let (sequence, message) = line.hear_any().await;
        heard = Instant::now();
        let Message::Heartbeat(heartbeat) = message else { panic!("not Heartbeat: {message:?}") };
        assert_eq!(heartbeat.claims, [claim("a")]);
        line.say(Answer::HeartbeatAcked(HeartbeatAcked { sequence, renewed: heartbeat.claims })).await;
    }
    assert!(dropped.try_recv().is_err(), "it runs");

    let at = timeout(PATIENCE, dropped.recv()).await.expect("it is dropped").expect("the function told");
    assert!(at <= heard + lease + Duration::from_millis(500), "{:?} after the lease", at - heard - lease);
    // The same silence makes the worker connect anew; it no longer holds the run, and gives it back.
    let mut line = next(&mut opened).await;
    assert!(line.register(LONG, LONG, Vec::new()).await.is_empty());
    let (sequence, message) = line.hear().await;
    assert!(matches!(message, Message::Stopped(_)), "{message:?}");
    line.accept("a", sequence).await;
    playing.stop().await;
}

#[tokio::test]
async fn a_function_that_blocks_every_thread_does_not_keep_the_worker_from_its_heartbeats() {
    // This runtime has one thread. The script plays on another, so that only the worker is put to the test.
    let (address, mut opened) = stage_elsewhere();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let playing = play(address, move |_: Run| {
        let wait = wait.clone();
        async move {
            // Until the script has heard enough.
            drop(wait.lock().map(|wait| wait.recv()));
            Ok("unblocked")
        }
    });
    let script = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut line = next(&mut opened).await;
            line.register(LONG, Duration::from_millis(20), Vec::new()).await;
            line.hand_out("a").await;
            for _ in 0..5 {
                let (sequence, message) = line.hear_any().await;
                let Message::Heartbeat(heartbeat) = message else { panic!("not Heartbeat: {message:?}") };
                line.say(Answer::HeartbeatAcked(HeartbeatAcked { sequence, renewed: heartbeat.claims })).await;
            }
            drop(go_on);
            line.hear_output("a").await
        })
    });
    let output = tokio::task::spawn_blocking(move || script.join()).await.expect("no panic").expect("no panic");
    assert_eq!(output.as_deref(), Some("unblocked"));
    playing.stop().await;
}

/// A stage on a thread of its own.
fn stage_elsewhere() -> (SocketAddr, mpsc::Receiver<Line>) {
    let (built, stands) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            built.send(stage().await).expect("the story waits for it");
            std::future::pending::<()>().await;
        });
    });
    stands.recv().expect("the stage is built")
}

#[tokio::test]
async fn a_terminated_function_cleans_up_and_is_given_back() {
    let (address, mut opened) = stage().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let playing = play(address, move |run: Run| {
        let sender = sender.clone();
        async move {
            let reason = run.cancelled().await;
            sender.send(reason).expect("the story listens");
            Ok("nobody wants to know")
        }
    });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.hand_out("a").await;
    line.cancel("a", CancelReason::Terminated).await;
    assert_eq!(told.recv().await, Some(Cancellation::Terminated));
    let (sequence, message) = line.hear().await;
    assert!(matches!(message, Message::Stopped(_)), "{message:?}");
    line.accept("a", sequence).await;
    playing.stop().await;
}

#[tokio::test]
async fn a_run_and_its_report_outlive_the_stream() {
    let (address, mut opened) = stage().await;
    let playing = play(address, |run: Run| async move {
        run.next_event().await?;
        Ok("done")
    });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.hand_out("a").await;
    line.say(Answer::Drain(Drain {})).await;
    drop(line);

    let mut line = next(&mut opened).await;
    assert_eq!(line.register(LONG, LONG, vec![claim("a")]).await, [claim("a")]);
    line.say(Answer::Event(Event { claim: Some(claim("a")), sequence: 1, ..Event::default() })).await;
    let (acked, message) = line.hear().await;
    assert!(matches!(message, Message::EventsAcked(_)), "{message:?}");
    let (completed, message) = line.hear().await;
    assert!(matches!(message, Message::Completed(_)), "{message:?}");
    // Neither is answered: both come again, under their numbers, and until then the run is held.
    drop(line);

    let mut line = next(&mut opened).await;
    assert_eq!(line.register(LONG, LONG, vec![claim("a")]).await, [claim("a")]);
    let again = [line.hear().await.0, line.hear().await.0];
    assert_eq!(again, [acked, completed]);
    line.accept("a", completed).await;
    playing.stop().await;
}

/// A server that drains asks to wait for a second. A worker with a lease of a second did so, and lost its runs to every
/// restart.
#[tokio::test]
async fn a_worker_comes_back_within_its_lease_whatever_it_is_asked_to_wait() {
    let lease = Duration::from_secs(2);
    let (address, mut opened) = stage().await;
    let playing = play(address, |run: Run| async move {
        let event = run.next_event().await?;
        Ok(event.name)
    });
    let mut line = next(&mut opened).await;
    line.register(lease, lease / 5, Vec::new()).await;
    line.hand_out("a").await;
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(60)));
    let draining = Status::with_error_details(tonic::Code::Unavailable, "draining", details);
    line.answers.send(Err(draining)).await.expect("the worker listens");

    let mut line = next(&mut opened).await;
    assert_eq!(line.register(lease, lease / 5, vec![claim("a")]).await, [claim("a")], "it still holds the run");
    line.say(Answer::Event(Event { claim: Some(claim("a")), sequence: 1, name: "go".into(), ..Event::default() }))
        .await;
    let (_, message) = line.hear().await;
    assert!(matches!(message, Message::EventsAcked(_)), "{message:?}");
    assert_eq!(line.hear_output("a").await.as_deref(), Some("go"));
    playing.stop().await;
}

/// Says when it is suspended, and returns when it is not any more.
async fn pause(run: Run) -> Result<&'static str, Failure> {
    run.suspended().await?;
    run.progress(if run.is_suspended() { "paused" } else { "not paused" }).await?;
    run.resumed().await?;
    Ok(if run.is_suspended() { "still paused" } else { "went on" })
}

#[tokio::test]
async fn a_suspended_function_pauses_until_it_is_resumed() {
    let (address, mut opened) = stage().await;
    let playing = play(address, pause);
    let mut line = next(&mut opened).await;
    line.register(LONG, Duration::from_millis(20), Vec::new()).await;
    line.hand_out("a").await;
    line.hear_only_heartbeats().await;
    line.suspend("a").await;
    assert_eq!(line.hear_progress("a").await.as_deref(), Some("paused"));
    line.hear_only_heartbeats().await;
    line.resume("a").await;
    assert_eq!(line.hear_output("a").await.as_deref(), Some("went on"));
    playing.stop().await;
}

#[tokio::test]
async fn a_reconnect_says_whether_a_function_is_suspended_still() {
    const PULSE: Duration = Duration::from_millis(20);
    let (address, mut opened) = stage().await;
    let playing = play(address, pause);
    let mut line = next(&mut opened).await;
    line.register(LONG, PULSE, Vec::new()).await;
    line.hand_out("a").await;
    // The Suspend was missed.
    drop(line);
    let mut line = next(&mut opened).await;
    line.register_suspended(LONG, PULSE, vec![claim("a")], vec![claim("a")]).await;
    assert_eq!(line.hear_progress("a").await.as_deref(), Some("paused"));
    // Nothing was missed.
    drop(line);
    let mut line = next(&mut opened).await;
    line.register_suspended(LONG, PULSE, vec![claim("a")], vec![claim("a")]).await;
    line.suspend("a").await;
    line.hear_only_heartbeats().await;
    // The Resume was missed.
    drop(line);
    let mut line = next(&mut opened).await;
    line.register(LONG, PULSE, vec![claim("a")]).await;
    assert_eq!(line.hear_output("a").await.as_deref(), Some("went on"));
    playing.stop().await;
}

#[tokio::test]
async fn a_run_that_is_suspended_before_it_begins_is_so_from_its_first_moment() {
    let (address, mut opened) = stage().await;
    let playing = play(address, |run: Run| async move { Ok(run.is_suspended().to_string()) });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.say(Answer::Run(given("a"))).await;
    line.suspend("a").await;
    let (sequence, message) = line.hear().await;
    assert!(matches!(message, Message::Accept(_)), "{message:?}");
    line.accept("a", sequence).await;
    assert_eq!(line.hear_output("a").await.as_deref(), Some("true"));
    playing.stop().await;
}

#[tokio::test]
async fn a_paused_function_hears_that_it_is_to_stop() {
    let (address, mut opened) = stage().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let playing = play(address, move |run: Run| {
        let sender = sender.clone();
        async move {
            run.suspended().await?;
            // The answer may come too late for this.
            drop(run.progress("paused").await);
            sender.send(run.resumed().await).expect("the story listens");
            Ok(())
        }
    });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.hand_out("a").await;
    line.suspend("a").await;
    line.hear_progress("a").await;
    line.cancel("a", CancelReason::Terminated).await;
    let told = timeout(PATIENCE, told.recv()).await.expect("it goes on").expect("the function told");
    assert_eq!(told, Err(Cancelled { reason: Cancellation::Terminated }));
    let (sequence, message) = line.hear().await;
    assert!(matches!(message, Message::Stopped(_)), "{message:?}");
    line.accept("a", sequence).await;
    playing.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_dropped_drops_its_functions() {
    let (address, mut opened) = stage().await;
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let (starts, mut started) = mpsc::unbounded_channel();
    let playing = play(address, move |_: Run| {
        let guard = Dropped(sender.clone());
        starts.send(()).expect("the story listens");
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), Failure>>().await
        }
    });
    let mut line = next(&mut opened).await;
    line.register(LONG, LONG, Vec::new()).await;
    line.hand_out("a").await;
    started.recv().await.expect("it starts");
    playing.worker.abort();
    timeout(PATIENCE, dropped.recv()).await.expect("it is dropped").expect("the function told");
}

#[tokio::test]
async fn a_registration_that_can_never_succeed_is_an_error() {
    let (address, mut opened) = stage().await;
    let playing = play(address, |_: Run| async { Ok(()) });
    let mut line = next(&mut opened).await;
    line.hear().await;
    line.answers.send(Err(Status::invalid_argument("no such hub"))).await.expect("the worker listens");
    let error = timeout(PATIENCE, playing.worker).await.expect("it ends").expect("no panic").expect_err("an error");
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
}
