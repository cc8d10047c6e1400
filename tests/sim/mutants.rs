//! Each deliberate fault is found: `cargo test --features mutants --test sim mutants`.

use soloist::mutant::{Mutant, with};

use crate::play::{judged_from_outside, play};

/// Seeds within which each of them must be found.
const SEEDS_MAX: u64 = 500;

#[test]
fn every_mutant_is_caught() {
    let mut survived = Vec::new();
    for mutant in Mutant::ALL {
        // Only what the fault alone brings about counts.
        let found = |seed: &u64| with(mutant, || play(*seed)).err().filter(|_| play(*seed).is_ok());
        let caught = (1..=SEEDS_MAX).find_map(|seed| found(&seed).map(|how| (seed, how)));
        match caught {
            Some((seed, how)) => println!("{mutant:?}: {seed} seeds; {}", how.lines().next().unwrap_or_default()),
            None => survived.push(mutant),
        }
    }
    assert!(survived.is_empty(), "survived {SEEDS_MAX} seeds: {survived:?}");
}

#[test]
fn survey_clean() {
    for seed in 1..=crate::number("SOLOIST_SIM_SEEDS").unwrap_or(3000) {
        if let Some(verdict) = judged_from_outside(seed).filter(|verdict| !verdict.is_clean()) {
            println!("seed {seed}: {verdict}");
        }
    }
}

#[test]
fn survey_outside() {
    for mutant in Mutant::ALL {
        let bad = |verdict: soloist::checker::Verdict| verdict.violations.into_iter().next();
        let found = |seed: &u64| {
            let violation = with(mutant, || judged_from_outside(*seed)).and_then(bad)?;
            judged_from_outside(*seed).is_some_and(|verdict| verdict.is_clean()).then_some(violation)
        };
        let caught = (1..=SEEDS_MAX).find_map(|seed| found(&seed).map(|how| (seed, how)));
        match caught {
            Some((seed, how)) => {
                println!("{mutant:?}: {seed} seeds; {:?} {}", how.kind, how.what.lines().next().unwrap_or_default())
            }
            None => println!("{mutant:?} SURVIVES"),
        }
    }
}
