//! Soloist: singleton orchestrations over gRPC.
pub mod proto;
#[cfg(feature = "server")]
pub mod core;
#[cfg(feature = "server")]
pub mod store;
