//! What Prometheus reads.

use axum::{extract::State, http::header, response::IntoResponse};

use super::Face;

pub async fn metrics(State(face): State<Face>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], face.orchestration.metrics())
}
