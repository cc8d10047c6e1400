//! The generated code: `soloist.v1` is public, `soloist.store.v1` is what lies on the disk, `soloist.bench.v1` an echo.
#![expect(clippy::allow_attributes_without_reason, reason = "generated code silences lints in its own way")]
#![cfg_attr(feature = "server", expect(clippy::allow_attributes, reason = "as above, in the generated servers"))]

mod codec;

/// The public API: what clients and workers say to the server.
pub mod v1 {
    tonic::include_proto!("soloist.v1");
}

/// The protocol of the Durable Task SDKs.
#[cfg(feature = "server")]
pub mod durable_task {
    tonic::include_proto!("_");
}

/// What the store's rows hold.
#[cfg(feature = "server")]
pub mod store {
    tonic::include_proto!("soloist.store.v1");
}

/// What `soloist bench` measures other calls against.
#[cfg(feature = "server")]
pub mod bench {
    tonic::include_proto!("soloist.bench.v1");
}

/// The descriptors of `soloist.v1`, for gRPC reflection.
#[cfg(feature = "server")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/soloist_v1.bin"));

/// The descriptors of the Durable Task protocol.
#[cfg(feature = "server")]
pub const DURABLE_TASK_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/durable_task.bin"));
