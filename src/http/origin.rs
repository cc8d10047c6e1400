//! Pages of other sites: a browser lets them send, and shows them the answer only where it is told to.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tower_http::cors::CorsLayer;

use super::{Problem, base::Base};

/// How long a browser need not ask again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What pages of allowed sites may send beyond what each page may: for HTTP, and for gRPC-Web.
const SENT: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("taskhub"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-ms-continuation-token"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("grpc-timeout"),
];

/// What they may read of answers, likewise.
const READ: [HeaderName; 7] = [
    header::ALLOW,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("x-ms-continuation-token"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// The sites whose pages may call, beside the server's own.
#[derive(Clone)]
pub struct Allowed(Arc<[HeaderValue]>);

impl Allowed {
    /// What no header can hold is passed over: no browser can send it either.
    pub fn new(origins: &[String]) -> Allowed {
        Allowed(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// What tells browsers so, unless there is nothing to tell.
    pub fn cors(&self) -> Option<CorsLayer> {
        let methods = [Method::GET, Method::POST, Method::DELETE];
        let cors = || {
            CorsLayer::new()
                .allow_origin(self.0.to_vec())
                .allow_methods(methods)
                .allow_headers(SENT)
                .expose_headers(READ)
                .max_age(REMEMBERED)
        };
        (!self.0.is_empty()).then(cors)
    }
}

/// Refuses what a page of another site would change; there is no password that would stop it.
pub async fn guard(State(allowed): State<Allowed>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if !parts.method.is_safe() && is_foreign(&parts.headers, &Base::of(&parts), &allowed) {
        let what = "the header Origin names another site than this one";
        return Problem::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", what).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Only browsers say where a request comes from. A scheme may differ where a proxy ends TLS.
fn is_foreign(headers: &HeaderMap, base: &Base, allowed: &Allowed) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    !host.is_some_and(|host| base.is_at(host)) && !allowed.0.contains(origin)
}
