//! Simulations of core and engine: seeded, in virtual time, with a disk that fails and everybody else too.
//!
//! A seed that fails says how to play it again: `SOLOIST_SIM_SEED=… cargo test --test sim one_seed`; with
//! `SOLOIST_SIM_TOLD=1` and `-- --nocapture` it is told step by step. Then it is kept in `kept`, by name.

mod client;
mod dice;
mod disk;
mod entry;
mod house;
mod kept;
mod link;
#[cfg(feature = "mutants")]
mod mutants;
mod play;
mod retention;
mod rows;
mod stage;
mod tales;
mod watcher;
mod witness;
mod worker;
mod world;

use std::time::{Duration, Instant};

use soloist::entropy::{Entropy, SystemEntropy};

/// How long fresh seeds are played where nothing else is asked for.
const SECONDS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn assert_clean(seed: u64) -> play::Tally {
    play::play(seed).unwrap_or_else(|violation| {
        panic!("seed {seed}: {violation}\nplay it again: SOLOIST_SIM_SEED={seed} cargo test --test sim one_seed")
    })
}

/// For `SOLOIST_SIM_SECONDS`, or as many seeds as `SOLOIST_SIM_SEEDS` says, from `SOLOIST_SIM_SEED` on.
#[test]
fn fresh_seeds() {
    let fresh = || u128::from_le_bytes(SystemEntropy.sixteen_bytes()) as u64 % 1_000_000_000_000;
    let first = number("SOLOIST_SIM_SEED").unwrap_or_else(fresh);
    let count = number("SOLOIST_SIM_SEEDS").unwrap_or(u64::MAX);
    let seconds = number("SOLOIST_SIM_SECONDS").unwrap_or(SECONDS);
    let within = if count < u64::MAX { Duration::MAX } else { Duration::from_secs(seconds) };
    println!("seeds from {first}");
    let begun = Instant::now();
    let (mut played, mut steps, mut calls, mut undecided) = (0, 0, 0, 0);
    while played < count && begun.elapsed() < within {
        let tally = assert_clean(first + played);
        (played, steps, calls) = (played + 1, steps + tally.steps, calls + tally.calls);
        undecided += tally.undecided;
    }
    println!(
        "{played} seeds from {first}, {steps} steps, {calls} calls ({undecided} ids undecided) in {:?}",
        begun.elapsed()
    );
}

/// The seed of `SOLOIST_SIM_SEED`.
#[test]
fn one_seed() {
    if let Some(seed) = number("SOLOIST_SIM_SEED") {
        println!("{:?}", assert_clean(seed));
    }
}

/// Without this no seed could be played again.
#[test]
fn the_same_seed_is_the_same_play() {
    for seed in 0..5 {
        assert_eq!(assert_clean(seed), assert_clean(seed), "seed {seed}");
    }
}
