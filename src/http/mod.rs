//! The pattern's own face: HTTP with JSON, a client of the gRPC services like any other.

mod asked;
mod base;
mod chapters;
mod control;
mod health;
mod input;
mod links;
mod many;
mod metrics;
mod openapi;
mod origin;
mod problem;
mod query;
mod routes;
mod shown;
mod start;
mod status;
mod watch;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::Status;

use self::{asked::Asked, input::Input, origin::Allowed, problem::Problem, routes::routes};
use crate::grpc::Orchestration;

/// What the handlers share.
#[derive(Clone)]
struct Face {
    orchestration: Arc<Orchestration>,
}

/// Everything that is served beside gRPC.
pub fn router(orchestration: Orchestration) -> Router {
    let face = Face { orchestration: Arc::new(orchestration) };
    let routed = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    routed.method_not_allowed_fallback(not_allowed).fallback(nowhere).with_state(face)
}

/// All that the port serves, gRPC too, kept from pages of other sites than its own and these.
pub fn guarded(router: Router, origins: &[String]) -> Router {
    let allowed = Allowed::new(origins);
    let cors = allowed.cors();
    let guarded = router.layer(allowed);
    match cors {
        Some(cors) => guarded.layer(cors),
        None => guarded,
    }
}

async fn nowhere(request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        // A gRPC client reads its status where gRPC has it.
        return Status::unimplemented("the server has no such service or method").into_http::<Body>();
    }
    let what = format!("there is nothing at {}", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND", what).into_response()
}

async fn not_allowed(method: Method) -> Response {
    let what = format!("{method} is not among the methods of this resource: see the header Allow");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", what).into_response()
}

/// What an answer says. Its types have neither maps with odd keys nor anything else that JSON has no words for.
fn json(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
