//! Starts that wait, and what goes wrong with them.

use crate::checker::tests::tale::*;
use crate::checker::{history::*, violation::Kind};
use Status::{Completed, Pending, Running, Terminated};

#[test]
fn a_queued_start_is_forgotten() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("a", 5..6, terminate(), ended())
        .status("c", 7..8, seen("e1", Terminated, 3))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_queue_is_lost_over_a_crash() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .crash(5)
        .call("b", 7..8, queue(), queued("e3", 1))
        .status("c", 9..10, seen("e1", Pending, 3))
        .breaks(Kind::NoOrder, 5);
}

#[test]
fn the_last_is_served_first() {
    Tale::new()
        .watch(
            "w",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(10, 2, seen("e1", Terminated, 4)),
                transition(10, 3, seen("e3", Pending, 5)),
            ],
        )
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 4..5, queue(), queued("e2", 1))
        .call("c", 6..7, queue(), queued("e3", 2))
        .call("a", 8..9, terminate(), ended())
        .breaks(Kind::NoOrder, 3);
}

#[test]
fn a_withdrawn_start_begins() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("b", 5..6, terminate_one("e2"), Answer::Ended { seen: Some(seen("e2", Terminated, 3)) })
        .call("a", 7..8, terminate(), ended())
        .status("c", 9..10, seen("e2", Pending, 5))
        .breaks(Kind::NoOrder, 4);
}

#[test]
fn a_withdrawn_start_still_waits() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("b", 5..6, terminate_one("e2"), ended())
        .call("b", 7..8, status_of("e2"), Answer::Waiting { position: 1, seen: seen("e2", Pending, 3) })
        .breaks(Kind::NoOrder, 3);
}

#[test]
fn a_queue_is_said_to_be_full_that_is_not() {
    let two = Call::Start(Start::of("f").with_policy(Policy::Queue).with_max_queue(2));
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, two, Answer::QueueFull { waiting: 2 })
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn more_wait_than_may() {
    let one = Call::Start(Start::of("f").with_policy(Policy::Queue).with_max_queue(1));
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, one, queued("e3", 2))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn two_wait_to_run_once_more() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, coalesce(), queued("e2", 1))
        .call("c", 5..6, coalesce(), queued("e3", 2))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_start_coalesces_with_one_that_has_begun() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, coalesce(), queued("e2", 1))
        .call("a", 5..6, terminate(), ended())
        .status("c", 7..8, seen("e2", Pending, 4))
        .call("c", 9..10, coalesce(), coalesced("e2", 1))
        .breaks(Kind::NoOrder, 3);
}

#[test]
fn a_replacement_empties_the_queue() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, start(Policy::Replace), replaced("e3"))
        .call("d", 7..8, queue(), queued("e4", 1))
        .status("c", 9..10, seen("e3", Pending, 5))
        .breaks(Kind::NoOrder, 4);
}

#[test]
fn one_that_waits_is_said_to_run() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, status_of("e2"), Answer::Status(seen("e2", Running, 3)))
        .status("c", 7..8, seen("e1", Pending, 4))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn two_callers_were_given_the_same_place() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 3..4, queue(), queued("e3", 1))
        .status("c", 7..8, seen("e1", Pending, 3))
        .breaks(Kind::NoOrder, 3);
}

#[test]
fn a_watch_of_one_execution_shows_another_one() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .watch_one("w", 5, "e2", &[waiting(6, 1, seen("e2", Pending, 2)), transition(8, 2, seen("e1", Terminated, 3))])
        .call("a", 7..9, terminate(), ended())
        .breaks(Kind::ForeignAnswer, 2);
}

#[test]
fn a_watch_of_one_execution_misses_its_beginning() {
    let v = [
        transition(3, 1, seen("e1", Pending, 1)),
        transition(10, 2, seen("e1", Terminated, 3)),
        transition(10, 3, seen("e2", Pending, 4)),
        transition(12, 4, seen("e2", Running, 5)),
        transition(15, 5, seen("e2", Completed, 7)),
    ];
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 4..5, queue(), queued("e2", 1))
        .watch("v", 0, Some(0), &v)
        .watch_one("w", 5, "e2", &[waiting(6, 1, seen("e2", Pending, 2)), transition(13, 4, seen("e2", Running, 5))])
        .call("a", 8..9, terminate(), ended())
        .run(11, 5, "e2", "w")
        .report(13..14, 5, Report::Completed { content: 1 }, Answer::Accepted)
        .breaks(Kind::WatchGap, 3);
}
