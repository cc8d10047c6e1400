//! A stream that is opened again when it is lost.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::{Error, backoff::Backoff};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
}

#[derive(Debug)]
enum Stream<T> {
    Open(Box<Streaming<T>>),
    /// To be opened then.
    Closed(Instant),
    /// Nothing follows.
    Over,
}

// === impl Resuming ===

impl<T> Resuming<T> {
    pub fn new() -> Resuming<T> {
        Resuming { stream: Stream::Closed(Instant::now()), backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT) }
    }

    /// The next message; none at the end of the stream. `open` is used if there is no stream, when its time has come.
    /// Nothing is lost when this future is dropped.
    pub async fn read(&mut self, open: impl Future<Output = Result<Streaming<T>, Error>>) -> Result<Option<T>, Error> {
        if let Stream::Closed(until) = self.stream {
            tokio::time::sleep_until(until).await;
            self.stream = Stream::Open(Box::new(open.await?));
        }
        match &mut self.stream {
            Stream::Open(stream) => Ok(stream.message().await?),
            Stream::Closed(_) | Stream::Over => Ok(None),
        }
    }

    /// Something came: the waits begin anew.
    pub fn is_alive(&mut self) {
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
