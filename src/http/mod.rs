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
mod origin;
mod problem;
mod query;
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
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::Serialize;
use tonic::Status;

use self::{asked::Asked, input::Input, problem::Problem};
use crate::grpc::Orchestration;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Face {
    orchestration: Arc<Orchestration>,
}

/// Everything that is served beside gRPC.
pub fn router(orchestration: Orchestration) -> Router {
    let face = Face { orchestration: Arc::new(orchestration) };
    let routed = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    let routed = routed.method_not_allowed_fallback(not_allowed);
    routed.layer(middleware::from_fn(origin::guard)).fallback(nowhere).with_state(face)
}

fn routes() -> Vec<(&'static str, MethodRouter<Face>)> {
    vec![
        ("/orchestrators/{functionName}", post(start::start)),
        ("/orchestrators/{functionName}/{instanceId}", post(start::start)),
        // Durable Functions' own route for the same.
        ("/runtime/webhooks/durabletask/orchestrators/{functionName}", post(start::start)),
        ("/runtime/webhooks/durabletask/orchestrators/{functionName}/{instanceId}", post(start::start)),
        ("/runtime/webhooks/durabletask/instances", get(many::list).delete(many::purge)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}", get(status::status).delete(control::purge)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}/raiseEvent/{eventName}", post(control::raise_event)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}/terminate", post(control::terminate)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}/suspend", post(control::suspend)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}/resume", post(control::resume)),
        ("/runtime/webhooks/durabletask/instances/{instanceId}/restart", post(control::restart)),
        ("/v1/instances/{instanceId}/watch", get(watch::watch)),
        ("/metrics", get(metrics::metrics)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
    ]
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
