//! Soloist: singleton orchestrations over gRPC.
//!
//! Many callers may ask to start the orchestration with one instance id; exactly one live instance of it exists at any
//! time. The server is the program `soloist`; callers in Rust use [`client`] and [`worker`], callers in other languages
//! the protocol `soloist.v1`.

#[cfg(feature = "checker")]
pub mod checker;
#[cfg(feature = "client")]
pub mod client;
pub mod proto;
#[cfg(feature = "worker")]
pub mod worker;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod core;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod entropy;
#[cfg(feature = "server")]
mod files;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(all(feature = "server", not(feature = "mutants")))]
mod mutant;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "cli")]
pub mod telemetry;
