//! `soloist backup` and `soloist restore`: a file that is whole or not there, and a folder that is a store or not there.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::json;
use soloist::proto::v1::{
    BackupRequest, BackupResponse,
    maintenance_service_server::{MaintenanceService, MaintenanceServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, transport};

use super::program::{Done, Running, Server, run, soloist};

/// Answers every backup with these pieces, then ends it as if all were well, or not at all.
#[derive(Clone)]
struct Broken {
    pieces: Vec<BackupResponse>,
    ends: bool,
    asked: mpsc::Sender<mpsc::Sender<Result<BackupResponse, Status>>>,
}

#[tonic::async_trait]
impl MaintenanceService for Broken {
    type BackupStream = ReceiverStream<Result<BackupResponse, Status>>;

    async fn backup(&self, _: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let (outbound, pieces) = mpsc::channel(self.pieces.len() + 1);
        for piece in self.pieces.clone() {
            outbound.send(Ok(piece)).await.expect("there is room");
        }
        if !self.ends {
            self.asked.send(outbound).await.expect("the test waits for it");
        }
        Ok(Response::new(ReceiverStream::new(pieces)))
    }
}

/// Serves it. The receiver hears of every backup that does not end, and ends it when it forgets it.
async fn serve(
    pieces: Vec<BackupResponse>,
    ends: bool,
) -> (SocketAddr, mpsc::Receiver<mpsc::Sender<Result<BackupResponse, Status>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, is_asked) = mpsc::channel(1);
    let service = MaintenanceServiceServer::new(Broken { pieces, ends, asked });
    let server = transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, is_asked)
}

fn backup(address: SocketAddr, file: &Path) -> Running {
    let mut command = soloist(&["backup", "--server", &address.to_string()]);
    Running::start(command.arg(file))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_store_is_backed_up_and_served_again() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::serve(&home.path().join("data"));
    let started = server.run(&["start", "backup", "nightly", "--input", "7"]).ends_with(0);
    let files = home.path().join("files");
    fs::create_dir(&files).unwrap();
    let file = files.join("store.backup");
    let path = file.to_str().unwrap();

    let done = server.run(&["backup", path]).ends_with(0);
    let bytes = fs::metadata(&file).unwrap().len().to_string();
    assert_eq!((done.row("file"), done.row("bytes"), done.stderr.as_str()), (path, bytes.as_str(), ""));
    let again = server.run(&["backup", path]).ends_with(2);
    assert_eq!(again.stderr, format!("error: {path} is there already: --force replaces it\n"));
    let json = server.run(&["backup", path, "--force", "--json"]).ends_with(0).json();
    assert_eq!(json, json!({"file": path, "bytes": bytes}));
    let copy = files.join("copy");
    let mut to_stdout = soloist(&["backup", "-", "--server", &server.address]);
    let to_stdout = to_stdout.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(to_stdout.status.success(), "{to_stdout:?}");
    assert_eq!(String::from_utf8_lossy(&to_stdout.stderr), format!("{} bytes\n", to_stdout.stdout.len()));
    fs::write(&copy, to_stdout.stdout).unwrap();
    server.process.signal("TERM");
    server.process.end().ends_with(0);

    for file in [&file, &copy] {
        let folder = home.path().join("restored");
        let (file, path) = (file.to_str().unwrap(), folder.to_str().unwrap());
        let restored = run(&["restore", file, "--data-dir", path, "--json"]).ends_with(0).json();
        assert_eq!(restored["dataDir"], path);
        assert!(restored["revision"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 50, "{restored}");
        let again = run(&["restore", file, "--data-dir", path]).ends_with(1);
        assert!(again.stderr.contains("nothing was restored: the data folder"), "{again:?}");
        let server = Server::serve(&folder);
        let status = server.run(&["status", "nightly", "--payloads"]).ends_with(0);
        assert_eq!((status.row("execution"), status.row("input")), (started.row("execution"), "7"));
        drop(server);
        fs::remove_dir_all(&folder).unwrap();
    }
    assert_eq!(names(&files), ["copy", "store.backup"]);
}

/// A proxy may end a stream as if it had come to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_a_whole_backup_gets_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let piece = |remaining_bytes| BackupResponse { chunk: vec![7; 1000], remaining_bytes };
    for (pieces, says) in [
        (vec![], "its stream has ended too early"),
        (vec![piece(2000), piece(1000)], "its stream has ended too early"),
        (vec![piece(1000), piece(0)], "its bytes are not those that were sealed"),
    ] {
        let (address, _) = serve(pieces, true).await;
        let backup = backup(address, &folder.path().join("store.backup"));
        let done: Done = tokio::task::block_in_place(|| backup.end()).ends_with(1);
        assert!(done.stderr.contains(says) && done.stdout.is_empty(), "{done:?}");
        assert!(names(folder.path()).is_empty());
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backup_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (address, mut is_asked) = serve(vec![BackupResponse { chunk: vec![7; 1000], remaining_bytes: 1 }], false).await;
    let backup = backup(address, &folder.path().join("store.backup"));
    let _endless = is_asked.recv().await.unwrap();
    assert_eq!(names(folder.path()), ["store.backup.part"]);
    backup.signal("INT");
    let done = tokio::task::block_in_place(|| backup.end()).ends_with(1);
    assert_eq!(done.stderr, "error: SIGINT: the backup was stopped\n");
    assert!(names(folder.path()).is_empty());
}
