//! What the system tells the program: SIGINT and SIGTERM, and what a terminal says beside them.

use std::io;

#[cfg(unix)]
use rustix::process::Signal as Pause;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, from now on.
#[cfg(unix)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one and answers its name. May be dropped and called again; no signal is lost.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// What whoever sits at the terminal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    ToEnd,
    /// To give the terminal back for a while, and then to say [`stop`].
    ToPause,
}

/// The signals that would end or stop a program which has changed its terminal, and leave that as it is.
#[cfg(unix)]
pub struct TerminalSignals {
    ends: Signals,
    hangup: Signal,
    quit: Signal,
    pause: Signal,
}

#[cfg(unix)]
impl TerminalSignals {
    pub fn listen() -> io::Result<TerminalSignals> {
        let pause = SignalKind::from_raw(Pause::TSTP.as_raw());
        Ok(TerminalSignals {
            ends: Signals::listen()?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            pause: signal(pause)?,
        })
    }

    /// Waits for the next one. May be dropped and called again.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.ends.next() => Asked::ToEnd,
            _ = self.hangup.recv() => Asked::ToEnd,
            _ = self.quit.recv() => Asked::ToEnd,
            _ = self.pause.recv() => Asked::ToPause,
        }
    }
}

/// Stops the program, as Ctrl-Z would; returns when it goes on. Does nothing where no shell is there to let it go on.
#[cfg(unix)]
pub fn stop() -> io::Result<()> {
    use rustix::process::{getpid, getppid, getsid, kill_process};
    let has_shell = getppid().is_some_and(|parent| getsid(Some(parent)).ok() == getsid(None).ok());
    if has_shell {
        kill_process(getpid(), Pause::STOP)?;
    }
    Ok(())
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals)
    }

    pub async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(not(unix))]
pub struct TerminalSignals(Signals);

#[cfg(not(unix))]
impl TerminalSignals {
    pub fn listen() -> io::Result<TerminalSignals> {
        Signals::listen().map(TerminalSignals)
    }

    pub async fn next(&mut self) -> Asked {
        self.0.next().await;
        Asked::ToEnd
    }
}

/// Nobody asks for it.
#[cfg(not(unix))]
pub fn stop() -> io::Result<()> {
    Ok(())
}
