//! The server that a bench starts: as `soloist serve`, with the echo, and no longer there than who started it.

use std::{io::Read, thread};

use anyhow::Context;
use tokio::sync::oneshot;

use crate::{
    cli::{Error, Exit, serve},
    config::Config,
};

pub async fn run(args: serve::Args) -> Result<Exit, Error> {
    let config = Config { bench_echo: true, ..serve::configure(&args)? };
    let closed = stdin_closed()?;
    serve::until_stopped(config, async |_, stop| {
        tokio::select! {
            () = serve::stopped(stop) => {}
            _ = closed => {}
        }
        Ok(())
    })
    .await
}

/// Ready when nobody holds the other end of stdin any more, however that came about.
fn stdin_closed() -> Result<oneshot::Receiver<()>, Error> {
    let (close, closed) = oneshot::channel();
    let wait = move || {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 64];
        while stdin.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        // The server may have ended already.
        let _ = close.send(());
    };
    thread::Builder::new().name("stdin".into()).spawn(wait).context("stdin can't be watched")?;
    Ok(closed)
}
