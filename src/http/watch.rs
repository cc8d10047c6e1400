//! An instance, live: server-sent events, resumed by revision.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response, Sse, sse::Event},
};
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tonic::Status;

use super::{Asked, Face, Problem, asked, json, shown::Shown};
use crate::proto::v1::{self, WatchStatusResponse, orchestration_service_server::OrchestrationService};

/// How long a browser waits before it opens a lost stream again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Proxies such as nginx would keep events back otherwise.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// What an event says.
#[derive(Serialize)]
struct News {
    sequence: u64,
    resync: bool,
    purged: bool,
    status: Shown,
}

pub async fn watch(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    let request = v1::WatchStatusRequest {
        instance_id: asked.instance_id(),
        execution_id: asked.execution_id()?,
        from_revision: from_revision(&asked)?,
        until_terminal: asked.query.flag("untilTerminal", false)?,
        wait_for_start: asked.query.flag("waitForStart", false)?,
        include_payloads: asked.query.flag("includePayloads", false)?,
    };
    let mut items = face.orchestration.watch_status(asked.call(request)?).await?.into_inner();
    let first = match items.next().now_or_never() {
        // The only word that keeps a browser from asking again for what has ended.
        Some(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Some(Some(item)) => Some(item),
        None => None,
    };
    let opening = stream::iter([Event::default().retry(RECONNECT)]);
    let events = opening.chain(stream::iter(first).chain(items).map(event));
    Ok(([UNBUFFERED], Sse::new(events.map(Ok::<_, Infallible>))).into_response())
}

/// Where the watcher was: a browser says it by itself when it comes back.
fn from_revision(asked: &Asked) -> Result<Option<u64>, Problem> {
    let last = asked::header(&asked.headers, "last-event-id")?;
    if last.is_empty() {
        return asked.query.number("fromRevision");
    }
    last.parse().map(Some).map_err(|_| Problem::invalid("last-event-id", "must be a revision"))
}

fn event(item: Result<WatchStatusResponse, Status>) -> Event {
    let (status, sequence, resync, purged) = match item {
        Ok(WatchStatusResponse { status: Some(status), sequence, resync, purged, .. }) => {
            (status, sequence, resync, purged)
        }
        Ok(_) => return Event::default().comment("heartbeat"),
        // The stream ends with this, and the browser comes back.
        Err(status) => return Event::default().comment(status.message().replace(['\r', '\n'], " ")),
    };
    let name = match (purged, resync) {
        (true, _) => "purged",
        (false, true) => "resync",
        (false, false) => "status",
    };
    let id = status.revision.to_string();
    let news = News { sequence, resync, purged, status: (*status).into() };
    // In JSON ends of lines stand only between values; here each would begin another line of the event.
    let data = json(&news).replace(['\r', '\n'], " ");
    Event::default().event(name).id(id).data(data)
}
