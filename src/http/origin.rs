//! Pages of other sites: a browser lets them send, and sends where they can't read the answer.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Problem, base::Base};

/// Refuses what a page of another site would change; there is no password that would stop it.
pub async fn guard(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if !parts.method.is_safe() && is_foreign(&parts.headers, &Base::of(&parts)) {
        let what = "the header Origin names another site than this one";
        return Problem::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", what).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Only browsers say where a request comes from. A scheme may differ where a proxy ends TLS.
fn is_foreign(headers: &HeaderMap, base: &Base) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    !host.is_some_and(|host| base.is_at(host))
}
