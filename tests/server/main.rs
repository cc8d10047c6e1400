//! Stories about the real server: the program itself, real sockets, real clients.
#![expect(clippy::disallowed_methods, reason = "a test starts tasks, threads and clocks of its own")]

mod support;

mod backup;
mod crash;
mod disk;
mod durable_task;
mod fuzz;
mod http;
mod idempotency;
mod leases;
mod lifecycle;
mod limits;
mod queue;
mod races;
mod reflection;
mod sight;
mod watch;
