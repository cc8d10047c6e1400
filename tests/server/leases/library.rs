//! The crate's own worker against the real server: in a process of its own where it is paused, else in the test's.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use soloist::{
    proto::v1::{self, RuntimeStatus},
    worker::{Cancellation, Failure, Outcome, Run, Worker},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{attempts, has_ended, is_running, raised, started, terminated, wire};
use crate::support::{RawWorker, Server, process::signal, start, status, until};

const PATIENCE: Duration = Duration::from_secs(30);
const SERVER: &str = "SOLOIST_TEST_SERVER";
const NAME: &str = "SOLOIST_TEST_WORKER";

/// Says when its function is dropped, wherever that happens.
struct Dropped(u64);

impl Drop for Dropped {
    fn drop(&mut self) {
        println!("\ndropped {}", self.0);
    }
}

/// The program of [`Process`]: not a test of its own.
#[tokio::test]
#[ignore = "run by the stories below, as a process of its own"]
async fn worker_process() {
    let (Ok(server), Ok(name)) = (std::env::var(SERVER), std::env::var(NAME)) else { return };
    let by = name.clone();
    let endless = move |run: Run| {
        let by = by.clone();
        async move {
            let token = run.fencing_token();
            println!("\nbegan {token} {} attempt {}", run.instance_id(), run.attempt());
            let _dropped = Dropped(token);
            // It does not listen to cancellations: its future can only be dropped.
            let finish = std::path::PathBuf::from(run.input().unwrap_or_default());
            while !finish.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            println!("\nreturned {token}");
            Ok(format!("by {by}"))
        }
    };
    let worker = Worker::builder(server).name(name).max_runs(1).function("f", endless).build().expect("settings");
    worker.run(std::future::pending()).await.expect("it works");
}

/// A worker of the library as a process of its own. Killed when it is dropped.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Process {
    fn start(server: &Server, name: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("the test's own program"));
        command.args(["--exact", "leases::library::worker_process", "--ignored", "--nocapture"]);
        command.env(SERVER, &server.address).env(NAME, name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        Process { child, lines, said: Vec::new() }
    }

    /// The next line that begins so.
    async fn says(&mut self, begin: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("it never said {begin}: {:?}", self.said));
            let line = line.expect("its stdout").unwrap_or_else(|| panic!("it ended: {:?}", self.said));
            self.said.push(line.clone());
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id().expect("it runs"), name);
    }
}

fn token_of(line: &str) -> u64 {
    line.split(' ').nth(1).and_then(|token| token.parse().ok()).unwrap_or_else(|| panic!("no token in {line}"))
}

#[tokio::test]
async fn a_paused_process_loses_its_run_and_is_stopped_when_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let finish = folder.path().join("finish");
    // Long enough that nobody loses one because the machine is busy.
    let server = Server::start_with(&folder.path().join("data"), &[], &[("SOLOIST_LEASE", "3s")]);
    let mut client = server.client().await;
    let mut paused = Process::start(&server, "paused");
    let input = Some(finish.to_string_lossy().into_owned());
    let request = v1::StartSingletonRequest { retry: attempts(2), input: input.clone(), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let began = paused.says("began").await;
    assert!(began.ends_with("i attempt 1"), "{began}");

    let mut other = Process::start(&server, "other");
    paused.signal("STOP");
    let began_again = other.says("began").await;
    assert!(began_again.ends_with("i attempt 2"), "{began_again}");
    assert!(token_of(&began_again) > token_of(&began));
    let held = status(&mut client, "i").await;
    assert_eq!((held.worker.as_str(), held.fencing_token), ("other", token_of(&began_again)));

    // It wakes up: the function is stopped before it has returned, and the run stays the other one's.
    paused.signal("CONT");
    let dropped = paused.says("dropped").await;
    assert_eq!(token_of(&dropped), token_of(&began));
    std::fs::write(&finish, "").expect("a file");
    let done = until(&mut client, "i", has_ended).await;
    assert_eq!((done.runtime_status(), done.attempt), (RuntimeStatus::Completed, 2));
    assert_eq!(status(&mut client, "i").await.output.as_deref(), Some("by other"));
    assert!(!paused.said.iter().any(|line| line.starts_with("returned")), "{:?}", paused.said);

    // And it is a worker like any other again.
    drop(other);
    client.start_singleton(v1::StartSingletonRequest { input, ..start("f", "j") }).await.expect("it is free");
    assert!(paused.says("began").await.contains(" j "));
    let done = until(&mut client, "j", has_ended).await;
    assert_eq!(done.runtime_status(), RuntimeStatus::Completed);
    assert_eq!(status(&mut client, "j").await.output.as_deref(), Some("by paused"));
}

#[tokio::test]
async fn a_worker_that_hears_nothing_stops_its_functions_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let finish = folder.path().join("finish");
    let server = Server::start(&folder.path().join("data"));
    let mut client = server.client().await;
    let mut worker = Process::start(&server, "w");
    let input = Some(finish.to_string_lossy().into_owned());
    let request = v1::StartSingletonRequest { retry: attempts(2), input, ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    let began = worker.says("began").await;
    // The server hangs with its sockets open: nobody tells the worker anything, and it can't know of its lease.
    server.signal("STOP");
    assert_eq!(token_of(&worker.says("dropped").await), token_of(&began));
    server.signal("CONT");
    let again = worker.says("began").await;
    assert!(again.ends_with("i attempt 2") && token_of(&again) > token_of(&began), "{again}");
    std::fs::write(&finish, "").expect("a file");
    let done = until(&mut client, "i", has_ended).await;
    assert_eq!((done.runtime_status(), done.attempt), (RuntimeStatus::Completed, 2));
}

#[tokio::test]
async fn a_killed_process_loses_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"));
    let mut client = server.client().await;
    let mut killed = Process::start(&server, "killed");
    let input = Some(folder.path().join("finish").to_string_lossy().into_owned());
    let request = v1::StartSingletonRequest { retry: attempts(2), input, ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    killed.says("began").await;
    killed.child.start_kill().expect("it can be killed");
    let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
    assert_eq!(other.take().await.attempt, 2);
}

/// A worker of the library in the test's own process; it stops when it is told to.
struct Hand {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), soloist::client::Error>>,
}

impl Hand {
    #[expect(clippy::disallowed_methods, reason = "the story itself waits for the worker's end")]
    fn start(worker: soloist::worker::Builder) -> Hand {
        let worker = worker.build().expect("settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = tokio::spawn(worker.run(async { drop(stopped.await) }));
        Hand { stop, worker }
    }

    async fn stop(self) {
        self.stop.send(()).expect("it works");
        let ended = timeout(PATIENCE, self.worker).await.expect("it ends").expect("it does not panic");
        ended.expect("it ends well");
    }
}

/// What a function says next.
async fn heard<T>(said: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(PATIENCE, said.recv()).await.expect("the function says it").expect("the worker is there")
}

#[tokio::test]
async fn a_function_runs_on_while_the_server_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let lease = [("SOLOIST_LEASE", "9s")];
    let mut server = Server::start_with(folder.path(), &[], &lease);
    let address = server.address.clone();
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = begun.clone();
    let hand = Hand::start(Worker::builder(&address).name("w").function("f", move |run: Run| {
        seen.lock().expect("nobody panics with it").push((run.instance_id().to_owned(), run.attempt()));
        async move {
            let mut sum = 0;
            loop {
                run.progress(sum.to_string()).await?;
                let event = run.next_event().await?;
                match event.input.as_deref().and_then(|input| input.parse::<i32>().ok()) {
                    Some(number) => sum += number,
                    None => return Ok(format!("{sum} with {}", run.fencing_token())),
                }
            }
        }
    }));
    for (id, kill) in [("stopped", false), ("killed", true)] {
        let mut client = server.client().await;
        started(&mut client, id).await;
        raised(&mut client, id, "add", "1").await;
        let before = until(&mut client, id, is_running).await;
        if kill {
            server.kill();
        } else {
            server.stop().await;
        }
        server = Server::start_at(&address, folder.path(), &lease);
        let mut client = server.client().await;
        raised(&mut client, id, "add", "2").await;
        raised(&mut client, id, "end", "").await;
        let done = until(&mut client, id, has_ended).await;
        assert_eq!(done.runtime_status(), RuntimeStatus::Completed, "{done:?}");
        assert_eq!((done.attempt, done.fencing_token), (1, before.fencing_token));
        let output = status(&mut client, id).await.output;
        assert_eq!(output, Some(format!("3 with {}", before.fencing_token)), "each event was taken once");
    }
    hand.stop().await;
    let begun = begun.lock().expect("nobody panics with it").clone();
    assert_eq!(begun, [("stopped".to_owned(), 1), ("killed".to_owned(), 1)], "each began once");
}

#[tokio::test]
async fn a_function_that_was_terminated_cleans_up_and_makes_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &super::LONG);
    let mut client = server.client().await;
    let (say, mut said) = mpsc::unbounded_channel();
    let hand = Hand::start(Worker::builder(&server.address).name("w").max_runs(1).function("f", move |run: Run| {
        let say = say.clone();
        async move {
            say.send((run.fencing_token(), None)).expect("the test listens");
            let why = run.cancelled().await;
            say.send((run.fencing_token(), Some(why))).expect("the test listens");
            Ok("what it returns no longer counts")
        }
    }));
    let run_timeout = wire(Duration::from_millis(300));
    let cases = [
        (Cancellation::Terminated, RuntimeStatus::Terminated),
        (Cancellation::Replaced, RuntimeStatus::Terminated),
        (Cancellation::TimedOut, RuntimeStatus::Failed),
    ];
    let mut tokens = Vec::new();
    for (why, ended) in cases {
        let timeout = if why == Cancellation::TimedOut { run_timeout } else { None };
        let request = v1::StartSingletonRequest { run_timeout: timeout, ..start("f", "i") };
        let first = client.start_singleton(request).await.expect("it is free").into_inner();
        let (token, None) = heard(&mut said).await else { panic!("it has not begun") };
        tokens.push(token);
        match why {
            Cancellation::Terminated => drop(terminated(&mut client, "i").await),
            Cancellation::Replaced => drop(super::replaced(&mut client, "i").await),
            _ => {}
        }
        assert_eq!(heard(&mut said).await, (token, Some(why)));
        if why == Cancellation::Replaced {
            // The replacement is handed out as soon as the function has returned; the lease is ten minutes long.
            let (next, None) = heard(&mut said).await else { panic!("it has not begun") };
            tokens.push(next);
            terminated(&mut client, "i").await;
            assert_eq!(heard(&mut said).await, (next, Some(Cancellation::Terminated)));
        } else {
            let status = status(&mut client, "i").await;
            assert_eq!((status.runtime_status(), &status.execution_id), (ended, &first.execution_id));
            assert_eq!(status.output, None);
        }
    }
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    hand.stop().await;
}

#[tokio::test]
async fn endings_of_every_kind_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &super::LONG);
    let mut client = server.client().await;
    let hand = Hand::start(
        Worker::builder(&server.address)
            .name("w")
            .function("count", |run: Run| async move {
                let left: u32 = run.input().and_then(|input| input.parse().ok()).unwrap_or_default();
                // Attempt 1 in each execution.
                run.progress(format!("{left} left, attempt {}", run.attempt())).await?;
                Ok(match left.checked_sub(1) {
                    Some(fewer) => Outcome::ContinueAsNew(Some(fewer.to_string())),
                    None => Outcome::Completed(Some("done".into())),
                })
            })
            .function("second try", |run: Run| async move {
                if run.attempt() == 1 { Err(Failure::new("Oops", "not yet")) } else { Ok("at last") }
            })
            .function("hopeless", |_| async { Err::<(), _>(Failure::new("Oops", "never").non_retriable()) })
            .function("panics", |_| async { panic!("seven") as Result<(), Failure> }),
    );
    // function => status, attempt, failure
    let cases = [
        ("count", RuntimeStatus::Completed, 1, None),
        ("second try", RuntimeStatus::Completed, 2, None),
        ("hopeless", RuntimeStatus::Failed, 1, Some(("Oops", "never"))),
        ("panics", RuntimeStatus::Failed, 3, Some(("Panic", "seven"))),
    ];
    for (function, ended_as, attempt, failure) in cases {
        let input = Some("3".into());
        let request = v1::StartSingletonRequest { retry: attempts(3), input, ..start(function, function) };
        client.start_singleton(request).await.expect("it is free");
        let ended = until(&mut client, function, has_ended).await;
        assert_eq!((ended.runtime_status(), ended.attempt), (ended_as, attempt), "{function}");
        let told = ended.failure.as_ref().map(|failure| (failure.error_type.as_str(), failure.message.as_str()));
        assert_eq!(told, failure, "{function}");
    }
    let counted = status(&mut client, "count").await;
    assert_eq!(counted.custom_status.as_deref(), Some("0 left, attempt 1"));
    assert_eq!(counted.input.as_deref(), Some("0"));
    hand.stop().await;
}

#[tokio::test]
async fn an_event_that_was_taken_and_not_done_with_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &super::LONG);
    let mut client = server.client().await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let seen = taken.clone();
    let hand = Hand::start(Worker::builder(&server.address).function("f", move |run: Run| {
        let seen = seen.clone();
        async move {
            loop {
                let event = run.next_event().await?;
                seen.lock().expect("nobody panics with it").push((run.attempt(), event.sequence));
                match event.name.as_str() {
                    // It takes the second event and fails while it handles it.
                    "fragile" if run.attempt() == 1 => return Err(Failure::new("Oops", "broke")),
                    "end" => return Ok("done"),
                    _ => {}
                }
            }
        }
    }));
    let request = v1::StartSingletonRequest { retry: attempts(2), ..start("f", "i") };
    client.start_singleton(request).await.expect("it is free");
    for name in ["first", "fragile", "end"] {
        raised(&mut client, "i", name, "").await;
    }
    let done = until(&mut client, "i", has_ended).await;
    assert_eq!(done.runtime_status(), RuntimeStatus::Completed);
    assert_eq!(*taken.lock().expect("nobody panics with it"), [(1, 1), (1, 2), (2, 2), (2, 3)]);
    hand.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_shut_down_gives_its_runs_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &super::LONG);
    let mut client = server.client().await;
    let (say, mut said) = mpsc::unbounded_channel();
    let builder = Worker::builder(&server.address).name("leaving").shutdown_grace(Duration::ZERO);
    let hand = Hand::start(builder.function("f", move |run: Run| {
        let say = say.clone();
        async move {
            say.send(run.attempt()).expect("the test listens");
            std::future::pending::<Result<(), Failure>>().await
        }
    }));
    client.start_singleton(v1::StartSingletonRequest { retry: attempts(2), ..start("f", "i") }).await.expect("free");
    assert_eq!(heard(&mut said).await, 1);
    let mut other = RawWorker::join(&server, "other", &["f"], 1).await;
    hand.stop().await;
    // At once, though the lease is ten minutes long.
    assert_eq!(other.take().await.attempt, 2);
}
