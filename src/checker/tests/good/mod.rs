//! Histories of a server that keeps its promises, the tricky ones above all.

mod lives;
mod queue;

use crate::checker::{Rules, history::*};

use super::tale::*;
use Status::{Completed, Failed, Pending, Running, Terminated};

#[test]
fn nothing_at_all() {
    Tale::new().is_good();
}

#[test]
fn a_race_with_one_winner() {
    let mut tale = Tale::new();
    for caller in ["a", "b", "c"] {
        tale.call(caller, 1..9, fail(), exists());
    }
    tale.call("d", 2..8, fail(), started("e1")).status("d", 10..11, seen("e1", Pending, 1)).is_good();
}

#[test]
fn a_whole_life() {
    Tale::new()
        .call("a", 0..1, Call::GetStatus, Answer::NotFound)
        .call("a", 2..3, fail(), Answer::Started { execution: "e1".into(), seen: Some(seen("e1", Pending, 1)) })
        .granted(4, 2, "e1", "w")
        .run(5, 2, "e1", "w")
        .report(6..7, 2, Report::Accept { lease: 10 }, Answer::Accepted)
        .status("a", 8..9, seen("e1", Running, 3).with_token(2).with_attempt(1))
        .call(
            "a",
            9..10,
            Call::RaiseEvent { expected: None },
            Answer::EventRaised { execution: "e1".into(), sequence: 1 },
        )
        .report(10..11, 2, Report::EventsAcked, Answer::Accepted)
        .report(12..14, 2, Report::Completed { content: 7 }, Answer::Accepted)
        .lease_ended(13, 2)
        .status("a", 15..16, seen("e1", Completed, 7))
        .report(17..18, 2, Report::Completed { content: 7 }, Answer::Accepted)
        .call("a", 20..21, terminate(), Answer::NotLive { seen: Some(seen("e1", Completed, 7)) })
        .call("a", 22..23, fail(), started("e2"))
        .is_good();
}

#[test]
fn an_unanswered_start_may_have_happened() {
    Tale::new().open("a", 1, fail()).status("b", 5..6, seen("e1", Pending, 1)).is_good();
}

#[test]
fn an_unanswered_start_may_never_have_happened() {
    Tale::new().open("a", 1, fail()).call("b", 5..6, Call::GetStatus, Answer::NotFound).is_good();
}

#[test]
fn an_unanswered_start_may_happen_long_after() {
    Tale::new()
        .open("a", 1, fail())
        .call("b", 5..6, Call::GetStatus, Answer::NotFound)
        .status("b", 7..8, seen("e1", Pending, 3))
        .is_good();
}

#[test]
fn one_of_many_unanswered_starts_happened() {
    let mut tale = Tale::new();
    for _ in 0..12 {
        tale.open("a", 1, start(Policy::Replace));
    }
    tale.status("b", 5..6, seen("e1", Running, 9)).status("b", 7..8, seen("e2", Pending, 11)).is_good();
}

#[test]
fn a_request_id_retried_over_a_crash_that_lost_it() {
    Tale::new()
        .open("a", 1, once(Policy::Fail, "r"))
        .crash(3)
        .call("a", 5..6, once(Policy::Fail, "r"), started("e1"))
        .call("a", 7..8, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e1"))
        .is_good();
}

#[test]
fn a_request_id_retried_over_a_crash_that_did_not_lose_it() {
    Tale::new()
        .open("a", 1, once(Policy::Fail, "r"))
        .crash(3)
        .status("b", 4..5, seen("e1", Pending, 2))
        .call("a", 5..6, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e1"))
        .is_good();
}

#[test]
fn a_request_id_outlives_its_execution() {
    Tale::new()
        .call("a", 1..2, once(Policy::Fail, "r"), started("e1"))
        .call("b", 3..4, once(Policy::UseExisting, "s"), joined("e1"))
        .call("b", 5..6, start(Policy::Replace), replaced("e2"))
        .call("a", 7..8, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e1"))
        .call("b", 7..8, once(Policy::UseExisting, "s"), deduplicated(Outcome::Joined, "e1"))
        .call("c", 9..10, Call::Start(Start::of("f").with_request("r", 2)), Answer::RequestIdReused)
        .is_good();
}

#[test]
fn a_request_id_may_be_forgotten_after_its_time() {
    let mut tale = Tale::new();
    tale.call("a", 1..2, once(Policy::Fail, "r"), started("e1")).call("a", 3..4, terminate(), ended()).call(
        "a",
        200..201,
        once(Policy::Fail, "r"),
        started("e2"),
    );
    tale.is_good_by(&Rules { remember_for: 100, ..Rules::default() });
}

#[test]
fn a_replacement_is_two_transitions_in_one_step() {
    Tale::new()
        .watch(
            "w",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(8, 2, seen("e1", Terminated, 2)),
                transition(8, 3, seen("e2", Pending, 3)),
            ],
        )
        .call("a", 1..2, fail(), started("e1"))
        .call(
            "b",
            5..9,
            start(Policy::Replace),
            Answer::Replaced { execution: "e2".into(), seen: Some(seen("e2", Pending, 3)) },
        )
        .is_good();
}

#[test]
fn a_request_id_takes_a_revision_of_its_own() {
    Tale::new()
        .call(
            "a",
            1..4,
            once(Policy::Replace, "r"),
            Answer::Started { execution: "e1".into(), seen: Some(seen("e1", Pending, 2)) },
        )
        .call(
            "a",
            5..8,
            once(Policy::Replace, "s"),
            Answer::Replaced { execution: "e2".into(), seen: Some(seen("e2", Pending, 5)) },
        )
        .watch(
            "w",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(9, 2, seen("e1", Terminated, 3)),
                transition(9, 3, seen("e2", Pending, 4)),
            ],
        )
        .is_good();
}

#[test]
fn an_old_transition_may_be_seen_late() {
    Tale::new()
        .watch(
            "w",
            0,
            Some(0),
            &[transition(50, 1, seen("e1", Pending, 1)), transition(51, 2, seen("e1", Terminated, 2))],
        )
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .status("a", 5..6, seen("e1", Terminated, 2))
        .call("a", 7..8, fail(), started("e2"))
        .is_good();
}

#[test]
fn a_lost_worker_fails_the_execution_and_the_next_start_succeeds() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 10 }, Answer::Accepted)
        .call("a", 20..21, fail(), started("e2"))
        .run(22, 7, "e2", "v")
        .status("a", 30..31, seen("e2", Running, 8))
        .is_good();
}

#[test]
fn a_lost_worker_is_followed_by_another_attempt() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 10 }, Answer::Accepted)
        .report(8..9, 2, Report::Heartbeat { lease: 10 }, Answer::Accepted)
        .report(12..40, 2, Report::Heartbeat { lease: 10 }, Answer::Cancelled)
        .run(19, 5, "e1", "v")
        .report(20..21, 5, Report::Accept { lease: 10 }, Answer::Accepted)
        .report(41..42, 2, Report::Completed { content: 1 }, Answer::Cancelled)
        .report(43..44, 5, Report::Completed { content: 1 }, Answer::Accepted)
        .is_good();
}

#[test]
fn a_renewal_that_was_heard_of_too_late_renews_nothing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 10 }, Answer::Accepted)
        .report(10..30, 2, Report::Heartbeat { lease: 10 }, Answer::Accepted)
        .run(16, 5, "e1", "v")
        .is_good();
}

#[test]
fn an_unanswered_report_may_have_ended_it() {
    let mut tale = Tale::new();
    tale.call("a", 1..2, fail(), started("e1")).run(3, 2, "e1", "w");
    tale.open("w", 4, Call::Report { token: 2, report: Report::Completed { content: 1 } });
    tale.status("a", 6..7, seen("e1", Completed, 4))
        .report(8..9, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .is_good();
}

#[test]
fn an_execution_continues_as_one_that_only_others_see() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::ContinueAsNew { content: 1 }, Answer::Accepted)
        .call("b", 6..7, fail(), exists())
        .run(8, 5, "e2", "w")
        .report(9..10, 5, Report::Failed { content: 1 }, Answer::Accepted)
        .status("a", 11..12, seen("e2", Failed, 7))
        .is_good();
}

#[test]
fn a_terminated_run_stops_later() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .granted(3, 2, "e1", "w")
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 100 }, Answer::Accepted)
        .call("a", 6..7, Call::Terminate { expected: Some("e1".into()) }, ended())
        .call("a", 8..9, fail(), started("e2"))
        .report(10..11, 2, Report::Completed { content: 1 }, Answer::Cancelled)
        .report(20..22, 2, Report::Stopped, Answer::Accepted)
        .lease_ended(21, 2)
        .granted(22, 9, "e2", "v")
        .run(23, 9, "e2", "v")
        .call("a", 25..26, Call::Terminate { expected: Some("e1".into()) }, Answer::ExecutionMismatch { seen: None })
        .is_good();
}

#[test]
fn a_watcher_that_fell_behind_is_told_so() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch(
            "w",
            3,
            None,
            &[
                current(4, 1, seen("e1", Pending, 1)),
                resync(30, 4, seen("e1", Completed, 8)),
                transition(31, 5, seen("e2", Pending, 9)),
            ],
        )
        .run(5, 2, "e1", "w")
        .report(6..7, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .call("a", 29..32, fail(), started("e2"))
        .is_good();
}

#[test]
fn a_watcher_resumes_where_it_was_over_a_crash() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch_to("w", 0, Some(0), &[transition(3, 1, seen("e1", Pending, 1))], Some((10, Closing::Lost)))
        .run(5, 2, "e1", "w")
        .crash(10)
        .call("a", 13..14, terminate(), ended())
        .watch_to(
            "w",
            20,
            Some(1),
            &[transition(21, 2, seen("e1", Running, 2)), transition(21, 3, seen("e1", Terminated, 5))],
            Some((22, Closing::Finished)),
        )
        .is_good();
}

#[test]
fn the_same_tick_has_no_order() {
    Tale::new().call("a", 1..5, fail(), started("e1")).call("b", 5..6, Call::GetStatus, Answer::NotFound).is_good();
}

#[test]
fn an_id_that_was_in_use_before_the_recording() {
    let mut tale = Tale::new();
    tale.status("a", 1..2, seen("e7", Running, 70))
        .call("a", 3..4, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e5"))
        .call("a", 5..6, terminate(), ended());
    tale.is_good_by(&Rules { begins_empty: false, ..Rules::default() });
    assert!(!tale.verdict().is_clean());
}

#[test]
fn executions_end_by_themselves_where_reports_are_not_recorded() {
    let mut tale = Tale::new();
    tale.call("a", 1..2, fail(), started("e1"))
        .status("a", 3..4, seen("e1", Running, 2))
        .status("a", 5..6, seen("e2", Running, 4))
        .status("a", 7..8, seen("e2", Completed, 6))
        .call("a", 9..10, fail(), started("e3"));
    tale.is_good_by(&Rules { reports_recorded: false, ..Rules::default() });
    assert!(!tale.verdict().is_clean());
}
