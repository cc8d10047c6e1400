//! Suspension, restarts and purges.

use crate::checker::tests::tale::*;
use crate::checker::{Rules, history::*};
use Status::{Completed, Pending, Running, Suspended, Terminated};

#[test]
fn it_goes_on_as_what_it_was() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, suspend(), suspended(seen("e1", Suspended, 2)))
        .call("b", 3..4, fail(), exists())
        .call("a", 5..6, suspend(), suspended(seen("e1", Suspended, 2)))
        .call("a", 7..8, resume(), resumed(seen("e1", Pending, 3)))
        .run(9, 4, "e1", "w")
        .call("a", 10..11, suspend(), suspended(seen("e1", Suspended, 5)))
        .report(12..13, 4, Report::Accept { lease: 10 }, Answer::Accepted)
        .call("a", 14..15, resume(), resumed(seen("e1", Running, 7)))
        .call("a", 16..17, resume(), resumed(seen("e1", Running, 7)))
        .is_good();
}

#[test]
fn a_suspended_run_may_end() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, suspend(), suspended(seen("e1", Suspended, 3)))
        .report(6..7, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .call("a", 8..9, resume(), Answer::NotLive { seen: Some(seen("e1", Completed, 6)) })
        .is_good();
}

#[test]
fn what_continues_while_it_is_suspended_is_suspended() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, suspend(), suspended(seen("e1", Suspended, 3)))
        .report(6..7, 2, Report::ContinueAsNew { content: 1 }, Answer::Accepted)
        .status("a", 8..9, seen("e2", Suspended, 6))
        .call("a", 10..11, resume(), resumed(seen("e2", Running, 7)))
        .is_good();
}

#[test]
fn a_restart_is_a_new_execution() {
    let once = |id: &str| Call::Restart { expected: None, request: Some(Request { id: id.into(), digest: 7 }) };
    Tale::new()
        .call("a", 0..1, restart(), Answer::NotFound)
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, restart(), exists())
        .call("a", 5..6, terminate(), ended())
        .call("a", 7..8, once("r"), Answer::Started { execution: "e2".into(), seen: Some(seen("e2", Pending, 4)) })
        .call("a", 9..10, once("r"), deduplicated(Outcome::Started, "e2"))
        .is_good();
}

#[test]
fn a_new_life() {
    let quiet = Some((50, Closing::Finished));
    Tale::new()
        .call("a", 1..2, once(Policy::Fail, "r"), started("e1"))
        .watch_to(
            "w",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(6, 2, seen("e1", Terminated, 3)),
                purged(9, 2, seen("e1", Terminated, 3)),
            ],
            quiet,
        )
        .call("a", 3..4, purge(), Answer::StillLive { seen: Some(seen("e1", Pending, 2)) })
        .call("a", 5..6, terminate(), ended())
        .call("a", 7..8, purge(), Answer::Purged)
        .call("a", 9..10, Call::GetStatus, Answer::NotFound)
        .call("a", 11..12, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e1"))
        .call("a", 13..14, purge(), Answer::NotFound)
        .call("a", 15..16, restart(), Answer::NotFound)
        .call("a", 17..18, fail(), Answer::Started { execution: "e2".into(), seen: Some(seen("e2", Pending, 5)) })
        .watch("v", 0, Some(0), &[transition(19, 1, seen("e2", Pending, 5))])
        .is_good();
}

#[test]
fn a_purge_forgets_no_lease() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .granted(3, 2, "e1", "w")
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 20 }, Answer::Accepted)
        .call("a", 6..7, terminate(), ended())
        .call("a", 8..9, purge(), Answer::Purged)
        .call("a", 10..11, fail(), started("e2"))
        .report(12..14, 2, Report::Stopped, Answer::Accepted)
        .lease_ended(13, 2)
        .granted(14, 9, "e2", "v")
        .run(15, 9, "e2", "v")
        .is_good();
}

#[test]
fn an_unanswered_purge_may_have_happened() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), Answer::Ended { seen: Some(seen("e1", Terminated, 2).with_token(0)) })
        .open("a", 5, purge())
        .call("a", 7..8, Call::GetStatus, Answer::NotFound)
        .is_good();
}

#[test]
fn the_server_sweeps_where_it_is_told_to() {
    let mut tale = Tale::new();
    tale.call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 100..101, Call::GetStatus, Answer::NotFound)
        .call("a", 102..103, Call::Start(Start::of("f").replacing(&[])), started("e2"));
    tale.is_good_by(&Rules { sweeps: true, ..Rules::default() });
    assert!(!tale.verdict().is_clean());
}

/// A call that changed nothing where it came first was taken to have come first; then nothing explained what it did.
#[test]
fn a_resumption_that_overlaps_its_suspension() {
    Tale::new()
        .call("a", 4..11, fail(), started("e1"))
        .call("a", 14..24, suspend(), Answer::Suspended { seen: None })
        .call("b", 20..36, resume(), Answer::Resumed { seen: None })
        .watch(
            "w",
            0,
            Some(0),
            &[
                transition(20, 1, seen("e1", Pending, 1)),
                transition(28, 2, seen("e1", Suspended, 2)),
                transition(36, 3, seen("e1", Pending, 3)),
            ],
        )
        .is_good();
}

/// What others had seen of the life before was missed in the eyes of the checker by a watcher that came after the purge.
#[test]
fn who_comes_after_a_purge_has_missed_nothing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, purge(), Answer::Purged)
        .watch("v", 0, Some(0), &[transition(2, 1, seen("e1", Pending, 1))])
        .watch_to("w", 7, None, &[], Some((20, Closing::Quiet)))
        .is_good();
}

/// A deadline ended what the run had continued as, and then its worker stopped. Who asked for the run was told of that
/// end, which is older than the stop; the checker knew only of ends after it.
#[test]
fn the_end_of_what_continued_is_older_than_the_last_report() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::ContinueAsNew { content: 1 }, Answer::Accepted)
        .run(6, 5, "e2", "w")
        .call("a", 7..8, suspend(), suspended(seen("e2", Suspended, 6)))
        .report(9..10, 5, Report::Stopped, Answer::Accepted)
        .call("a", 11..12, status_of("e1"), Answer::Status(seen("e2", Status::Failed, 7)))
        .is_good();
}

/// The first life that anybody watched was taken for the first one: nothing could have happened before it by itself.
#[test]
fn a_life_before_the_first_that_was_watched() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, suspend(), Answer::NotLive { seen: Some(seen("e1", Status::Failed, 2)) })
        .call("a", 5..6, purge(), Answer::Purged)
        .call("a", 7..8, fail(), started("e2"))
        .watch("w", 0, Some(0), &[transition(9, 1, seen("e2", Pending, 4))])
        .is_good();
}
