//! Each deliberate fault in what turns schedule and instances tell each other is found:
//! `cargo test --features mutants --test engine mutants`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use soloist::mutant::{Mutant, with};

use super::{
    a_life, any_op,
    house::{House, Op},
    live_with_a_failure,
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

/// Those that a failing store alone shows.
#[test]
fn what_a_failing_store_must_show_is_caught() {
    let life = a_life();
    let of_failures = [
        Mutant::CarryOnAfterFailure,
        Mutant::CarryOutBeforeFlush,
        Mutant::AnswerBeforeFlush,
        Mutant::LoseMark,
        Mutant::ForgetMarksAtRecovery,
        Mutant::LoseOutboxAtRecovery,
        Mutant::LoseTasksAtRecovery,
    ];
    for mutant in of_failures {
        let objects = |at: usize, applied| {
            with(mutant, || catch_unwind(AssertUnwindSafe(|| live_with_a_failure(&life, at, applied))).is_err())
        };
        let caught = (0..life.len()).filter(|at| objects(*at, false) || objects(*at, true)).count();
        println!("{mutant:?}: at {caught} of {} steps", life.len());
        assert!(caught > 0, "{mutant:?}");
    }
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
