//! Suspension, restarts and purges, and what goes wrong with them.

use crate::checker::tests::tale::*;
use crate::checker::{history::*, violation::Kind};
use Status::{Pending, Running, Suspended, Terminated};

#[test]
fn a_hand_out_of_what_is_suspended() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, suspend(), suspended(seen("e1", Suspended, 2)))
        .granted(5, 3, "e1", "w")
        .status("a", 6..7, seen("e1", Suspended, 4))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_suspension_that_is_un_seen() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, suspend(), suspended(seen("e1", Suspended, 2)))
        .status("a", 5..6, seen("e1", Pending, 3))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn it_goes_on_as_what_it_was_not() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, suspend(), suspended(seen("e1", Suspended, 3)))
        .call("a", 6..7, resume(), resumed(seen("e1", Pending, 4)))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_restart_of_what_is_live() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, restart(), started("e2"))
        .status("a", 5..6, seen("e2", Pending, 2))
        .watch("w", 0, Some(0), &[transition(3, 1, seen("e1", Pending, 1)), transition(5, 2, seen("e2", Pending, 2))])
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_restart_after_another_execution_than_expected() {
    let expecting = Call::Restart { expected: Some("e1".into()), request: None };
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, start(Policy::Replace), replaced("e2"))
        .call("a", 5..6, terminate(), ended())
        .call("a", 7..8, expecting, started("e3"))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_purge_of_what_is_live() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, purge(), Answer::Purged)
        .status("a", 5..6, seen("e1", Pending, 1))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_purge_that_is_undone() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, purge(), Answer::Purged)
        .crash(7)
        .status("a", 9..10, seen("e1", Terminated, 2))
        .breaks(Kind::NoOrder, 4);
}

#[test]
fn a_request_forgotten_over_a_purge() {
    Tale::new()
        .call("a", 1..2, once(Policy::Fail, "r"), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, purge(), Answer::Purged)
        .call("a", 7..8, once(Policy::Fail, "r"), started("e2"))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_lease_forgotten_over_a_purge() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 100 }, Answer::Accepted)
        .call("a", 6..7, terminate(), ended())
        .call("a", 8..9, purge(), Answer::Purged)
        .call("a", 10..11, fail(), started("e2"))
        .run(12, 6, "e2", "v")
        .breaks(Kind::WorkersOverlap, 3);
}

#[test]
fn a_token_that_falls_over_a_purge() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .granted(3, 5, "e1", "w")
        .lease_ended(4, 5)
        .call("a", 6..7, terminate(), ended())
        .call("a", 8..9, purge(), Answer::Purged)
        .call("a", 10..11, fail(), started("e2"))
        .granted(12, 4, "e2", "v")
        .breaks(Kind::TokenFell, 2);
}

#[test]
fn a_new_life_with_old_revisions() {
    Tale::new()
        .call("a", 1..2, fail(), Answer::Started { execution: "e1".into(), seen: Some(seen("e1", Pending, 10)) })
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, purge(), Answer::Purged)
        .call("a", 7..8, fail(), Answer::Started { execution: "e2".into(), seen: Some(seen("e2", Pending, 1)) })
        .breaks(Kind::Missing, 2);
}

#[test]
fn something_comes_after_the_purge() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, purge(), Answer::Purged)
        .call("a", 7..8, fail(), started("e2"))
        .watch(
            "w",
            4,
            None,
            &[
                current(4, 2, seen("e1", Terminated, 2)),
                purged(6, 2, seen("e1", Terminated, 2)),
                transition(9, 1, seen("e2", Pending, 4)),
            ],
        )
        .breaks(Kind::WatchWentBack, 3);
}

#[test]
fn numbers_begin_anew_without_a_word() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .watch("w", 4, None, &[current(4, 2, seen("e1", Terminated, 2))])
        .call("a", 5..6, purge(), Answer::Purged)
        .call("a", 7..8, fail(), started("e2"))
        .watch("w", 8, Some(2), &[transition(9, 1, seen("e2", Pending, 4))])
        .breaks(Kind::WatchGap, 3);
}

#[test]
fn transitions_are_missing_before_a_purge() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, terminate(), ended())
        .call("a", 6..7, purge(), Answer::Purged)
        .watch("w", 2, None, &[current(2, 1, seen("e1", Pending, 1)), purged(8, 3, seen("e1", Terminated, 3))])
        .breaks(Kind::WatchGap, 3);
}

#[test]
fn a_purge_that_nobody_wanted() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .watch("w", 4, None, &[current(4, 2, seen("e1", Terminated, 2)), purged(6, 2, seen("e1", Terminated, 2))])
        .breaks(Kind::Missing, 2);
}

#[test]
fn a_purge_while_it_runs() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .watch("w", 4, None, &[current(4, 2, seen("e1", Running, 2)), purged(6, 2, seen("e1", Running, 2))])
        .open("a", 5, purge())
        .breaks(Kind::Contradiction, 2);
}
