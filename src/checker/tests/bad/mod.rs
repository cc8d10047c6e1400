//! Histories of a server that breaks a promise: the checker says no, and says why.

mod lives;
mod queue;

use crate::checker::{history::*, violation::Kind};

use super::tale::*;
use Status::{Completed, Pending, Running, Terminated};

#[test]
fn two_winners_of_one_race() {
    let mut tale = Tale::new();
    for caller in ["a", "b", "c"] {
        tale.call(caller, 1..9, fail(), exists());
    }
    tale.call("d", 2..8, fail(), started("e1"))
        .call("e", 3..7, fail(), started("e2"))
        .status("f", 10..11, seen("e1", Pending, 1))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn two_winners_where_nothing_has_failed_in_between() {
    let pending = |execution, revision| seen(execution, Pending, revision);
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 3..4, fail(), started("e2"))
        .watch("w", 0, Some(0), &[transition(3, 1, pending("e1", 1)), transition(5, 2, pending("e2", 2))])
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_start_that_nobody_made() {
    Tale::new().status("b", 5..6, seen("e1", Pending, 1)).breaks(Kind::NoOrder, 1);
}

#[test]
fn a_start_before_it_was_called() {
    Tale::new().status("b", 1..2, seen("e1", Pending, 1)).open("a", 3, fail()).breaks(Kind::NoOrder, 1);
}

#[test]
fn one_unanswered_start_can_not_have_begun_two_executions() {
    Tale::new()
        .open("a", 1, start(Policy::Replace))
        .status("b", 5..6, seen("e1", Pending, 1))
        .status("b", 7..8, seen("e2", Pending, 3))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn an_unanswered_start_that_fails_on_conflict_replaces_nothing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("b", 3, fail())
        .status("c", 5..6, seen("e2", Pending, 3).with_token(0))
        .call("c", 7..8, terminate(), Answer::Ended { seen: Some(seen("e1", Terminated, 9)) })
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn two_callers_began_the_same_execution() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("b", 1..2, fail(), started("e1"))
        .breaks(Kind::StartedTwice, 2);
}

#[test]
fn a_conflict_with_what_had_ended() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, fail(), exists())
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_status_that_may_not_be_replaced() {
    let never = Call::Start(Start::of("f").replacing(&[]));
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, never, started("e2"))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_request_id_done_twice() {
    Tale::new()
        .call("a", 1..2, once(Policy::Fail, "r"), started("e1"))
        .call("a", 3..4, terminate(), ended())
        .call("a", 5..6, once(Policy::Fail, "r"), started("e2"))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_request_id_forgotten_over_a_crash() {
    Tale::new()
        .call("a", 1..2, once(Policy::Replace, "r"), started("e1"))
        .crash(3)
        .call("a", 5..6, once(Policy::Replace, "r"), replaced("e2"))
        .breaks(Kind::NoOrder, 4);
}

#[test]
fn a_retry_is_told_of_another_execution() {
    Tale::new()
        .open("a", 1, once(Policy::Fail, "r"))
        .status("b", 3..4, seen("e1", Pending, 2))
        .call("a", 5..6, once(Policy::Fail, "r"), deduplicated(Outcome::Started, "e2"))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_termination_hits_the_successor() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, start(Policy::Replace), replaced("e2"))
        .call("a", 5..6, Call::Terminate { expected: Some("e1".into()) }, ended())
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn a_join_of_another_function() {
    let other = Call::Start(Start::of("g").with_policy(Policy::UseExisting));
    Tale::new().call("a", 1..2, fail(), started("e1")).call("a", 3..4, other, joined("e1")).breaks(Kind::NoOrder, 2);
}

#[test]
fn a_completion_after_the_termination() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, terminate(), ended())
        .report(6..7, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn an_end_that_no_worker_reported() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .status("a", 6..7, seen("e1", Completed, 3))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn half_of_a_replacement() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call(
            "b",
            3..9,
            start(Policy::Replace),
            Answer::Replaced { execution: "e2".into(), seen: Some(seen("e2", Pending, 3)) },
        )
        .status("c", 4..5, seen("e1", Terminated, 2))
        .breaks(Kind::NoOrder, 2);
}

#[test]
fn an_event_with_a_number_that_was_taken() {
    let raise = || Call::RaiseEvent { expected: None };
    let raised = || Answer::EventRaised { execution: "e1".into(), sequence: 1 };
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call("a", 3..4, raise(), raised())
        .crash(5)
        .call("a", 7..8, raise(), raised())
        .breaks(Kind::Missing, 4);
}

#[test]
fn a_grant_before_the_lease_has_ended() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .granted(3, 2, "e1", "w")
        .call("a", 4..5, start(Policy::Replace), replaced("e2"))
        .granted(6, 5, "e2", "v")
        .lease_ended(9, 2)
        .breaks(Kind::LeasesOverlap, 3);
}

#[test]
fn a_hand_out_while_a_worker_may_still_work() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 10 }, Answer::Accepted)
        .report(12..13, 2, Report::Heartbeat { lease: 10 }, Answer::Accepted)
        .call("a", 14..15, start(Policy::Replace), replaced("e2"))
        .run(20, 6, "e2", "v")
        .breaks(Kind::WorkersOverlap, 4);
}

#[test]
fn a_lease_forgotten_over_a_restart() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Accept { lease: 100 }, Answer::Accepted)
        .crash(10)
        .run(20, 6, "e1", "v")
        .breaks(Kind::WorkersOverlap, 5);
}

#[test]
fn a_sighting_that_is_un_seen() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("a", 3, terminate())
        .status("b", 4..5, seen("e1", Terminated, 2))
        .crash(6)
        .status("b", 8..9, seen("e1", Pending, 1))
        .breaks(Kind::Unseen, 4);
}

#[test]
fn a_watcher_saw_what_was_not_durable() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("a", 3, terminate())
        .watch(
            "w",
            0,
            Some(0),
            &[transition(2, 1, seen("e1", Pending, 1)), transition(4, 2, seen("e1", Terminated, 2))],
        )
        .crash(6)
        .status("b", 8..9, seen("e1", Pending, 1))
        .breaks(Kind::Unseen, 4);
}

#[test]
fn one_revision_for_two_states() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("b", 3, terminate())
        .open("b", 3, start(Policy::Replace))
        .status("c", 4..8, seen("e1", Terminated, 2))
        .status("d", 5..9, seen("e2", Pending, 2))
        .breaks(Kind::Contradiction, 2);
}

#[test]
fn an_execution_that_comes_back() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("b", 3, start(Policy::Replace))
        .status("c", 4..5, seen("e1", Pending, 1))
        .status("c", 6..7, seen("e2", Pending, 3))
        .status("c", 8..9, seen("e1", Running, 4))
        .breaks(Kind::Contradiction, 2);
}

#[test]
fn an_acknowledged_start_is_missing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .crash(3)
        .call("b", 5..6, Call::GetStatus, Answer::NotFound)
        .breaks(Kind::Missing, 4);
}

#[test]
fn an_acknowledged_replacement_is_missing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .call(
            "b",
            3..4,
            start(Policy::Replace),
            Answer::Replaced { execution: "e2".into(), seen: Some(seen("e2", Pending, 3)) },
        )
        .crash(5)
        .status("c", 7..8, seen("e1", Pending, 1))
        .breaks(Kind::Missing, 4);
}

#[test]
fn an_acknowledged_completion_is_missing() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .report(4..5, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .crash(6)
        .status("c", 8..9, seen("e1", Running, 3))
        .breaks(Kind::NoOrder, 4);
}

#[test]
fn a_token_that_falls() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .granted(3, 5, "e1", "w")
        .lease_ended(4, 5)
        .granted(6, 4, "e1", "v")
        .breaks(Kind::TokenFell, 2);
}

#[test]
fn a_token_seen_to_fall() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .status("a", 3..4, seen("e1", Running, 5).with_token(4))
        .status("a", 5..6, seen("e1", Running, 6).with_token(3))
        .breaks(Kind::TokenFell, 2);
}

#[test]
fn one_token_for_two_workers() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .run(9, 2, "e1", "v")
        .breaks(Kind::TokenShared, 2);
}

#[test]
fn a_report_with_an_old_token() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .run(9, 5, "e1", "v")
        .report(10..11, 2, Report::Completed { content: 1 }, Answer::Accepted)
        .breaks(Kind::StaleReportAccepted, 2);
}

#[test]
fn a_gap() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch(
            "w",
            0,
            Some(0),
            &[transition(3, 1, seen("e1", Pending, 1)), transition(5, 3, seen("e1", Terminated, 4))],
        )
        .call("a", 4..5, terminate(), ended())
        .breaks(Kind::WatchGap, 3);
}

#[test]
fn a_gap_where_it_resumes() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .run(3, 2, "e1", "w")
        .call("a", 4..5, terminate(), ended())
        .watch(
            "v",
            0,
            Some(0),
            &[
                transition(3, 1, seen("e1", Pending, 1)),
                transition(4, 2, seen("e1", Running, 2)),
                transition(6, 3, seen("e1", Terminated, 3)),
            ],
        )
        .watch("w", 7, Some(1), &[transition(8, 3, seen("e1", Terminated, 3))])
        .breaks(Kind::WatchGap, 3);
}

#[test]
fn a_transition_twice() {
    let pending = || seen("e1", Pending, 1);
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch("w", 0, None, &[current(3, 1, pending()), transition(5, 1, pending())])
        .breaks(Kind::WatchWentBack, 3);
}

#[test]
fn one_number_for_two_transitions() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .open("a", 3, terminate())
        .open("a", 3, start(Policy::Replace))
        .watch("v", 2, Some(1), &[transition(4, 2, seen("e1", Terminated, 2))])
        .watch("w", 2, Some(1), &[transition(5, 2, seen("e2", Pending, 3))])
        .breaks(Kind::WatchersDisagree, 2);
}

#[test]
fn a_watcher_that_is_never_told_of_the_end() {
    let quiet = Some((50, Closing::Quiet));
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch_to("w", 3, None, &[current(4, 1, seen("e1", Pending, 1))], quiet)
        .call("a", 5..6, terminate(), Answer::Ended { seen: Some(seen("e1", Terminated, 2)) })
        .breaks(Kind::WatchCutShort, 4);
}

#[test]
fn the_end_of_a_watch_that_is_none() {
    Tale::new()
        .call("a", 1..2, fail(), started("e1"))
        .watch_to("w", 3, None, &[current(4, 1, seen("e1", Pending, 1))], Some((5, Closing::Finished)))
        .breaks(Kind::WatchCutShort, 3);
}

#[test]
fn an_answer_that_the_call_can_not_have() {
    Tale::new().call("a", 1..2, Call::GetStatus, started("e1")).breaks(Kind::ForeignAnswer, 1);
}

#[test]
fn a_violation_is_printed_with_what_shows_it_and_nothing_else() {
    let mut tale = Tale::new();
    tale.call("a", 1..2, once(Policy::Replace, "r"), started("e1"));
    for time in 3..60 {
        tale.status("b", 2 * time..2 * time + 1, seen("e1", Pending, 2));
    }
    tale.crash(130).call("a", 140..141, once(Policy::Replace, "r"), replaced("e2"));
    assert_eq!(
        tale.verdict().to_string(),
        "G1 one is broken for 'a' in hub 'default' (NoOrder): these can't have happened one after the other in any \
         order; none of the 57 other calls and transitions of this id helps; the longest order that fits leaves the \
         instance Pending, and explains 1 of them\n\
         \x20          1..2          a       start of f (REPLACE, request id r) -> STARTED e1\n\
         \x20        130             server  crashes\n\
         \x20        131             server  is back\n\
         \x20        140..141        a       start of f (REPLACE, request id r) -> REPLACED by e2\n\n"
    );
}
