//! Good histories of every shape are good, and most that were tampered with are not.

use std::time::Instant;

use crate::checker::{Rules, Verdict, check, history::*, linearize};
use proptest::prelude::*;

use super::orchestra::{Dice, Shape, play};

/// Where a search is given up that needs not come to an end.
const POINTS: usize = 2_000;

fn id(number: usize) -> InstanceId {
    InstanceId::new("default", &format!("i{number}"))
}

fn history(shape: Shape, seed: u64) -> History {
    let mut history = History::new();
    play(&mut history, &id(0), shape, &mut Dice(seed));
    history
}

fn verdict(history: &History) -> Verdict {
    check(history, &Rules::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn good_histories_are_good(
        seed: u64, steps in 1..120usize, overlap in 0..6u64, unanswered in 0..9u64, told: bool, watchers in 0..3usize,
    ) {
        let shape = Shape { is_plain: false, steps, overlap, unanswered, told, watchers };
        let verdict = verdict(&history(shape, seed));
        prop_assert!(verdict.is_clean(), "{verdict}");
    }

    /// Where much is unanswered and little was seen, the checker may give up, but not accuse.
    #[test]
    fn what_is_hard_to_tell_is_not_bad(
        seed: u64, steps in 1..200usize, overlap in 0..6u64, unanswered in 0..20u64, told: bool, watchers in 0..3usize,
    ) {
        let shape = Shape { is_plain: false, steps, overlap, unanswered, told, watchers };
        let rules = Rules { points_max: POINTS, ..Rules::default() };
        let verdict = check(&history(shape, seed), &rules);
        prop_assert!(verdict.violations.is_empty(), "{verdict}");
    }
}

/// A violation is shown by a piece of the history: no piece may accuse a server that is innocent of the whole.
#[test]
fn no_piece_of_a_good_history_is_bad() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let (told, watchers) = (dice.chance(50), dice.below(2) as usize);
        let shape = Shape { is_plain: false, steps: 50, overlap: 3, unanswered: 8, told, watchers };
        let history = history(shape, dice.next());
        let rules = Rules { begins_empty: dice.chance(80), points_max: POINTS, ..Rules::default() };
        for _ in 0..10 {
            let choice = [dice.next(), dice.next(), dice.next(), dice.next()];
            assert!(!linearize::piece_has_no_order(&history.records()[0], &rules, choice), "seed {seed}, {choice:?}");
        }
    }
}

#[test]
fn most_histories_that_were_tampered_with_are_bad() {
    let shape = Shape { is_plain: false, steps: 45, overlap: 2, unanswered: 5, told: true, watchers: 1 };
    let (mut caught, mut tampered) = (0, 0);
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let good = history(shape, dice.next());
        let Some(bad) = tamper(&good, &mut dice) else { continue };
        tampered += 1;
        let rules = Rules { points_max: POINTS, ..Rules::default() };
        caught += u32::from(!check(&bad, &rules).violations.is_empty());
    }
    println!("{caught} of {tampered} caught");
    assert!(tampered > 200, "only {tampered} histories could be tampered with");
    assert!(caught * 10 >= tampered * 9, "only {caught} of {tampered} were caught");
}

/// The history with one answer that is another one.
fn tamper(good: &History, dice: &mut Dice) -> Option<History> {
    let operations = &good.records()[0].operations;
    let victim = dice.below(operations.len() as u64) as usize;
    let mut bad = History::new();
    let mut is_changed = false;
    for (number, operation) in operations.iter().enumerate() {
        let call = bad.called(&id(0), &operation.caller, operation.called, operation.call.clone());
        if let Some(returned) = &operation.returned {
            let answer = if number == victim { changed(&returned.answer, dice) } else { returned.answer.clone() };
            is_changed |= answer != returned.answer;
            bad.answered(call, returned.at, answer);
        }
    }
    let record = &good.records()[0];
    record.granted.iter().for_each(|grant| bad.granted(&id(0), grant.clone()));
    record.received.iter().for_each(|grant| bad.received(&id(0), grant.clone()));
    record.ended.iter().for_each(|end| bad.lease_ended(&id(0), end.at, end.token));
    for watch in &record.watches {
        let number = bad.watched(&id(0), &watch.watcher, watch.opened, watch.from);
        watch.items.iter().for_each(|item| bad.saw(number, item.clone()));
        if let Some(closed) = watch.closed {
            bad.unwatched(number, closed.at, closed.how);
        }
    }
    is_changed.then_some(bad)
}

fn changed(answer: &Answer, dice: &mut Dice) -> Answer {
    let other = |seen: &Sighting, dice: &mut Dice| match dice.below(3) {
        0 => Sighting { execution: "e999".into(), ..seen.clone() },
        1 => Sighting {
            status: if seen.status == Status::Completed { Status::Terminated } else { Status::Completed },
            ..seen.clone()
        },
        _ => Sighting { revision: seen.revision.saturating_sub(20), ..seen.clone() },
    };
    match answer {
        Answer::Started { .. } => Answer::AlreadyExists { seen: None },
        Answer::Queued { position, seen, .. } => {
            Answer::Queued { execution: "e999".into(), position: *position + 1, seen: seen.clone() }
        }
        Answer::Coalesced { position, seen, .. } => {
            Answer::Coalesced { execution: "e999".into(), position: *position, seen: seen.clone() }
        }
        Answer::QueueFull { waiting } => Answer::QueueFull { waiting: *waiting + 20 },
        Answer::Suspended { .. } | Answer::Resumed { .. } => Answer::NotLive { seen: None },
        Answer::Purged => Answer::StillLive { seen: None },
        Answer::StillLive { .. } => Answer::Purged,
        Answer::Waiting { position, seen } => Answer::Waiting { position: *position + 1, seen: seen.clone() },
        Answer::Joined { .. } | Answer::Replaced { .. } => Answer::Started { execution: "e999".into(), seen: None },
        Answer::Deduplicated { first, seen, .. } => {
            Answer::Deduplicated { first: *first, execution: "e999".into(), seen: seen.clone() }
        }
        Answer::AlreadyExists { .. } | Answer::FunctionMismatch { .. } | Answer::RequestIdReused => {
            Answer::Started { execution: "e999".into(), seen: None }
        }
        Answer::Status(seen) => Answer::Status(other(seen, dice)),
        Answer::Ended { .. } => Answer::NotLive { seen: None },
        Answer::EventRaised { execution, .. } => Answer::EventRaised { execution: execution.clone(), sequence: 1 },
        Answer::NotFound => Answer::NotLive { seen: None },
        Answer::NotLive { .. } => Answer::NotFound,
        Answer::Cancelled => Answer::Accepted,
        // A worker may always be told that it no longer holds the run: leave it.
        other => other.clone(),
    }
}

/// The figure of the documents: `cargo test --release --no-default-features --features checker --lib -- --ignored --nocapture`.
#[test]
#[ignore = "it tells a figure, and is slow without optimization"]
fn a_hundred_thousand_calls_over_fifty_ids() {
    for (what, is_plain, unanswered, told, watchers) in [
        ("told and watched", true, 2, true, 2),
        ("told, not watched", true, 2, true, 0),
        ("watched, not told", true, 2, false, 2),
        ("neither", true, 2, false, 0),
        ("neither, all answered", true, 0, false, 0),
        ("every call, told and watched", false, 2, true, 2),
        ("every call, all answered", false, 0, true, 0),
    ] {
        let shape = Shape { is_plain, steps: 2_350, overlap: 4, unanswered, told, watchers };
        let mut history = History::new();
        let mut dice = Dice(7);
        for number in 0..50 {
            play(&mut history, &id(number), shape, &mut dice);
        }
        let begin = Instant::now();
        let verdict = verdict(&history);
        println!("{what}: {} calls in {:?}, {} undecided", history.calls(), begin.elapsed(), verdict.undecided.len());
        assert!(verdict.violations.is_empty(), "{verdict}");
    }
}
