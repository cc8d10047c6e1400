//! The check-status payload: where an instance is read and controlled.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Asked, base::Base, json};

/// How long to wait before the status is read again, in seconds: what the pattern says.
pub const RETRY_AFTER: &str = "10";

const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";

/// What stands in a URL as it is.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes the URLs of one instance.
pub struct Links<'a> {
    base: &'a Base,
    hub: &'a str,
    id: &'a str,
    /// Where not simply the latest execution is meant.
    execution: Option<&'a str>,
}

/// The payload, with the names and the placeholders that Durable Functions has.
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
    outcome: &'a str,
    execution_id: &'a str,
}

impl<'a> Links<'a> {
    pub fn new(asked: &'a Asked, id: &'a str, execution: Option<&'a str>) -> Links<'a> {
        Links { base: &asked.base, hub: &asked.hub, id, execution }
    }

    pub fn status(&self) -> String {
        self.url("", "")
    }

    /// 202 with the payload: the outcome, and the execution that it is about.
    pub fn accepted(&self, outcome: &str, execution_id: &str) -> Response {
        let payload = CheckStatus {
            id: self.id,
            status_query_get_uri: self.status(),
            send_event_post_uri: self.url("/raiseEvent/{eventName}", ""),
            terminate_post_uri: self.url("/terminate", "reason={text}&"),
            purge_history_delete_uri: self.status(),
            restart_post_uri: self.url("/restart", ""),
            suspend_post_uri: self.url("/suspend", "reason={text}&"),
            resume_post_uri: self.url("/resume", "reason={text}&"),
            outcome,
            execution_id,
        };
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::LOCATION, self.status()),
            (header::RETRY_AFTER, RETRY_AFTER.to_owned()),
        ];
        (StatusCode::ACCEPTED, headers, json(&payload)).into_response()
    }

    /// There always is a query, since scripts append to it.
    fn url(&self, below: &str, query: &str) -> String {
        let (id, hub) = (utf8_percent_encode(self.id, &ENCODED), utf8_percent_encode(self.hub, &ENCODED));
        let execution = self.execution.map(|execution| format!("&executionId={execution}")).unwrap_or_default();
        self.base.url(&format!("{INSTANCES}/{id}{below}?{query}taskHub={hub}{execution}"))
    }
}
