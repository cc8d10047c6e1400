//! Whether the process lives, and whether it takes calls.

use axum::{extract::State, http::header, response::IntoResponse};

use super::{Face, Problem};
use crate::grpc::draining;

pub async fn live() -> impl IntoResponse {
    plain("ok\n")
}

pub async fn ready(State(face): State<Face>) -> Result<impl IntoResponse, Problem> {
    if face.orchestration.door.drain.is_cancelled() {
        return Err(draining().into());
    }
    Ok(plain("ok\n"))
}

/// An answer of this moment: nobody on the way keeps it.
fn plain(text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], text)
}
