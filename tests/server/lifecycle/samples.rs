//! The sample functions of `soloist dev` honour a suspension.

use std::process::Command;

use soloist::proto::v1::{self, RuntimeStatus};

use super::{resumed, suspended};
use crate::{
    leases::{has_ended, is_running},
    support::{Server, start, status, until},
};

#[tokio::test]
async fn sleep_does_not_end_while_it_is_suspended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_soloist"));
    command.args(["dev", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]).arg(folder.path());
    let server = Server::spawn(command).unwrap_or_else(|(_, said)| panic!("not ready: {said}"));
    let mut client = server.client().await;
    let sleep = |id, seconds: &str| v1::StartSingletonRequest { input: Some(seconds.into()), ..start("sleep", id) };
    client.start_singleton(sleep("i", "2")).await.expect("it is free");
    until(&mut client, "i", is_running).await;
    suspended(&mut client, "i").await;
    // That begins later, and takes longer.
    client.start_singleton(sleep("j", "3")).await.expect("it is free");
    until(&mut client, "j", has_ended).await;
    assert_eq!(status(&mut client, "i").await.runtime_status(), RuntimeStatus::Suspended);
    resumed(&mut client, "i").await;
    let done = until(&mut client, "i", has_ended).await;
    assert_eq!(done.runtime_status(), RuntimeStatus::Completed);
}
