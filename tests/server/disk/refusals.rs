//! A disk that is full, or fails at a flush, while many callers wait for it.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

use soloist::proto::v1::{self, StartOutcome};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{Client, RawWorker, Server, Web, error_info, start, status};

const CALLERS: usize = 8;
/// A disk that still takes writes after so many is not going to refuse them.
const STARTS_MAX: usize = 2_000;

/// What became of the starts of many callers who went on until they were refused.
#[derive(Default)]
struct Outcome {
    acknowledged: Vec<v1::StartSingletonRequest>,
    unknown: Vec<v1::StartSingletonRequest>,
}

fn request(caller: usize, n: usize) -> v1::StartSingletonRequest {
    let id = format!("{caller} {n}");
    v1::StartSingletonRequest {
        input: Some(format!("\"{}\"", "x".repeat(4000))),
        request_id: format!("request {id}"),
        ..start("work", &id)
    }
}

/// Starts until there is a refusal: OUTCOME_UNKNOWN, or UNAVAILABLE if the caller was late.
async fn start_until_refused(mut client: Client, caller: usize) -> (Outcome, Status) {
    let mut outcome = Outcome::default();
    for n in 0..STARTS_MAX {
        let request = request(caller, n);
        match client.start_singleton(request.clone()).await {
            Ok(started) => {
                assert_eq!(started.into_inner().outcome(), StartOutcome::Started);
                outcome.acknowledged.push(request);
            }
            Err(refusal) if refusal.code() == Code::Unknown && !nobody_there(&refusal) => {
                assert_eq!(error_info(&refusal).reason, "OUTCOME_UNKNOWN", "{refusal:?}");
                outcome.unknown.push(request);
                let late = client.start_singleton(self::request(caller, n + 1)).await.expect_err("it is too late");
                assert!(late.code() == Code::Unavailable || nobody_there(&late), "{late:?}");
                return (outcome, refusal);
            }
            Err(refusal) => return (outcome, refusal),
        }
    }
    panic!("the disk takes everything");
}

/// Whether the call met a connection that was closing: that is no word of the server's.
fn nobody_there(status: &Status) -> bool {
    status.source().is_some()
}

/// Many callers, a watcher and a worker of a server whose disk is about to refuse a write; and the same folder with a
/// good disk.
async fn a_server_fails_and_nothing_is_lost(server: Server, folder: &Path, says: &str) {
    let mut client = server.client().await;
    client.start_singleton(start("work", "watched")).await.expect("started");
    let request = v1::WatchStatusRequest { instance_id: "watched".into(), ..Default::default() };
    let mut watch = client.watch_status(request).await.expect("a watch").into_inner();
    watch.message().await.expect("an item").expect("an item");
    let mut worker = RawWorker::join(&server, "w", &["something else"], 1).await;

    let mut clients = Vec::new();
    for _ in 0..CALLERS {
        clients.push(server.client().await);
    }
    // A disk that fails on demand does so soon from now on.
    std::fs::write(folder.with_extension("aged"), "").expect("a file");
    let mut callers = JoinSet::new();
    for (caller, client) in clients.into_iter().enumerate() {
        callers.spawn(start_until_refused(client, caller));
    }
    let mut all = Outcome::default();
    while let Some(ended) = callers.join_next().await {
        let (outcome, refusal) = ended.expect("a caller was told what it had to be told");
        let told = matches!(refusal.code(), Code::Unknown | Code::Unavailable);
        assert!(told || nobody_there(&refusal), "{refusal:?}");
        all.acknowledged.extend(outcome.acknowledged);
        all.unknown.extend(outcome.unknown);
    }
    println!("{} acknowledged, {} unknown", all.acknowledged.len(), all.unknown.len());
    // Nobody waits for MARK: the server may end between two commits.
    assert!(!all.unknown.is_empty() || says.contains("MARK"), "somebody's commit has failed");
    while let Some(item) = watch.message().await.transpose() {
        let Err(ended) = item else { continue };
        assert_eq!(ended.code(), Code::Unavailable, "a watcher is told that the server goes: {ended:?}");
        break;
    }
    while let Some(heard) = worker.try_hear().await.transpose() {
        let Err(ended) = heard else { continue };
        assert_eq!(ended.code(), Code::Unavailable, "a worker is told that the server goes: {ended:?}");
        break;
    }
    let (status, said) = server.wait().await;
    assert!(!status.success(), "{status}");
    assert!(said.contains("the store has failed"), "{said}");
    assert!(said.contains(says), "no {says:?} in {said}");

    let server = Server::start(folder);
    let mut client = server.client().await;
    for request in &all.acknowledged {
        let found = self::status(&mut client, &request.instance_id).await;
        assert_eq!(found.input, request.input, "{}", request.instance_id);
    }
    for request in all.unknown {
        let first = client.start_singleton(request.clone()).await.expect("an answer").into_inner();
        assert!(matches!(first.outcome(), StartOutcome::Started | StartOutcome::Deduplicated), "{first:?}");
        let again = client.start_singleton(request).await.expect("an answer").into_inner();
        assert_eq!((again.outcome(), again.execution_id), (StartOutcome::Deduplicated, first.execution_id));
    }
    assert!(server.stop().await.0.success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_server_and_nothing_is_lost() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("data");
    // In units of 512 bytes or of 1 KiB, as the shell likes.
    let script = "trap '' XFSZ; ulimit -f 2999; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_soloist"), "serve", "--log-format", "json"]);
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(&folder);
    let server = Server::spawn(command).unwrap_or_else(|(_, said)| panic!("not ready: {said}"));
    a_server_fails_and_nothing_is_lost(server, &folder, "File too large").await;
}

/// A server whose `at`-th flush of a file fails, counted from when there is a file `aged`.
#[cfg(target_os = "linux")]
fn start_that_fails(shim: &Path, folder: &Path, aged: &Path, file: &str, at: &str) -> Server {
    let environment = [
        ("LD_PRELOAD", shim.to_str().expect("text")),
        ("FLUSH_FAILS_OF", file),
        ("FLUSH_FAILS_AT", at),
        ("FLUSH_FAILS_FROM", aged.to_str().expect("text")),
    ];
    Server::start_with(folder, &[], &environment)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_ends_the_server_and_nothing_is_lost() {
    let home = tempfile::tempdir().expect("a folder");
    let shim = compile_shim(home.path());
    let (log, mark) = ("soloist.db-wal", "MARK");
    let (flush, input_output) = ("a flush failed", "Input/output error");
    let cases = [(log, "1", flush), (log, "2", flush), (log, "30", input_output), (mark, "1", "MARK can't be written")];
    for (case, (file, at, says)) in cases.into_iter().enumerate() {
        let folder = home.path().join(format!("data-{case}"));
        let aged = folder.with_extension("aged");
        let server = start_that_fails(&shim, &folder, &aged, file, at);
        a_server_fails_and_nothing_is_lost(server, &folder, says).await;
    }
}

/// MARK is written after the commit, and nobody waits for it: the server ended only at the next commit, which on an
/// idle server may be the next day's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_failed_flush_that_no_commit_waits_for_ends_the_server_too() {
    let home = tempfile::tempdir().expect("a folder");
    let (shim, folder, aged) = (compile_shim(home.path()), home.path().join("data"), home.path().join("aged"));
    let server = start_that_fails(&shim, &folder, &aged, "MARK", "1");
    std::fs::write(&aged, "").expect("a file");
    server.client().await.start_singleton(start("work", "i")).await.expect("the commit itself is durable");
    let (ended, said) = server.wait().await;
    assert!(!ended.success() && said.contains("MARK can't be written"), "{ended}: {said}");
    let server = Server::start(&folder);
    status(&mut server.client().await, "i").await;
}

/// Over HTTP, in its words.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_whose_commit_fails_is_told_so_over_http_too() {
    let home = tempfile::tempdir().expect("a folder");
    let (shim, folder, aged) = (compile_shim(home.path()), home.path().join("data"), home.path().join("aged"));
    let server = start_that_fails(&shim, &folder, &aged, "soloist.db-wal", "1");
    let web = Web::new(&server);
    assert_eq!(web.post("/orchestrators/work/before", "").await.status, 202);
    std::fs::write(&aged, "").expect("a file");
    let refused = web.post("/orchestrators/work/i?requestId=r", "").await;
    assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (500, "OUTCOME_UNKNOWN"));
    assert!(!server.wait().await.0.success());
    let server = Server::start(&folder);
    let web = Web::new(&server);
    assert_eq!(web.post("/orchestrators/work/before", "").await.status, 409);
}

/// Rust's linker is a compiler for this, too.
#[cfg(target_os = "linux")]
fn compile_shim(folder: &Path) -> PathBuf {
    let shim = folder.join("flush_fails.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/disk/flush_fails.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl").status();
    assert!(compiled.expect("cc is there").success(), "the shim can be compiled");
    shim
}
