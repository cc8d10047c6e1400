//! Whatever callers send: it is answered, or waits for the disk, but nothing panics.
//! `cargo +nightly fuzz run wire`

#![no_main]

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use prost::Message;
use soloist::{
    clock::SystemClock,
    core::{limits, time::Span},
    engine::{Config, Engine},
    entropy::SystemEntropy,
    grpc::{Door, Orchestration},
    proto::v1::{self, orchestration_service_server::OrchestrationService},
    store::memory::Memory,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Request;

/// A server of its own for each input: what happens depends on nothing else.
fn service() -> Orchestration {
    let config = Config {
        lease_ttl: Span::from_secs(15),
        turn_ttl: Span::from_secs(300),
        request_memory: Span::from_secs(60),
        retention: None,
        watchers_max: 10,
        workers_max: 10,
    };
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    let engine = Engine::recover(config, Arc::new(Memory::new()), clock, entropy).expect("an empty store");
    let payload_bytes_max = limits::PAYLOAD_BYTES_DEFAULT;
    let (watch_heartbeat, drain, tasks) = (Duration::from_secs(30), CancellationToken::new(), TaskTracker::new());
    Orchestration { door: Door { engine, payload_bytes_max, watch_heartbeat, drain, tasks } }
}

/// Nothing moves the engine, so a call that is taken waits, and is dropped.
fn call<'a, M: Message + Default, T>(
    bytes: &[u8],
    call: impl Fn(Request<M>) -> Pin<Box<dyn Future<Output = T> + Send + 'a>>,
) {
    if let Ok(message) = M::decode(bytes) {
        let _ = call(Request::new(message)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let service = service();
    match which % 12 {
        0 => call(bytes, |request| service.start_singleton(request)),
        1 => call(bytes, |request| service.get_status(request)),
        2 => call(bytes, |request| service.raise_event(request)),
        3 => call(bytes, |request| service.terminate_instance(request)),
        4 => call(bytes, |request| service.suspend_instance(request)),
        5 => call(bytes, |request| service.resume_instance(request)),
        6 => call(bytes, |request| service.restart_instance(request)),
        7 => call(bytes, |request| service.purge_instance(request)),
        8 => call(bytes, |request| service.purge_instances(request)),
        9 => call(bytes, |request| service.list_instances(request)),
        10 => call(bytes, |request| service.get_history(request)),
        _ => drop(v1::WorkRequest::decode(bytes)),
    }
});
