//! Soloist: singleton orchestrations over gRPC.

#[cfg(feature = "client")]
pub mod client;
pub mod proto;
#[cfg(feature = "worker")]
pub mod worker;

#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod core;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod entropy;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod store;
