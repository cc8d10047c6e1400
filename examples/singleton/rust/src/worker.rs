//! The worker: a regular function and an eternal one.
//!
//! There is no Durable Task SDK for Rust. A native worker runs an orchestration as a whole: no replay, and so no rules of
//! determinism; after a lost worker a function begins again from its start, if the start asked for another attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use soloist::{
    client::Error,
    worker::{Failure, Outcome, Run, Worker},
};

/// The input of `refresh`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    wait_seconds: f64,
    generation: u64,
}

/// Runs at a time in this process.
const RUNS_MAX: u32 = 100;

pub async fn work(server: &str, told_to_end: impl Future<Output = ()>) -> Result<(), Error> {
    Worker::builder(server)
        .max_runs(RUNS_MAX)
        .function("report", report)
        .function("refresh", refresh)
        // An eternal one does not end by itself.
        .shutdown_grace(Duration::ZERO)
        .build()?
        .run(told_to_end)
        .await
}

/// Three steps, one after the other, and it is done.
async fn report(run: Run) -> Result<String, Failure> {
    let of: String = serde_json::from_str(run.input().unwrap_or("\"today\""))?;
    run.progress("\"collecting\"").await?;
    let figures = collect(&of).await;
    run.progress("\"adding up\"").await?;
    let total = add_up(&figures).await;
    run.progress("\"publishing\"").await?;
    Ok(serde_json::to_string(&publish(&of, total).await)?)
}

async fn collect(of: &str) -> Vec<i64> {
    println!("collecting the figures of {of}");
    vec![20, 21, 1]
}

async fn add_up(figures: &[i64]) -> i64 {
    figures.iter().sum()
}

async fn publish(of: &str, total: i64) -> String {
    format!("the report of {of}: {total}")
}

/// Never ends: each generation does its work, waits, and continues as the next one, under the same instance id.
async fn refresh(run: Run) -> Result<Outcome, Failure> {
    let mut settings: Settings = serde_json::from_str(run.input().unwrap_or("{}"))?;
    let wait = Duration::try_from_secs_f64(settings.wait_seconds)?;
    refresh_cache(settings.generation).await;
    run.progress(settings.generation.to_string()).await?;
    tokio::time::sleep(wait).await;
    settings.generation += 1;
    Ok(Outcome::ContinueAsNew(Some(serde_json::to_string(&settings)?)))
}

async fn refresh_cache(generation: u64) {
    println!("generation {generation}");
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Settings {
        Settings { wait_seconds: 5.0, generation: 1 }
    }
}
