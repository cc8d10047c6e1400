//! One round of one load: warm it up, measure it, end it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tokio::time;

use super::{
    lanes::Lanes,
    load::{Load, Road},
    loads::Prepared,
    plan::Plan,
    progress::Progress,
    seat::Latency,
    target::Target,
};
use crate::{cli::Error, client};

/// How often people see how far it is.
const FRAME: Duration = Duration::from_millis(200);

/// What was measured in one round.
#[derive(Clone, Debug)]
pub struct Round {
    pub load: Load,
    pub number: u32,
    /// How long it was measured.
    pub elapsed: Duration,
    /// Calls that have ended; of the watch, items that were delivered.
    pub done: u64,
    pub latencies: Latencies,
    /// Of the watch: until the last one of all was told.
    pub last: Option<Latencies>,
    /// What the server has used, where its process can be looked at.
    pub server_cpu: Option<Duration>,
    pub server_bytes: Option<u64>,
    /// What a Durable Task worker has done meanwhile.
    pub work_items: Option<WorkItems>,
}

/// Turns and activities that were completed.
#[derive(Clone, Copy, Debug)]
pub struct WorkItems {
    pub turns: u64,
    pub activities: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    pub p50: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub max: Duration,
}

/// Where a round was at one moment.
struct Mark {
    at: Instant,
    done: u64,
    server_cpu: Option<Duration>,
    work_items: Option<WorkItems>,
}

pub async fn measure(
    work: &Arc<Prepared>,
    number: u32,
    plan: &Plan,
    target: &Target,
    progress: &mut Progress,
) -> Result<Round, Error> {
    let load = work.load();
    let mut lanes = Lanes::start(work, number, plan, target)?;
    let stage = lanes.stage.clone();
    progress.begin(load, number);
    let all_ready = async {
        let ready = time::timeout(plan.patience, stage.all_ready(plan.in_flight(load))).await;
        ready.map_err(|_| client::Error::timed_out(plan.patience))?;
        time::sleep(plan.warmup).await;
        Ok(())
    };
    tokio::select! {
        ready = all_ready => ready.map_err(|error: client::Error| Error::from(error))?,
        error = lanes.failed() => return Err(error),
    }

    stage.measure();
    let begin = Mark::now(work, &lanes, target);
    let until = begin.at + plan.duration;
    while Instant::now() < until {
        let next = until.min(Instant::now() + FRAME);
        tokio::select! {
            () = time::sleep_until(next.into()) => {}
            error = lanes.failed() => return Err(error),
        }
        progress.at(begin.at.elapsed(), lanes.done());
    }
    let end = Mark::now(work, &lanes, target);
    let server = target.process().filter(|_| load.road() != Road::Disk);
    let server_bytes = server.and_then(|process| process.resident_bytes());
    let [latencies, last] = lanes.end().await?;

    let done = end.done - begin.done;
    if done == 0 {
        return Err(Error::Other(anyhow!("nothing of {} has ended within the round: raise --duration", load.name())));
    }
    let server_cpu = server.and(end.server_cpu).zip(begin.server_cpu).map(|(end, begin)| end.saturating_sub(begin));
    Ok(Round {
        load,
        number,
        elapsed: end.at - begin.at,
        done,
        latencies: Latencies::of(&latencies),
        last: (last.count() > 0).then(|| Latencies::of(&last)),
        server_cpu,
        server_bytes,
        work_items: end.work_items.zip(begin.work_items).map(|(end, begin)| end.since(begin)),
    })
}

// === impl Round ===

impl Round {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    pub fn cpu_of_each(&self) -> Option<Duration> {
        self.cpu_by(self.done)
    }

    /// All CPU time, what else there was to do included.
    pub fn cpu_by_turn(&self) -> Option<Duration> {
        self.cpu_by(self.work_items?.turns)
    }

    pub fn cpu_by_activity(&self) -> Option<Duration> {
        self.cpu_by(self.work_items?.activities)
    }

    fn cpu_by(&self, count: u64) -> Option<Duration> {
        self.server_cpu.filter(|_| count > 0).map(|cpu| cpu.div_f64(count as f64))
    }
}

// === impl WorkItems ===

impl WorkItems {
    fn since(self, begin: WorkItems) -> WorkItems {
        WorkItems { turns: self.turns - begin.turns, activities: self.activities - begin.activities }
    }
}

// === impl Latencies ===

impl Latencies {
    fn of(latency: &Latency) -> Latencies {
        Latencies { p50: latency.at(50.0), p99: latency.at(99.0), p999: latency.at(99.9), max: latency.longest() }
    }
}

// === impl Mark ===

impl Mark {
    fn now(work: &Prepared, lanes: &Lanes, target: &Target) -> Mark {
        let server_cpu = target.process().and_then(|process| process.cpu());
        Mark { at: Instant::now(), done: lanes.done(), server_cpu, work_items: work.work_items() }
    }
}
