//! The rules, pure: `(instance, command, now) -> events | rejection`, and what must be done once those are durable.
//!
//! Nothing here waits, reads a clock, draws a random number or does I/O: time and ids are arguments.

pub mod command;
pub mod decide;
pub mod effect;
pub mod event;
pub mod execution;
pub mod filter;
pub mod history;
pub mod ids;
pub mod instance;
pub mod lease;
pub mod limits;
pub mod partitioning;
pub mod policy;
pub mod queue;
pub mod rare;
pub mod rejection;
pub mod request;
pub mod status;
pub mod time;
pub mod turn;
