//! Follows an instance through lost connections: each new watch resumes after the last revision that was seen.

use std::time::Duration;

use tokio::time::{self, Instant};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::{
    connect::Connection,
    error::{self, Error},
    output,
};
use crate::proto::v1::{WatchStatusRequest, WatchStatusResponse};

/// The wait before the first try to resume; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// No wait is longer. The tries go on until the time limit, or for ever without one.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A watch that survives its connection.
pub struct Follow {
    /// What to ask for when the stream is opened again.
    request: WatchStatusRequest,
    stream: Option<Streaming<WatchStatusResponse>>,
    backoff: Duration,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    length: Duration,
    until: Instant,
}

impl Follow {
    pub fn new(request: WatchStatusRequest) -> Follow {
        Follow { request, stream: None, backoff: BACKOFF_FIRST, limit: None }
    }

    /// Ends with an error when this much time has passed from now.
    pub fn within(self, limit: Option<Duration>) -> Follow {
        let limit = limit.map(|length| Limit { length, until: Instant::now() + length });
        Follow { limit, ..self }
    }

    /// The next item that is no heartbeat; none after the last one.
    pub async fn next(&mut self, connection: &mut Connection) -> Result<Option<WatchStatusResponse>, Error> {
        match self.limit {
            None => self.next_without_limit(connection).await,
            Some(limit) => time::timeout_at(limit.until, self.next_without_limit(connection))
                .await
                .unwrap_or_else(|_| Err(connection.timed_out(limit.length))),
        }
    }

    async fn next_without_limit(&mut self, connection: &mut Connection) -> Result<Option<WatchStatusResponse>, Error> {
        loop {
            let lost = match self.read(connection).await {
                Ok(Some(item)) if item.heartbeat => continue,
                Ok(Some(item)) => {
                    self.saw(&item);
                    return Ok(Some(item));
                }
                Ok(None) if self.request.until_terminal => return Ok(None),
                Ok(None) => Status::unavailable("the server ended the stream"),
                Err(status) if can_resume(&status) => status,
                Err(status) => return Err(connection.error(status)),
            };
            self.stream = None;
            let wait = self.next_wait(&lost);
            output::notice(&self.resumption(&lost, wait));
            time::sleep(wait).await;
        }
    }

    async fn read(&mut self, connection: &mut Connection) -> Result<Option<WatchStatusResponse>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            closed => closed.insert(connection.watch(self.request.clone()).await?),
        };
        stream.message().await
    }

    /// What was seen is not asked for again.
    fn saw(&mut self, item: &WatchStatusResponse) {
        self.backoff = BACKOFF_FIRST;
        if let Some(status) = &item.status {
            self.request.from_revision = Some(status.revision);
        }
    }

    /// As long as the server asks for, if it does; and longer each time.
    fn next_wait(&mut self, lost: &Status) -> Duration {
        let wait = self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        let asked = lost.get_details_retry_info().and_then(|info| info.retry_delay);
        wait.max(asked.unwrap_or_default())
    }

    fn resumption(&self, lost: &Status, wait: Duration) -> String {
        let why = if error::is_local(lost) { error::deepest(lost) } else { lost.message().into() };
        let from = match self.request.from_revision {
            Some(revision) => format!("resuming after revision {revision}"),
            None => "beginning again".into(),
        };
        format!("connection lost ({why}); {from} in {}", humantime::format_duration(wait))
    }
}

/// Whether the stream broke, and not what it was asked for.
fn can_resume(status: &Status) -> bool {
    status.code() == Code::Unavailable || error::is_local(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::InstanceStatus;

    fn follow() -> Follow {
        Follow::new(WatchStatusRequest { instance_id: "nightly".into(), ..WatchStatusRequest::default() })
    }

    fn item(revision: u64) -> WatchStatusResponse {
        let status = InstanceStatus { revision, ..InstanceStatus::default() };
        WatchStatusResponse { status: Some(status), ..WatchStatusResponse::default() }
    }

    #[test]
    fn resumes_after_the_last_revision_that_was_seen() {
        let mut follow = follow();
        assert_eq!(follow.request.from_revision, None);
        follow.saw(&item(7));
        follow.saw(&item(9));
        assert_eq!(follow.request.from_revision, Some(9));
        assert_eq!(
            follow.resumption(&Status::unavailable("draining"), Duration::from_millis(250)),
            "connection lost (draining); resuming after revision 9 in 250ms"
        );
    }

    #[test]
    fn waits_twice_as_long_each_time_up_to_a_bound_and_afresh_after_an_item() {
        let mut follow = follow();
        let lost = Status::unavailable("gone");
        let waits: Vec<u128> = (0..7).map(|_| follow.next_wait(&lost).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        follow.saw(&item(1));
        assert_eq!(follow.next_wait(&lost), BACKOFF_FIRST);
    }

    #[test]
    fn only_a_broken_stream_is_resumed() {
        let cases = [
            (Status::unavailable("draining"), true),
            (Status::from_error(Box::new(std::io::Error::other("reset"))), true),
            (Status::not_found("no instance with ID 'x'"), false),
            (Status::resource_exhausted("too many watchers"), false),
        ];
        for (status, expected) in cases {
            assert_eq!(can_resume(&status), expected, "{status}");
        }
    }
}
