//! Backups that end before their time, and what the server makes of it: nothing, it goes on.

use std::{fs, path::Path, process::Command};

use tonic::Code;
use tonic_types::StatusExt;

use super::{COPY, back_up, back_up_next, begin, fill, next, restore, serve_restored};
use crate::support::{Client, Server, error_info, start, status};

/// More than server and client have under way between them.
const MEGABYTES: usize = 16;

/// A server with so much in its store that a backup is not read by itself.
async fn filled(folder: &Path) -> (Server, Client) {
    let server = Server::with_long_leases(folder);
    let mut client = server.client().await;
    fill(&mut client, MEGABYTES).await;
    (server, client)
}

/// Copies that are open without a name: room on the disk that nobody sees.
fn hidden_copies(server: &Server) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("Linux");
    let links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().contains(COPY)).count()
}

#[tokio::test]
async fn there_is_one_backup_at_a_time() {
    let home = tempfile::tempdir().expect("a folder");
    let (server, _) = filled(home.path()).await;
    let mut first = begin(&server).await.expect("a backup");
    let piece = next(&mut first).await.expect("it is copied").expect("a piece");
    let refused = back_up(&server).await.expect_err("another one is under way");
    assert_eq!((refused.code(), error_info(&refused).reason.as_str()), (Code::ResourceExhausted, "BACKUP_RUNNING"));
    let retry = refused.get_error_details().retry_info().cloned().expect("a RetryInfo");
    assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()));
    // The first one is none the worse for it.
    let mut remaining = piece.remaining_bytes;
    while let Some(piece) = next(&mut first).await.expect("it goes on") {
        remaining = piece.remaining_bytes;
    }
    assert_eq!(remaining, 0);
    back_up_next(&server).await;
}

#[tokio::test]
async fn who_goes_away_in_the_middle_leaves_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let (server, mut client) = filled(&home.path().join("data")).await;
    // While it is copied, or even before, and while it is read.
    drop(begin(&server).await.expect("a backup"));
    back_up_next(&server).await;
    let mut pieces = begin(&server).await.expect("a backup");
    next(&mut pieces).await.expect("it is copied").expect("a piece");
    drop(pieces);
    let backup = back_up_next(&server).await;
    client.start_singleton(start("work", "after")).await.expect("the server goes on");
    // The last one frees its room before the next one can begin.
    let mut pieces = begin(&server).await.expect("a backup");
    next(&mut pieces).await.expect("it is copied").expect("a piece");
    if cfg!(target_os = "linux") {
        assert_eq!(hidden_copies(&server), 1, "its own");
    }
    assert!(!home.path().join("data").join(COPY).exists());
    let restored = serve_restored(&backup, home.path(), "restored", &[]);
    status(&mut restored.client().await, "large 0").await;
}

#[tokio::test]
async fn a_drain_ends_a_backup_and_says_so() {
    let home = tempfile::tempdir().expect("a folder");
    let (server, client) = filled(home.path()).await;
    drop(client);
    let mut pieces = begin(&server).await.expect("a backup");
    next(&mut pieces).await.expect("it is copied").expect("a piece");
    server.signal("TERM");
    let ended = loop {
        match next(&mut pieces).await {
            Ok(Some(piece)) => assert_ne!(piece.remaining_bytes, 0, "it was all under way"),
            Ok(None) => panic!("it ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), error_info(&ended).reason.as_str()), (Code::Unavailable, "DRAINING"));
    drop(pieces);
    let (ended, said) = server.wait().await;
    assert!(ended.success() && !said.contains("not everybody had left"), "{said}");
    assert!(!home.path().join(COPY).exists());
}

#[tokio::test]
async fn a_copy_that_can_not_be_made_fails_alone() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(home.path());
    let mut client = server.client().await;
    client.start_singleton(start("work", "before")).await.expect("started");
    fs::create_dir(home.path().join(COPY)).expect("a folder in its place");
    let failed = back_up(&server).await.expect_err("there is no place for it");
    assert_eq!((failed.code(), error_info(&failed).reason.as_str()), (Code::Internal, "BACKUP_FAILED"));
    client.start_singleton(start("work", "after")).await.expect("the server goes on");
    fs::remove_dir(home.path().join(COPY)).expect("it is empty");
    back_up(&server).await.expect("now there is");
}

/// The system lets files grow to 4 MiB, which is too little for the copy and enough for the log of what follows.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_fails_the_copy_and_nothing_else() {
    let home = tempfile::tempdir().expect("a folder");
    let (server, _) = filled(home.path()).await;
    assert!(server.stop().await.0.success());
    // In units of 512 bytes or of 1 KiB, as the shell likes.
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" serve --data-dir \"$1\" --log-format json";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_soloist")]).arg(home.path());
    limited.envs([("SOLOIST_LISTEN", "127.0.0.1:0"), ("SOLOIST_LEASE", "5m")]);
    let server = Server::spawn(limited).unwrap_or_else(|(_, said)| panic!("not ready: {said}"));
    let mut client = server.client().await;
    for n in 0..3 {
        let failed = back_up(&server).await.expect_err("there is no room for it");
        assert_eq!((failed.code(), error_info(&failed).reason.as_str()), (Code::Internal, "BACKUP_FAILED"));
        assert!(failed.message().contains("the copy failed"), "{failed:?}");
        assert!(!home.path().join(COPY).exists());
        client.start_singleton(start("work", &format!("after {n}"))).await.expect("the server goes on");
    }
    server.kill();
    let server = Server::with_long_leases(home.path());
    back_up(&server).await.expect("there is room again");
    status(&mut server.client().await, "after 2").await;
}

#[tokio::test]
async fn the_program_refuses_what_is_no_whole_backup() {
    let home = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(&home.path().join("data"));
    server.client().await.start_singleton(start("work", "i")).await.expect("started");
    let whole = back_up(&server).await.expect("a backup");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let newer = String::from_utf8_lossy(&whole[whole.len() - 65..]).replacen("0000000001", "0000000002", 1);
    let newer = [&whole[..whole.len() - 65], newer.as_bytes()].concat();
    let cases = [
        (whole[..whole.len() / 2].to_vec(), "is not a whole backup of Soloist"),
        (flipped, "is damaged: its bytes are not those that were sealed"),
        (newer, "has format 2, this program reads formats up to 1"),
    ];
    let folder = home.path().join("restored");
    for (backup, says) in cases {
        let refused = restore(&backup, home.path(), &folder);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains(says), "{says}: {refused:?}");
        assert!(!folder.exists());
    }
    let refused = restore(&whole, home.path(), &home.path().join("data"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another server"), "{refused:?}");
}
