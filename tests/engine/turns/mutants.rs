//! Each deliberate fault in what turns schedule and instances tell each other is found:
//! `cargo test --features mutants --test engine mutants`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use soloist::mutant::{Mutant, with};

use super::{
    any_op,
    house::{House, Op},
};

/// Lives of the house within which each of them must be found.
const LIVES_MAX: usize = 300;

fn lives() -> Vec<Vec<Op>> {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let life = proptest::collection::vec(any_op(), 1..150);
    (0..LIVES_MAX).map(|_| life.new_tree(&mut runner).expect("a life").current()).collect()
}

/// Whether the house objects to what happens in this life.
fn objects(life: &[Op]) -> bool {
    let live = || {
        let mut house = House::new();
        life.iter().cloned().for_each(|op| house.act(op));
        house.come_to_rest();
    };
    catch_unwind(AssertUnwindSafe(live)).is_err()
}

#[test]
fn every_mutant_of_turns_is_caught() {
    let lives = lives();
    let mut survived = Vec::new();
    for mutant in Mutant::OF_TURNS {
        // Only what the fault alone brings about counts.
        let caught = lives.iter().position(|life| with(mutant, || objects(life)) && !objects(life));
        match caught {
            Some(before) => println!("{mutant:?}: {} lives", before + 1),
            None => survived.push(mutant),
        }
    }
    assert!(survived.is_empty(), "survived {LIVES_MAX} lives: {survived:?}");
}
