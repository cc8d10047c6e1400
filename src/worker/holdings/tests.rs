//! The life of runs, told with made-up moments. The lease lasts 10 s, the grace after a Cancel 5 s.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::{
    proto::v1::{Accepted, Cancel, CancelReason, Registered, Rejected, WorkRequest},
    worker::{function::Failure, run::ProgressError},
};

const LEASE: u64 = 10;
const CANCEL_GRACE: u64 = 5;

/// A worker's holdings, and the server's end of its reports.
struct Story {
    start: Instant,
    holdings: Holdings,
}

fn claim(instance_id: &str) -> Claim {
    Claim { instance_id: instance_id.to_owned(), fencing_token: 1, claim_id: vec![7; 16] }
}

fn completed(output: &str) -> Option<Ending> {
    Some(Ok(Outcome::from(output)))
}

impl Story {
    fn begin(runs_max: usize) -> Story {
        let cancel_grace = Duration::from_secs(CANCEL_GRACE);
        let mut holdings = Holdings::new(Limits { runs_max, cancel_grace });
        let start = Instant::now();
        holdings.registered(Duration::from_secs(LEASE), &Registered::default(), start);
        Story { start, holdings }
    }

    /// One run, `a`, which works since 0 s: its Accept was sent and answered then.
    fn working() -> Story {
        let mut story = Story::begin(4);
        story.offer("a", 0);
        story.accept(0);
        assert!(matches!(story.orders()[..], [Order::Start { .. }]));
        story
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn offer(&mut self, id: &str, second: u64) {
        let now = self.at(second);
        self.holdings.offered(Run { claim: Some(claim(id)), ..Run::default() }, now);
    }

    /// Sends the next report.
    fn send(&mut self, second: u64) -> Option<(u64, Message)> {
        let WorkRequest { sequence, message } = self.holdings.reports.next(self.at(second))?;
        message.map(|message| (sequence, message))
    }

    /// Sends the next report, which is about `a`, and has it accepted at once.
    fn accept(&mut self, second: u64) -> Message {
        let (sequence, message) = self.send(second).expect("a report is waiting");
        let now = self.at(second);
        self.holdings.accepted(&Accepted { claim: Some(claim("a")), sequence }, now);
        message
    }

    fn cancel(&mut self, reason: CancelReason, sequence: u64, second: u64) {
        let cancel = Cancel { claim: Some(claim("a")), reason: reason.into(), sequence, ..Cancel::default() };
        let now = self.at(second);
        self.holdings.cancelled(&cancel, now);
    }

    fn end(&mut self, ending: Option<Ending>, second: u64) {
        let now = self.at(second);
        self.holdings.ended(&claim("a"), ending, 0, now);
    }

    fn renew(&mut self, sent: u64) {
        let sent = self.at(sent);
        self.holdings.renewed(&[claim("a")], sent);
    }

    /// What is ordered when that second has come.
    fn expire(&mut self, second: u64) -> Vec<Order> {
        let now = self.at(second);
        self.holdings.expire(now);
        self.orders()
    }

    fn orders(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.holdings.next_order()).collect()
    }
}

fn cancel_order(reason: Cancellation) -> Order {
    Order::Cancel { claim: claim("a"), reason }
}

#[test]
fn a_function_starts_only_when_its_acceptance_is_acknowledged() {
    let mut story = Story::begin(4);
    story.offer("a", 0);
    assert_eq!(story.orders(), []);
    let (sequence, message) = story.send(1).expect("an Accept");
    assert!(matches!(message, Message::Accept(_)));
    assert_eq!(story.orders(), []);

    let now = story.at(3);
    story.holdings.accepted(&Accepted { claim: Some(claim("b")), sequence }, now);
    assert_eq!(story.orders(), [], "somebody else's");
    story.holdings.accepted(&Accepted { claim: Some(claim("a")), sequence }, now);
    let lease_end = story.at(1 + LEASE);
    assert!(
        matches!(&story.orders()[..], [Order::Start { lease_end: end, .. }] if *end == lease_end),
        "the lease counts from the sending"
    );
    story.holdings.accepted(&Accepted { claim: Some(claim("a")), sequence }, now);
    assert_eq!(story.orders(), [], "it starts once");
}

#[test]
fn an_acceptance_that_is_acknowledged_too_late_starts_nothing() {
    let mut story = Story::begin(4);
    story.offer("a", 0);
    let (sequence, _) = story.send(0).expect("an Accept");
    let now = story.at(LEASE);
    story.holdings.accepted(&Accepted { claim: Some(claim("a")), sequence }, now);
    assert_eq!(story.orders(), []);
    assert!(matches!(story.accept(LEASE), Message::Stopped(_)));
    assert!(story.holdings.is_empty());
}

#[test]
fn an_acceptance_that_nobody_answers_is_given_up() {
    let mut story = Story::begin(4);
    story.offer("a", 0);
    story.send(0);
    assert_eq!(story.expire(LEASE), []);
    assert!(matches!(story.accept(LEASE), Message::Stopped(_)));
}

#[test]
fn a_function_is_dropped_when_its_lease_is_over_with_or_without_a_line() {
    let mut story = Story::working();
    story.renew(3);
    assert_eq!(story.expire(LEASE + 3 - 1).len(), 1, "it is told of the renewal, no more");
    story.holdings.reports.lost_stream();
    let lost = Cancellation::LeaseLost;
    assert_eq!(story.expire(LEASE + 3), [cancel_order(lost), Order::Drop(claim("a"))]);
    // It is given back only when its future is gone.
    assert!(story.send(13).is_none());
    story.end(None, 13);
    assert!(matches!(story.accept(14), Message::Stopped(_)));
    assert!(story.holdings.is_empty());
}

#[test]
fn a_function_that_can_not_be_dropped_is_held_on_and_complained_of_once() {
    let mut story = Story::working();
    assert_eq!(story.expire(LEASE).len(), 2);
    assert_eq!(story.holdings.held(), [claim("a")]);
    assert_eq!(story.holdings.renewable(), [claim("a")]);
    assert_eq!(story.expire(LEASE + 1), [Order::Complain(claim("a"))]);
    assert_eq!(story.expire(LEASE + 9), []);
    story.renew(LEASE + 9);
    assert_eq!(story.orders(), [], "it may not go on");
    story.end(completed("too late"), LEASE + 10);
    assert!(matches!(story.accept(LEASE + 10), Message::Stopped(_)), "its result no longer counts");
}

#[test]
fn a_cancelled_function_has_its_grace_within_its_lease() {
    for (reason, told) in [
        (CancelReason::Terminated, Cancellation::Terminated),
        (CancelReason::Replaced, Cancellation::Replaced),
        (CancelReason::TimedOut, Cancellation::TimedOut),
    ] {
        // when it is cancelled, when it is dropped
        for (cancelled, dropped) in [(2, 2 + CANCEL_GRACE), (LEASE - 1, LEASE)] {
            let mut story = Story::working();
            story.cancel(reason, 0, cancelled);
            assert_eq!(story.orders(), [cancel_order(told)]);
            assert_eq!(story.holdings.renewable(), [], "it can't be renewed");
            assert_eq!(story.holdings.held(), [claim("a")], "it is still worked on");
            story.renew(cancelled);
            assert_eq!(story.expire(dropped - 1), []);
            assert_eq!(story.expire(dropped), [Order::Drop(claim("a"))]);
        }
    }
}

#[test]
fn a_cancelled_function_that_returns_is_given_back_at_once() {
    let mut story = Story::working();
    story.cancel(CancelReason::Terminated, 0, 1);
    story.end(completed("no longer wanted"), 2);
    assert_eq!(story.holdings.held(), []);
    assert!(matches!(story.accept(2), Message::Stopped(_)));
    assert!(story.holdings.is_empty());
}

#[test]
fn a_lost_lease_drops_the_function_at_once_and_needs_no_report() {
    for reason in [CancelReason::LeaseLost, CancelReason::StaleFencingToken, CancelReason::Unspecified] {
        let mut story = Story::working();
        story.cancel(reason, 0, 1);
        assert_eq!(story.orders(), [cancel_order(Cancellation::LeaseLost), Order::Drop(claim("a"))]);
        assert_eq!(story.holdings.held(), []);
        story.end(None, 1);
        assert!(story.holdings.is_empty());
        assert!(story.send(1).is_none());
    }
}

#[test]
fn a_lease_that_is_lost_during_the_grace_ends_the_grace() {
    let mut story = Story::working();
    story.cancel(CancelReason::Terminated, 0, 1);
    story.cancel(CancelReason::LeaseLost, 0, 2);
    story.orders();
    assert_eq!(story.expire(2), [Order::Drop(claim("a"))]);
}

#[test]
fn a_result_is_kept_and_renewed_until_it_is_answered() {
    let mut story = Story::working();
    story.end(completed("42"), 2);
    assert!(matches!(story.send(2), Some((_, Message::Completed(_)))));
    story.holdings.reports.lost_stream();
    assert_eq!(story.expire(3 * LEASE), [], "it is the server's turn to say that it is too late");
    assert_eq!(story.holdings.held(), [claim("a")]);
    assert_eq!(story.holdings.renewable(), [claim("a")]);
    assert!(matches!(story.accept(31), Message::Completed(Completed { output: Some(_), .. })));
    assert!(story.holdings.is_empty());
}

#[test]
fn a_result_that_came_after_the_end_of_the_run_is_followed_by_stopped() {
    for answers_it in [true, false] {
        let mut story = Story::working();
        story.end(completed("42"), 2);
        let (sequence, _) = story.send(2).expect("Completed");
        story.cancel(CancelReason::Terminated, if answers_it { sequence } else { 0 }, 3);
        assert!(matches!(story.accept(3), Message::Stopped(_)));
        assert!(story.holdings.is_empty());
        assert!(story.send(3).is_none());
    }
}

#[test]
fn a_result_outlives_the_news_that_its_lease_is_over() {
    // It may have been accepted before, and only its answer was lost.
    let mut story = Story::working();
    story.end(completed("42"), 2);
    story.send(2);
    story.holdings.reports.lost_stream();
    story.cancel(CancelReason::LeaseLost, 0, 5);
    assert!(matches!(story.accept(6), Message::Completed(_)));
    assert!(story.holdings.is_empty());

    let mut story = Story::working();
    story.end(completed("42"), 2);
    let (sequence, _) = story.send(2).expect("Completed");
    story.cancel(CancelReason::LeaseLost, sequence, 5);
    assert!(story.holdings.is_empty(), "this answered it");

    let mut story = Story::working();
    story.end(completed("42"), 2);
    story.cancel(CancelReason::LeaseLost, 0, 5);
    assert_eq!(story.expire(5 + LEASE), []);
    assert!(story.holdings.is_empty(), "nobody answers for ever");
}

#[test]
fn a_rejected_result_is_a_failure_that_is_not_retried() {
    let mut story = Story::working();
    story.end(completed("far too much"), 2);
    let (sequence, _) = story.send(2).expect("Completed");
    let rejected = Rejected {
        claim: Some(claim("a")),
        sequence,
        reason: "PAYLOAD_TOO_LARGE".to_owned(),
        message: "output is 2 MiB, 1 MiB is allowed".to_owned(),
    };
    let now = story.at(3);
    story.holdings.rejected(rejected, now);
    assert_eq!(story.holdings.held(), [claim("a")]);
    let Message::Failed(Failed { failure: Some(failure), .. }) = story.accept(3) else { panic!("it failed") };
    assert_eq!(failure.error_type, "PAYLOAD_TOO_LARGE");
    assert_eq!(failure.message, "output is 2 MiB, 1 MiB is allowed");
    assert!(failure.non_retriable);
    assert!(story.holdings.is_empty());
}

#[test]
fn a_failure_that_is_rejected_too_gives_the_run_back() {
    let mut story = Story::working();
    story.end(Some(Err(Failure::new("Odd", "odd"))), 2);
    let (sequence, _) = story.send(2).expect("Failed");
    let now = story.at(3);
    story.holdings.rejected(Rejected { claim: Some(claim("a")), sequence, ..Rejected::default() }, now);
    assert!(matches!(story.accept(3), Message::Stopped(_)));
}

#[test]
fn events_come_once_in_order_and_are_confirmed_before_the_result() {
    let mut story = Story::begin(4);
    let event = |sequence| Event { claim: Some(claim("a")), sequence, ..Event::default() };
    story.offer("a", 0);
    story.holdings.event(event(3));
    assert_eq!(story.orders(), [], "it waits for the start");
    story.accept(0);
    for sequence in [3, 5, 4, 5, 6] {
        story.holdings.event(event(sequence));
    }
    let delivered: Vec<u64> = story
        .orders()
        .iter()
        .filter_map(|order| if let Order::Deliver { event, .. } = order { Some(event.sequence) } else { None })
        .collect();
    assert_eq!(delivered, [3, 5, 6]);

    let now = story.at(1);
    story.holdings.ended(&claim("a"), Some(Ok(Outcome::ContinueAsNew(None))), 5, now);
    assert!(matches!(story.accept(1), Message::EventsAcked(EventsAcked { sequence: 5, .. })));
    assert!(matches!(story.accept(1), Message::ContinueAsNew(_)));
}

#[test]
fn a_failed_attempt_leaves_the_event_that_it_took_to_the_next_one() {
    let mut story = Story::working();
    let now = story.at(1);
    story.holdings.ended(&claim("a"), Some(Err(Failure::new("Odd", "odd"))), 5, now);
    assert!(matches!(story.accept(1), Message::Failed(_)));
}

#[test]
fn progress_is_answered_whatever_happens() {
    let ask = |story: &mut Story| {
        let turn = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is free");
        let (answer, answered) = oneshot::channel();
        story.holdings.progress(claim("a"), "half".to_owned(), Ticket { answer, turn });
        answered
    };
    let mut story = Story::working();

    let mut durable = ask(&mut story);
    story.accept(1);
    assert_eq!(durable.try_recv(), Ok(Ok(())));

    let mut refused = ask(&mut story);
    let (sequence, _) = story.send(1).expect("Progress");
    let now = story.at(1);
    story.holdings.rejected(Rejected { claim: Some(claim("a")), sequence, ..Rejected::default() }, now);
    assert!(matches!(refused.try_recv(), Ok(Err(ProgressError::Rejected { .. }))));

    let cancelled = |reason| Ok(Err(ProgressError::Cancelled(Cancelled { reason })));
    let mut unsent = ask(&mut story);
    story.cancel(CancelReason::Terminated, 0, 2);
    assert_eq!(unsent.try_recv(), cancelled(Cancellation::Terminated));

    let mut late = ask(&mut story);
    assert_eq!(late.try_recv(), cancelled(Cancellation::LeaseLost));
}

#[test]
fn a_worker_takes_no_more_than_it_said() {
    let mut story = Story::begin(1);
    story.offer("a", 0);
    story.offer("b", 0);
    assert!(matches!(story.accept(0), Message::Accept(_)));
    assert!(matches!(story.send(0), Some((_, Message::Stopped(_)))), "b is declined");
    story.end(completed("42"), 1);
    story.offer("c", 1);
    assert!(matches!(story.send(1), Some((_, Message::Completed(_)))));
    assert!(matches!(story.send(1), Some((_, Message::Accept(_)))), "a result that is under way takes no room");
}

#[test]
fn a_worker_that_stops_lets_finish_then_drops_then_reports() {
    let mut story = Story::working();
    story.holdings.stop_taking();
    story.offer("b", 1);
    assert!(matches!(story.send(1), Some((_, Message::Stopped(_)))), "b is declined");
    assert_eq!(story.orders(), []);
    let now = story.at(2);
    story.holdings.shut_down(now);
    assert_eq!(story.orders(), [cancel_order(Cancellation::ShutDown), Order::Drop(claim("a"))]);
    story.end(None, 2);
    assert!(matches!(story.accept(2), Message::Stopped(_)));
}

#[test]
fn a_registration_renews_what_it_continues() {
    let mut story = Story::working();
    let sent = story.at(8);
    let registered = Registered { continued: vec![claim("a")], ..Registered::default() };
    story.holdings.registered(Duration::from_secs(20), &registered, sent);
    assert_eq!(story.orders(), [Order::Renewed { claim: claim("a"), lease_end: story.at(28) }]);
    assert_eq!(story.expire(27), []);
    assert_eq!(story.expire(28).len(), 2);
}

#[test]
fn a_function_is_told_once_to_pause_and_once_to_go_on() {
    let mut story = Story::working();
    for suspended in [true, false, true] {
        story.holdings.paced(&claim("a"), suspended);
        story.holdings.paced(&claim("a"), suspended);
        assert_eq!(story.orders(), [Order::Pace { claim: claim("a"), suspended }]);
    }
    story.holdings.paced(&claim("b"), true);
    story.cancel(CancelReason::Terminated, 0, 1);
    story.holdings.paced(&claim("a"), false);
    assert_eq!(story.orders(), [cancel_order(Cancellation::Terminated)], "it is to stop, not to go on");
}

#[test]
fn a_function_that_is_suspended_before_it_starts_starts_suspended() {
    let mut story = Story::begin(4);
    story.offer("a", 0);
    story.holdings.paced(&claim("a"), true);
    assert_eq!(story.orders(), []);
    story.accept(0);
    assert!(matches!(story.orders()[..], [Order::Start { suspended: true, .. }]));
}

#[test]
fn a_registration_says_what_is_suspended() {
    // before, what the registration says, what the function is told
    for (before, now, told) in
        [(false, false, None), (false, true, Some(true)), (true, true, None), (true, false, Some(false))]
    {
        let mut story = Story::working();
        story.holdings.paced(&claim("a"), before);
        story.orders();
        let suspended = if now { vec![claim("a")] } else { Vec::new() };
        let registered = Registered { continued: vec![claim("a")], suspended, ..Registered::default() };
        let sent = story.at(1);
        story.holdings.registered(Duration::from_secs(LEASE), &registered, sent);
        let paces = story.orders().into_iter().filter(|order| matches!(order, Order::Pace { .. }));
        let expected = told.map(|suspended| Order::Pace { claim: claim("a"), suspended });
        assert_eq!(paces.collect::<Vec<_>>(), Vec::from_iter(expected), "{before} -> {now}");
    }
}

#[test]
fn what_is_given_back_and_never_answered_is_forgotten() {
    let mut story = Story::working();
    story.cancel(CancelReason::Replaced, 0, 1);
    story.end(None, 1);
    assert_eq!(story.expire(1 + LEASE).len(), 1, "the Cancel, no more");
    assert!(story.holdings.is_empty());
    assert!(story.send(12).is_none());
}
