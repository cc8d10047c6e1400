//! The HTTP face: the pattern's routes and what scripts written for Durable Functions rely on.

mod browsers;
mod codes;
mod drain;
mod life;
mod malformed;
mod many;
mod metrics;
mod names;
mod openapi;
mod race;
mod watch;

/// Where the instances are managed.
const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";
