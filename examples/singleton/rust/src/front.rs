//! The HTTP front: `POST /orchestrators/{functionName}/{instanceId}` starts a singleton, or answers 409.

use std::{io, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::IgnoredAny};
use soloist::{
    client::{Client, Error, ErrorKind},
    proto::v1::StartSingletonRequest,
};
use tokio::net::TcpListener;

/// What the server takes at most, if it is told to.
const BODY_BYTES_MAX: usize = 3 << 20;

/// Before the server, if it is away, is tried once more.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What stands in a URL as it is.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Clone)]
struct Front {
    soloist: Client,
    /// The server's URL.
    server: String,
}

/// Where the instance is read and controlled: at the Soloist server, by the URLs that Durable Functions has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckStatus<'a> {
    id: &'a str,
    status_query_get_uri: String,
    send_event_post_uri: String,
    terminate_post_uri: String,
    purge_history_delete_uri: String,
    restart_post_uri: String,
    suspend_post_uri: String,
    resume_post_uri: String,
}

pub async fn serve(soloist: Client, server: String, port: u16) -> io::Result<()> {
    let router = Router::new()
        .route("/orchestrators/{function_name}/{instance_id}", post(start))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Front { soloist, server });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/orchestrators/{{functionName}}/{{instanceId}}", listener.local_addr()?);
    axum::serve(listener, router).await
}

async fn start(
    State(front): State<Front>,
    Path((function_name, instance_id)): Path<(String, String)>,
    body: String,
) -> Response {
    // The request id is the same in every attempt, so that none of them starts a second one.
    let mut request = StartSingletonRequest::new(function_name, &instance_id).with_request_id(random_id());
    if !body.is_empty() {
        if let Err(error) = serde_json::from_str::<IgnoredAny>(&body) {
            return (StatusCode::BAD_REQUEST, format!("The body is no JSON: {error}")).into_response();
        }
        request = request.with_input(body);
    }
    match front.start(request).await {
        Ok(()) => accepted(&front.server, &instance_id),
        Err(error) => refused(&error),
    }
}

// === impl Front ===

impl Front {
    /// Checks and starts in one step: of any number of callers at the same moment, one is told that it has started it.
    async fn start(&self, request: StartSingletonRequest) -> Result<(), Error> {
        let mut waits = WAITS.iter();
        loop {
            // Where it gets no answer, the client tries again by itself for about a second.
            let Err(error) = self.soloist.start_singleton(request.clone()).await else { return Ok(()) };
            match waits.next() {
                // A server that is started anew may take longer.
                Some(wait) if error.kind() == ErrorKind::Unreachable => tokio::time::sleep(*wait).await,
                _ => return Err(error),
            }
        }
    }
}

/// A live instance is 409: "An instance with ID 'nightly' already exists."
fn refused(error: &Error) -> Response {
    let code = match error.reason() {
        Some("INSTANCE_ALREADY_RUNNING") => StatusCode::CONFLICT,
        Some("INVALID_FIELD") => StatusCode::BAD_REQUEST,
        // Without a reason, there was no answer.
        Some("UNAVAILABLE" | "DRAINING") | None => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let said = error.status().map(|status| status.message().to_owned());
    (code, said.unwrap_or_else(|| error.to_string())).into_response()
}

fn accepted(server: &str, id: &str) -> Response {
    let instance = format!("{server}/runtime/webhooks/durabletask/instances/{}", utf8_percent_encode(id, &ENCODED));
    let payload = CheckStatus {
        id,
        status_query_get_uri: format!("{instance}?taskHub=default"),
        send_event_post_uri: format!("{instance}/raiseEvent/{{eventName}}?taskHub=default"),
        terminate_post_uri: format!("{instance}/terminate?reason={{text}}&taskHub=default"),
        purge_history_delete_uri: format!("{instance}?taskHub=default"),
        restart_post_uri: format!("{instance}/restart?taskHub=default"),
        suspend_post_uri: format!("{instance}/suspend?reason={{text}}&taskHub=default"),
        resume_post_uri: format!("{instance}/resume?reason={{text}}&taskHub=default"),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::LOCATION, &payload.status_query_get_uri),
        (header::RETRY_AFTER, "10"),
    ];
    let body = serde_json::to_string(&payload).expect("texts can be written as JSON");
    (StatusCode::ACCEPTED, headers, body).into_response()
}

/// 128 bits that nobody else draws.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    format!("{:032x}", u128::from_be_bytes(bytes))
}
