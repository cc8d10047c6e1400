//! Pages of other sites: a browser lets them send, and shows them the answer only where it is told to.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::future::Either;
use tonic::codegen::Service;
use tower_http::cors::CorsLayer;
use tower_layer::Layer;

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

/// Refuses what a page of another site would change; there is no password that would stop it. That goes for gRPC too:
/// behind a proxy pages can reach it, and it looks at no content type.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    allowed: Allowed,
}

impl<S> Layer<S> for Allowed {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, allowed: self.clone() }
    }
}

impl<S: Service<Request, Response = Response>> Service<Request> for Guarded<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(origin) = request.headers().get(header::ORIGIN).filter(|_| !request.method().is_safe()) else {
            return Either::Left(self.inner.call(request));
        };
        if self.allowed.0.contains(origin) || is_own(origin, &Base::of(request.uri(), request.headers())) {
            return Either::Left(self.inner.call(request));
        }
        let what = "the header Origin names another site than this one";
        let refused = Problem::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", what);
        Either::Right(ready(Ok(refused.into_response())))
    }
}

/// Only browsers say where a request comes from. A scheme may differ where a proxy ends TLS.
fn is_own(origin: &HeaderValue, base: &Base) -> bool {
    let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    host.is_some_and(|host| base.is_at(host))
}
