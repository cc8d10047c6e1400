//! Starts that wait.

use crate::checker::history::*;
use crate::checker::tests::tale::*;
use Status::{Completed, Failed, Pending, Running, Terminated};

#[test]
fn what_waits_begins_in_the_step_in_which_the_other_ends() {
    Tale::new()
        .watch(
            "w",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(10, 2, seen("e1", Terminated, 3)),
                transition(10, 3, seen("e2", Pending, 4)),
            ],
        )
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 4..5, queue(), queued("e2", 1))
        .call("c", 6..9, terminate(), Answer::Ended { seen: Some(seen("e1", Terminated, 3)) })
        .status("c", 11..12, seen("e2", Pending, 4))
        .is_good();
}

#[test]
fn first_come_first_served() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, queue(), queued("e3", 2))
        .call("d", 7..8, status_of("e3"), Answer::Waiting { position: 2, seen: seen("e3", Pending, 3) })
        .call("a", 9..10, terminate(), ended())
        .call("d", 11..12, status_of("e3"), Answer::Waiting { position: 1, seen: seen("e3", Pending, 5) })
        .call("d", 13..14, status_of("e1"), Answer::Status(seen("e1", Terminated, 4)))
        .call("a", 15..16, terminate(), ended())
        .status("d", 17..18, seen("e3", Pending, 7))
        .is_good();
}

#[test]
fn a_lost_worker_lets_the_next_one_begin() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, queue(), queued("e3", 2))
        .run(7, 4, "e1", "w")
        .report(8..9, 4, Report::Accept { lease: 10 }, Answer::Accepted)
        .call("d", 30..31, queue(), queued("e4", 2))
        .status("d", 32..33, seen("e2", Pending, 8))
        .is_good();
}

#[test]
fn a_full_queue_has_so_many() {
    let two = || Call::Start(Start::of("f").with_policy(Policy::Queue).with_max_queue(2));
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, two(), queued("e2", 1))
        .call("c", 5..6, two(), queued("e3", 2))
        .call("d", 7..8, two(), Answer::QueueFull { waiting: 2 })
        .call("e", 9..10, queue(), queued("e4", 3))
        .is_good();
}

#[test]
fn whoever_coalesces_runs_once_more_together() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, coalesce(), queued("e2", 1))
        .call("c", 5..6, queue(), queued("e3", 2))
        .call("d", 7..8, coalesce(), coalesced("e2", 1))
        .run(9, 6, "e1", "w")
        .report(10..11, 6, Report::Completed { content: 1 }, Answer::Accepted)
        .call("e", 12..13, coalesce(), queued("e4", 2))
        .status("e", 14..15, seen("e2", Pending, 10))
        .is_good();
}

#[test]
fn what_is_withdrawn_is_neither_there_nor_waits() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, queue(), queued("e3", 2))
        .call("b", 7..8, terminate_one("e2"), Answer::Ended { seen: Some(seen("e2", Terminated, 4)) })
        .call("b", 9..10, status_of("e2"), Answer::ExecutionNotFound)
        .call("b", 9..10, terminate_one("e2"), Answer::ExecutionNotFound)
        .call("a", 11..12, terminate_one("e1"), Answer::Ended { seen: Some(seen("e1", Terminated, 5)) })
        .status("d", 13..14, seen("e3", Pending, 6))
        .is_good();
}

#[test]
fn a_replacement_leaves_the_queue() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .call("c", 5..6, start(Policy::Replace), replaced("e3"))
        .call("d", 7..8, status_of("e2"), Answer::Waiting { position: 1, seen: seen("e2", Pending, 4) })
        .call("a", 9..10, terminate(), ended())
        .status("d", 11..12, seen("e2", Pending, 6))
        .is_good();
}

#[test]
fn an_unanswered_start_may_wait() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("b", 3, queue())
        .call("a", 5..6, terminate(), ended())
        .status("d", 7..8, seen("e2", Pending, 4))
        .is_good();
}

#[test]
fn a_request_id_of_one_that_waits_outlives_it() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, once(Policy::Queue, "r"), queued("e2", 1))
        .call("b", 5..6, once(Policy::Queue, "r"), deduplicated(Outcome::Queued, "e2"))
        .call("b", 7..8, terminate_one("e2"), ended())
        .call("b", 9..10, once(Policy::Queue, "r"), deduplicated(Outcome::Queued, "e2"))
        .is_good();
}

#[test]
fn a_join_may_tell_something() {
    let join = Call::Start(Start::of("f").with_policy(Policy::UseExisting).with_signal());
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, join, Answer::Joined { execution: "e1".into(), seen: Some(seen("e1", Pending, 2)) })
        .call(
            "a",
            5..6,
            Call::RaiseEvent { expected: None },
            Answer::EventRaised { execution: "e1".into(), sequence: 2 },
        )
        .is_good();
}

#[test]
fn one_execution_is_watched_from_the_queue_to_its_end() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, queue(), queued("e2", 1))
        .watch_one(
            "w",
            5,
            "e2",
            &[
                waiting(6, 1, seen("e2", Pending, 2)),
                transition(20, 3, seen("e2", Pending, 6)),
                transition(21, 4, seen("e2", Failed, 7)),
            ],
        )
        .call("c", 5..6, queue(), queued("e3", 2))
        .watch_one("v", 7, "e3", &[waiting(8, 1, seen("e3", Pending, 3)), withdrawn(11, 1, seen("e3", Terminated, 4))])
        .call("c", 9..10, terminate_one("e3"), ended())
        .call("a", 12..13, terminate(), ended())
        .is_good();
}

#[test]
fn a_former_execution_is_seen_as_it_was() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .call("a", 6..7, fail(), started("e2"))
        .call("a", 8..9, status_of("e1"), Answer::Status(seen("e1", Completed, 4)))
        .call("a", 10..11, status_of("e2"), Answer::Status(seen("e2", Pending, 5)))
        .status("a", 12..13, seen("e2", Pending, 5))
        .run(14, 6, "e2", "w")
        .status("a", 15..16, seen("e2", Running, 6))
        .is_good();
}

/// Two starts waited that nobody was told of: the first one was taken for the one that was seen in the second place.
#[test]
fn of_two_unanswered_starts_that_wait_either_may_be_the_one_that_is_seen() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("b", 3, once(Policy::Queue, "r"))
        .open("c", 5, once(Policy::Queue, "s"))
        .call("d", 7..8, status_of("e3"), Answer::Waiting { position: 2, seen: seen("e3", Pending, 9) })
        .is_good();
}
