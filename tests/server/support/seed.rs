//! Seeds: printed, so that a failure can be had again.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator of numbers (SplitMix64): the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// `SOLOIST_TEST_SEED` or a fresh one, printed.
    pub fn print(test: &str) -> Seed {
        let given = std::env::var("SOLOIST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        let seed = given.unwrap_or_else(fresh);
        println!("{test}: SOLOIST_TEST_SEED={seed}");
        Seed(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A seed for somebody who draws beside us.
    pub fn fork(&mut self) -> Seed {
        Seed(self.next())
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
