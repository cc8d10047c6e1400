//! One place in flight: a call, and when it has ended the next one.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    cli::Error,
    client::channel::{DECODED_BYTES_MAX, HUB_KEY},
    proto::v1::orchestration_service_client::OrchestrationServiceClient,
};

/// The longest time that is told apart: whatever takes longer counts as this.
const LONGEST: Duration = Duration::from_secs(300);
/// Of a latency, as many digits are kept.
const DIGITS: u8 = 3;

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

pub type Stub = OrchestrationServiceClient<Channel>;

/// How far a round is; shared by all its places.
#[derive(Debug)]
pub struct Stage {
    now: AtomicU8,
    over: CancellationToken,
    ready: Semaphore,
}

/// What a lane's places have done while they were measured.
#[derive(Debug)]
pub struct Tally {
    done: AtomicU64,
    latencies: Mutex<Latency>,
    /// Of the watch: when the last one was told.
    last: Mutex<Latency>,
}

/// How often which latency was seen.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

/// One place in flight.
pub struct Seat {
    pub round: u32,
    /// From 0, over all lanes.
    pub number: usize,
    channel: Option<Channel>,
    hub: Option<AsciiMetadataValue>,
    stage: Arc<Stage>,
    tally: Arc<Tally>,
}

// === impl Stage ===

impl Stage {
    pub fn new() -> Stage {
        Stage { now: AtomicU8::new(WARM_UP), over: CancellationToken::new(), ready: Semaphore::new(0) }
    }

    /// Waits until so many places are ready.
    pub async fn all_ready(&self, places: usize) {
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        // It is never closed.
        let _ = self.ready.acquire_many(places).await;
    }

    pub async fn over(&self) {
        self.over.cancelled().await;
    }

    pub fn measure(&self) {
        self.now.store(MEASURED, Ordering::Release);
    }

    pub fn end(&self) {
        self.now.store(OVER, Ordering::Release);
        self.over.cancel();
    }
}

// === impl Tally ===

impl Tally {
    pub fn new() -> Tally {
        Tally { done: AtomicU64::new(0), latencies: Mutex::new(Latency::new()), last: Mutex::new(Latency::new()) }
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What was seen of each item or call, and of the last one that was told.
    pub fn latencies(&self) -> [Latency; 2] {
        [&self.latencies, &self.last].map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

// === impl Latency ===

impl Latency {
    pub fn new() -> Latency {
        let longest = nanos(LONGEST);
        Latency(Histogram::new_with_bounds(1, longest, DIGITS).expect("these bounds are allowed"))
    }

    fn note(&mut self, latency: Duration) {
        self.0.saturating_record(nanos(latency).max(1));
    }

    pub fn add(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn at(&self, percentile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percentile))
    }

    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Seat ===

impl Seat {
    pub fn new(
        (round, number): (u32, usize),
        channel: Option<Channel>,
        hub: Option<AsciiMetadataValue>,
        (stage, tally): (Arc<Stage>, Arc<Tally>),
    ) -> Seat {
        Seat { round, number, channel, hub, stage, tally }
    }

    /// The place's connection.
    pub fn channel(&self) -> Channel {
        self.channel.clone().expect("a load over gRPC is given a connection")
    }

    pub fn stub(&self) -> Stub {
        Stub::new(self.channel()).max_decoding_message_size(DECODED_BYTES_MAX)
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(hub) = &self.hub {
            request.metadata_mut().insert(HUB_KEY, hub.clone());
        }
        request
    }

    /// An id that nobody else has.
    pub fn fresh_id(&self, prefix: &str, number: u64) -> String {
        format!("{prefix}-{:x}-{:x}-{number:x}", self.round, self.number)
    }

    /// All is there for this place to be measured.
    pub fn ready(&self) {
        self.stage.ready.add_permits(1);
    }

    pub fn is_over(&self) -> bool {
        self.stage.now.load(Ordering::Acquire) == OVER
    }

    /// Waits until the round is over.
    pub async fn over(&self) {
        self.stage.over().await;
    }

    /// What began then has ended now.
    pub fn note(&self, begun: Instant) {
        if self.stage.now.load(Ordering::Acquire) == MEASURED {
            self.tally.done.fetch_add(1, Ordering::Relaxed);
            self.tally.latencies.lock().unwrap_or_else(PoisonError::into_inner).note(begun.elapsed());
        }
    }

    /// The last one of all has heard now what began then.
    pub fn note_last(&self, begun: Instant) {
        if self.stage.now.load(Ordering::Acquire) == MEASURED {
            self.tally.last.lock().unwrap_or_else(PoisonError::into_inner).note(begun.elapsed());
        }
    }

    /// Calls, one after the other, until the round is over. `call` is given the number of the call, from 0.
    pub async fn repeat(&self, mut call: impl AsyncFnMut(u64) -> Result<(), Error>) -> Result<(), Error> {
        self.ready();
        let mut number = 0;
        while !self.is_over() {
            let begun = Instant::now();
            call(number).await?;
            self.note(begun);
            number += 1;
        }
        Ok(())
    }
}
