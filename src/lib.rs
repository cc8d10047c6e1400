//! Soloist: singleton orchestrations over gRPC.
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod core;
pub mod proto;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "worker")]
pub mod worker;
