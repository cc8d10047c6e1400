//! What happened in an execution, event by event.

use std::{time::Duration, vec};

use tonic::Streaming;

use super::{Client, Error};
use crate::proto::v1::{GetHistoryRequest, GetHistoryResponse, HistoryEvent};

/// The events of a history, the oldest first.
#[derive(Debug)]
pub struct History {
    stream: Streaming<GetHistoryResponse>,
    page: vec::IntoIter<HistoryEvent>,
    timeout: Duration,
}

impl Client {
    /// Reads what happened in the latest execution.
    ///
    /// # Errors
    /// `NOT_FOUND` if the id was never started.
    pub async fn get_history(&self, request: GetHistoryRequest) -> Result<History, Error> {
        let request = self.request(request);
        let stream = self.in_time(async { Ok(self.stub.clone().get_history(request).await?.into_inner()) }).await?;
        Ok(History { stream, page: Vec::new().into_iter(), timeout: self.timeout })
    }
}

// === impl History ===

impl History {
    /// The next event; `None` after the last one.
    ///
    /// # Errors
    /// Whatever breaks the stream. What came before is right, but not all: ask again for the whole history.
    pub async fn next(&mut self) -> Option<Result<HistoryEvent, Error>> {
        loop {
            if let Some(event) = self.page.next() {
                return Some(Ok(event));
            }
            match tokio::time::timeout(self.timeout, self.stream.message()).await {
                Ok(Ok(Some(response))) => self.page = response.events.into_iter(),
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(Err(status.into())),
                Err(_) => return Some(Err(Error::timed_out(self.timeout))),
            }
        }
    }
}
