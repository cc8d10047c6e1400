//! Stories about the real server: the program itself, real sockets, real clients.

mod support;

mod crash;
mod disk;
mod fuzz;
mod idempotency;
mod leases;
mod limits;
mod races;
mod reflection;
mod watch;
