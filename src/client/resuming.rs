//! A stream that is opened again when it is lost.

use std::{fmt, pin::Pin, time::Duration};

use tokio::time::Instant;
use tonic::Streaming;

use super::{Error, backoff::Backoff, silence::Silence};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A stream that is not opened by then is given up, and tried again: its line may be dead.
const OPENING_MAX: Duration = Duration::from_secs(30);

/// A watch without its stream.
#[derive(Debug)]
pub struct Interruption {
    /// Why; none if the server ended the stream without a word.
    pub error: Option<Error>,
    /// How long until the stream is opened again.
    pub wait: Duration,
    /// It goes on after this revision; none if it begins with the current status.
    pub after_revision: Option<u64>,
}

/// The stream of a watch, with the waits between two of them.
#[derive(Debug)]
pub(super) struct Resuming<T> {
    stream: Stream<T>,
    backoff: Backoff,
    silence: Silence,
    /// Something has come, on this stream or a former one.
    was_alive: bool,
}

type Attempt<T> = Pin<Box<dyn Future<Output = Result<Streaming<T>, Error>> + Send>>;

enum Stream<T> {
    /// Kept, so that whoever drops the wait for it does not begin it anew the next time.
    Opening(Attempt<T>),
    Open(Box<Streaming<T>>),
    /// To be opened then.
    Closed(Instant),
    /// Nothing follows.
    Over,
}

// === impl Resuming ===

impl<T> Resuming<T> {
    pub fn new() -> Resuming<T> {
        Resuming {
            stream: Stream::Closed(Instant::now()),
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            silence: Silence::begins(),
            was_alive: false,
        }
    }

    /// The next message; none at the end of the stream. `open` is used if there is no stream, when its time has come.
    /// Nothing is lost when this future is dropped. After an error say [`Resuming::rest`] or [`Resuming::end`].
    pub async fn read<O>(&mut self, open: impl FnOnce() -> O) -> Result<Option<T>, Error>
    where
        O: Future<Output = Result<Streaming<T>, Error>> + Send + 'static,
    {
        if let Stream::Closed(until) = self.stream {
            tokio::time::sleep_until(until).await;
            let opening = tokio::time::timeout(OPENING_MAX, open());
            let opening = async { opening.await.unwrap_or_else(|_| Err(Error::timed_out(OPENING_MAX))) };
            self.stream = Stream::Opening(Box::pin(opening));
        }
        if let Stream::Opening(attempt) = &mut self.stream {
            let opened = attempt.await?;
            self.stream = Stream::Open(Box::new(opened));
            self.silence.begins_again();
        }
        match &mut self.stream {
            Stream::Open(stream) => match self.silence.ends() {
                None => Ok(stream.message().await?),
                Some(end) => match tokio::time::timeout_at(end, stream.message()).await {
                    Ok(message) => Ok(message?),
                    Err(_) => {
                        self.silence.was_too_long();
                        Err(Error::silent())
                    }
                },
            },
            Stream::Opening(_) | Stream::Closed(_) | Stream::Over => Ok(None),
        }
    }

    /// Whether trying again may help: the line was cut, or a server that took this watch before asks to wait.
    pub fn is_passing(&self, error: &Error) -> bool {
        error.is_cut_off() || self.was_alive && error.retry_delay().is_some()
    }

    /// Something came, be it a heartbeat: the waits begin anew.
    pub fn is_alive(&mut self, by_heartbeat: bool) {
        self.silence.is_broken(by_heartbeat);
        self.was_alive = true;
        self.backoff.reset();
    }

    pub fn end(&mut self) {
        self.stream = Stream::Over;
    }

    pub fn is_over(&self) -> bool {
        matches!(self.stream, Stream::Over)
    }

    /// The stream is lost: it is opened again after a wait.
    pub fn rest(&mut self, error: Option<Error>, after_revision: Option<u64>) -> Interruption {
        let wait = self.backoff.wait_after(error.as_ref());
        tracing::debug!(?error, ?wait, "the watch was interrupted");
        self.stream = Stream::Closed(Instant::now() + wait);
        Interruption { error, wait, after_revision }
    }
}

// === impl Stream ===

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Opening(_) => "Opening",
            Stream::Open(_) => "Open",
            Stream::Closed(_) => "Closed",
            Stream::Over => "Over",
        })
    }
}
