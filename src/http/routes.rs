//! What is served where: the router and its description are both made from this.

use axum::{
    handler::Handler,
    routing::{self, MethodRouter},
};

use super::{
    Face, control, health, many, metrics,
    openapi::{self, Operation, operations::*},
    start, status, watch,
};

/// One method of one path.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub handler: MethodRouter<Face>,
    pub operation: &'static Operation,
}

pub fn routes() -> Vec<Route> {
    vec![
        post("/orchestrators/{functionName}/{instanceId}", start::start, &START),
        post("/orchestrators/{functionName}", start::start, &START_ANY),
        // Durable Functions' own routes for the same.
        post("/runtime/webhooks/durabletask/orchestrators/{functionName}/{instanceId}", start::start, &START),
        post("/runtime/webhooks/durabletask/orchestrators/{functionName}", start::start, &START_ANY),
        get("/runtime/webhooks/durabletask/instances", many::list, &LIST),
        delete("/runtime/webhooks/durabletask/instances", many::purge, &PURGE_MANY),
        get("/runtime/webhooks/durabletask/instances/{instanceId}", status::status, &STATUS),
        delete("/runtime/webhooks/durabletask/instances/{instanceId}", control::purge, &PURGE),
        post(
            "/runtime/webhooks/durabletask/instances/{instanceId}/raiseEvent/{eventName}",
            control::raise_event,
            &RAISE_EVENT,
        ),
        post("/runtime/webhooks/durabletask/instances/{instanceId}/terminate", control::terminate, &TERMINATE),
        post("/runtime/webhooks/durabletask/instances/{instanceId}/suspend", control::suspend, &SUSPEND),
        post("/runtime/webhooks/durabletask/instances/{instanceId}/resume", control::resume, &RESUME),
        post("/runtime/webhooks/durabletask/instances/{instanceId}/restart", control::restart, &RESTART),
        get("/v1/instances/{instanceId}/watch", watch::watch, &WATCH),
        get("/metrics", metrics::metrics, &METRICS),
        get("/livez", health::live, &LIVE),
        get("/readyz", health::ready, &READY),
        get("/openapi.json", openapi::openapi, &OPENAPI),
    ]
}

fn get<H: Handler<T, Face>, T: 'static>(path: &'static str, handler: H, operation: &'static Operation) -> Route {
    Route { method: "get", path, handler: routing::get(handler), operation }
}

fn post<H: Handler<T, Face>, T: 'static>(path: &'static str, handler: H, operation: &'static Operation) -> Route {
    Route { method: "post", path, handler: routing::post(handler), operation }
}

fn delete<H: Handler<T, Face>, T: 'static>(path: &'static str, handler: H, operation: &'static Operation) -> Route {
    Route { method: "delete", path, handler: routing::delete(handler), operation }
}
