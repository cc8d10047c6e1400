//! Each deliberate fault is found: `cargo test --features mutants --test sim mutants`.

use soloist::mutant::{Mutant, with};

use crate::play::play;

/// Seeds within which each of them must be found.
const SEEDS_MAX: u64 = 1_000;

#[test]
fn every_mutant_is_caught() {
    let mut survived = Vec::new();
    for mutant in Mutant::ALL {
        let caught = (1..=SEEDS_MAX).find_map(|seed| with(mutant, || play(seed)).err().map(|how| (seed, how)));
        match caught {
            Some((seed, how)) => println!("{mutant:?}: {seed} seeds; {}", how.lines().next().unwrap_or_default()),
            None => survived.push(mutant),
        }
    }
    assert!(survived.is_empty(), "survived {SEEDS_MAX} seeds: {survived:?}");
}
