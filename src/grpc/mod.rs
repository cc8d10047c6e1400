//! The wire: decode and validate, call the engine, encode.

mod convert;
mod door;
mod durable_task;
mod echo;
mod history;
mod idle;
mod maintenance;
mod orchestration;
mod panorama;
mod status;
mod work;

pub use self::{
    door::{Door, draining},
    durable_task::Sidecar,
    echo::Echo,
    maintenance::Maintenance,
    orchestration::Orchestration,
    work::Work,
};

/// The largest message that is decoded; our own limits are lower, so that our own errors speak.
pub const DECODE_BYTES_MAX: usize = 16 << 20;
/// The same for what Durable Task workers say: one turn may bring many payloads.
pub const COMPLETION_BYTES_MAX: usize = 64 << 20;

/// Payloads of one response may have so many bytes together: stock clients take messages of 4 MiB.
const RESPONSE_PAYLOAD_BYTES_MAX: usize = 3_900_000;
