//! The report for programs. Times are microseconds, ratios the load's figure divided by the reference's.

use std::time::Duration;

use serde::Serialize;

use super::Report;
use crate::cli::bench::{
    Server,
    compare::{self, Ratio},
    load::Load,
    plan::Plan,
    round::{self, Round},
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bench {
    load: &'static str,
    #[serde(flatten)]
    setup: Setup,
    payload_bytes: u32,
    duration_seconds: f64,
    warmup_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Address>,
    rounds: Vec<Figures>,
    /// The median of each figure over the rounds.
    median: Median,
    #[serde(skip_serializing_if = "Option::is_none")]
    compare: Option<Compare>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Setup {
    connections: usize,
    in_flight: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    address: String,
    started: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_id: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    round: u32,
    seconds: f64,
    requests: u64,
    per_second: f64,
    latency_micros: Latencies,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_told_micros: Option<Latencies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_micros: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_memory_bytes: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    work_items: Option<WorkItems>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkItems {
    turns: u64,
    activities: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_micros_by_turn: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_micros_by_activity: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Latencies {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Median {
    per_second: f64,
    latency_micros: MedianLatencies,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_micros: Option<f64>,
}

#[derive(Debug, Serialize)]
struct MedianLatencies {
    p50: f64,
    p99: f64,
    p999: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compare {
    load: &'static str,
    #[serde(flatten)]
    setup: Setup,
    rounds: Vec<Figures>,
    median: Median,
    ratios: Vec<Ratios>,
    median_ratio: Ratios,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ratios {
    per_second: f64,
    p50: f64,
    p99: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu: Option<f64>,
}

// === impl Bench ===

impl Bench {
    pub fn of(report: &Report) -> Bench {
        let Report { plan, server, rounds, comparison } = report;
        Bench {
            load: plan.load.name(),
            setup: Setup::of(plan, plan.load),
            payload_bytes: plan.payload_bytes,
            duration_seconds: plan.duration.as_secs_f64(),
            warmup_seconds: plan.warmup.as_secs_f64(),
            server: server.as_ref().map(Address::of),
            rounds: rounds.iter().map(Figures::of).collect(),
            median: Median::of(rounds),
            compare: comparison.as_ref().map(|comparison| Compare {
                load: comparison.reference.name(),
                setup: Setup::of(plan, comparison.reference),
                rounds: comparison.rounds.iter().map(Figures::of).collect(),
                median: Median::of(&comparison.rounds),
                ratios: comparison.ratios.iter().map(Ratios::of).collect(),
                median_ratio: Ratios::of(&comparison.median),
            }),
        }
    }
}

// === impl Setup ===

impl Setup {
    fn of(plan: &Plan, load: Load) -> Setup {
        Setup { connections: plan.connections(load), in_flight: plan.in_flight(load) }
    }
}

// === impl Address ===

impl Address {
    fn of(server: &Server) -> Address {
        let Server { address, started, process } = server;
        Address { address: address.clone(), started: *started, process_id: process.map(|process| process.id) }
    }
}

// === impl Figures ===

impl Figures {
    fn of(round: &Round) -> Figures {
        Figures {
            round: round.number,
            seconds: round.elapsed.as_secs_f64(),
            requests: round.done,
            per_second: round.per_second(),
            latency_micros: Latencies::of(&round.latencies),
            last_told_micros: round.last.as_ref().map(Latencies::of),
            server_cpu_micros: round.cpu_of_each().map(micros),
            server_memory_bytes: round.server_bytes,
            work_items: round.work_items.map(|round::WorkItems { turns, activities }| WorkItems {
                turns,
                activities,
                server_cpu_micros_by_turn: round.cpu_by_turn().map(micros),
                server_cpu_micros_by_activity: round.cpu_by_activity().map(micros),
            }),
        }
    }
}

// === impl Latencies ===

impl Latencies {
    fn of(latencies: &round::Latencies) -> Latencies {
        let round::Latencies { p50, p99, p999, max } = *latencies;
        Latencies { p50: micros(p50), p99: micros(p99), p999: micros(p999), max: micros(max) }
    }
}

// === impl Median ===

impl Median {
    fn of(rounds: &[Round]) -> Median {
        let of = |figure: fn(&Round) -> f64| compare::median(rounds.iter().map(figure).collect());
        let cpu: Option<Vec<f64>> = rounds.iter().map(|round| round.cpu_of_each().map(micros)).collect();
        Median {
            per_second: of(Round::per_second),
            latency_micros: MedianLatencies {
                p50: of(|round| micros(round.latencies.p50)),
                p99: of(|round| micros(round.latencies.p99)),
                p999: of(|round| micros(round.latencies.p999)),
            },
            server_cpu_micros: cpu.map(compare::median),
        }
    }
}

// === impl Ratios ===

impl Ratios {
    fn of(ratio: &Ratio) -> Ratios {
        let Ratio { per_second, p50, p99, server_cpu } = *ratio;
        Ratios { per_second, p50, p99, server_cpu }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}
