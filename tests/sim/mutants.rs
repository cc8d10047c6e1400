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

/// What the checker finds by itself, in what callers, workers and watchers saw. The others are about something that does
/// not happen, such as a hand-out or a timer, which a history without an end can't show; about rows that stay on the
/// disk; or only now and then about anything that somebody sees.
const SEEN_FROM_OUTSIDE: [Mutant; 29] = [
    Mutant::StartOverLive,
    Mutant::ForgetRequest,
    Mutant::ForgetRequestsAtRecovery,
    Mutant::ForgetRequestsAtPurge,
    Mutant::DequeueFromBack,
    Mutant::OverfillQueue,
    Mutant::StartWithdrawn,
    Mutant::SkipLeaseWait,
    Mutant::EndLeasesAtRecovery,
    Mutant::ForgetLeaseAtPurge,
    Mutant::HandOutSuspended,
    Mutant::SweepLive,
    Mutant::AnswerBeforeFlush,
    Mutant::RejectBeforeFlush,
    Mutant::ReadUncommitted,
    Mutant::CarryOutBeforeFlush,
    Mutant::NumberThenQueue,
    Mutant::LoseRecord,
    Mutant::ReuseArrivals,
    Mutant::ForgetQueuedStart,
    Mutant::LoseQueueAtRecovery,
    Mutant::ReuseToken,
    Mutant::StepBackAtRecovery,
    Mutant::BelieveAnyProof,
    Mutant::TakeReportAfterEnd,
    Mutant::SkipSequence,
    Mutant::HideLag,
    Mutant::HideGapAtResume,
    Mutant::CarryOnAfterFailure,
];

#[test]
fn the_checker_alone_catches() {
    let survived = SEEN_FROM_OUTSIDE.iter().filter(|mutant| !is_seen_from_outside(**mutant));
    let survived: Vec<&Mutant> = survived.collect();
    assert!(survived.is_empty(), "survived {SEEDS_MAX} seeds: {survived:?}");
}

/// The figure of the documents.
#[test]
#[ignore = "it tells a figure: `cargo test --release --features mutants --test sim how_many -- --ignored --nocapture`"]
fn how_many_the_checker_alone_catches() {
    let caught = Mutant::ALL.iter().filter(|mutant| is_seen_from_outside(**mutant)).count();
    println!("{caught} of {} within {SEEDS_MAX} seeds", Mutant::ALL.len());
}

fn is_seen_from_outside(mutant: Mutant) -> bool {
    let found = |seed: u64| {
        let verdict = with(mutant, || judged_from_outside(seed))?;
        let violation = verdict.violations.into_iter().next()?;
        // Only what the fault alone brings about counts.
        judged_from_outside(seed).is_some_and(|verdict| verdict.is_clean()).then_some((seed, violation))
    };
    let caught = (1..=SEEDS_MAX).find_map(found);
    if let Some((seed, violation)) = &caught {
        println!("{mutant:?}: {seed} seeds; {:?}", violation.kind);
    }
    caught.is_some()
}
