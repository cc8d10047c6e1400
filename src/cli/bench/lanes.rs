//! Threads that make the load: each has its share of the connections and of the places in flight, and a runtime of its
//! own, so that no call wakes another thread.

use std::{
    num::NonZero,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    runtime::Builder,
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time,
};
use tonic::metadata::AsciiMetadataValue;

use super::{
    load::{Load, Road},
    loads::Prepared,
    plan::Plan,
    seat::{Latency, Seat, Stage, Tally},
    target::Target,
};
use crate::{
    cli::Error,
    client::{self, Client, channel},
};

/// The threads of one round. Dropped before their time, they end by themselves.
pub struct Lanes {
    pub stage: Arc<Stage>,
    tallies: Vec<Arc<Tally>>,
    ended: mpsc::UnboundedReceiver<Result<(), Error>>,
    running: usize,
}

/// What a lane is told.
struct Lane {
    work: Arc<Prepared>,
    round: u32,
    /// Connections and places, by their numbers.
    connections: Vec<usize>,
    places: Vec<usize>,
    connections_of_all: usize,
    address: String,
    hub: Option<AsciiMetadataValue>,
    patience: Duration,
    stage: Arc<Stage>,
    tally: Arc<Tally>,
}

impl Lanes {
    pub fn start(work: &Arc<Prepared>, round: u32, plan: &Plan, target: &Target) -> Result<Lanes, Error> {
        let load = work.load();
        let connections = plan.connections(load).max(1);
        let lanes = lanes(load, connections);
        let stage = Arc::new(Stage::new());
        let (end, ended) = mpsc::unbounded_channel();
        let hub = if plan.hub == channel::HUB_DEFAULT { None } else { Some(channel::hub_value(&plan.hub)?) };
        let mut tallies = Vec::new();
        let mut running = Lanes { stage, tallies: Vec::new(), ended, running: 0 };
        for lane in 0..lanes {
            let tally = Arc::new(Tally::new());
            tallies.push(tally.clone());
            let lane = Lane {
                work: work.clone(),
                round,
                connections: (0..connections).filter(|number| number % lanes == lane).collect(),
                places: (0..plan.in_flight(load)).filter(|place| place % connections % lanes == lane).collect(),
                connections_of_all: connections,
                address: target.address().to_owned(),
                hub: hub.clone(),
                patience: plan.patience,
                stage: running.stage.clone(),
                tally,
            };
            let end = end.clone();
            let run = move || {
                // The bench may have been given up.
                let _ = end.send(lane.run());
            };
            thread::Builder::new().name("bench-lane".into()).spawn(run).context("a thread can't be started")?;
            running.running += 1;
        }
        running.tallies = tallies;
        Ok(running)
    }

    /// Waits for what is not to come while the lanes are at it: an error. Nothing is lost if this is dropped.
    pub async fn failed(&mut self) -> Error {
        match self.ended.recv().await {
            Some(Err(error)) => error,
            Some(Ok(())) | None => Error::Other(anyhow::anyhow!("a thread of the bench has ended before its time")),
        }
    }

    pub fn done(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.done()).sum()
    }

    /// Ends the round and waits for what is under way: the latencies of all, and of the last ones that were told.
    pub async fn end(mut self) -> Result<[Latency; 2], Error> {
        self.stage.end();
        for _ in 0..self.running {
            self.ended.recv().await.unwrap_or(Ok(()))?;
        }
        let mut whole = [Latency::new(), Latency::new()];
        for tally in &self.tallies {
            for (whole, part) in whole.iter_mut().zip(tally.latencies()) {
                whole.add(&part);
            }
        }
        Ok(whole)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stage.end();
    }
}

/// As many threads as there are cores to run them and connections to share.
fn lanes(load: Load, connections: usize) -> usize {
    match load.road() {
        Road::Grpc | Road::Http => available_parallelism().map_or(1, NonZero::get).min(connections),
        Road::Disk => 1,
    }
}

// === impl Lane ===

impl Lane {
    fn run(self) -> Result<(), Error> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = LocalSet::new().block_on(&runtime, self.work());
        runtime.shutdown_background();
        ended
    }

    async fn work(self) -> Result<(), Error> {
        let mut channels = Vec::new();
        if self.work.load().road() == Road::Grpc {
            for number in &self.connections {
                let client = Client::builder(&self.address).timeout(self.patience).connect().await?;
                channels.push((*number, client.channel()));
            }
        }
        let mut places = JoinSet::new();
        for place in self.places {
            let connection = place % self.connections_of_all;
            let channel = channels.iter().find(|(number, _)| *number == connection).map(|(_, channel)| channel.clone());
            let shared = (self.stage.clone(), self.tally.clone());
            let seat = Seat::new((self.round, place), channel, self.hub.clone(), shared);
            let work = self.work.clone();
            places.spawn_local(async move { work.keep_busy(seat).await });
        }
        let stage = self.stage.clone();
        let at_work = async {
            while let Some(ended) = places.join_next().await {
                ended.context("a place in flight has panicked")??;
            }
            Ok(())
        };
        let too_long = async {
            stage.over().await;
            time::sleep(self.patience).await;
        };
        tokio::select! {
            ended = at_work => ended,
            () = too_long => Err(client::Error::timed_out(self.patience).into()),
        }
    }
}
