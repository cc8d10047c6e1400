//! Runs: grants, what workers report in each state of their lease, and what time alone does.

use soloist::core::{
    command::{Command, Grant, Report, ReportBody},
    ids::{ClaimId, ExecutionId, Revision},
    lease::{Cancellation, NotHeld, Proof},
    limits,
    rejection::Rejection,
    status::Status,
    time::Span,
};

use crate::{
    states::{continued, state},
    world::{RUN_TIMEOUT, START_DEADLINE, TTL, World, completed, failed, name, play, raise, spec, terminate},
};

const LIFECYCLE: &str = "
    absent     | terminate       => ! NotFound
    pending    | terminate       => ExecutionTerminated
    pending    | terminate this  => ExecutionTerminated
    pending    | terminate other => ! ExecutionMismatch
    granted    | terminate       => ExecutionTerminated
    running    | terminate       => ExecutionTerminated
    running    | terminate other => ! ExecutionMismatch
    backoff    | terminate       => ExecutionTerminated
    expired    | terminate       => ExecutionTerminated
    stopping   | terminate       => ! NotLive
    stopping   | terminate other => ! ExecutionMismatch
    replaced   | terminate       => ExecutionTerminated
    completed  | terminate       => ! NotLive
    completed  | terminate this  => ! NotLive
    failed     | terminate       => ! NotLive
    terminated | terminate       => ! NotLive
    absent     | raise           => ! NotFound
    pending    | raise           => EventRaised
    pending    | raise this      => EventRaised
    pending    | raise other     => ! ExecutionMismatch
    running    | raise           => EventRaised
    backoff    | raise           => EventRaised
    replaced   | raise           => EventRaised
    stopping   | raise           => ! NotLive
    completed  | raise           => ! NotLive
    failed     | raise           => ! NotLive
    terminated | raise           => ! NotLive
    full       | raise           => ! InboxFull
";

const GRANTS: &str = "
    absent     | grant       => ! NotGrantable
    pending    | grant       => RunGranted
    pending    | grant other => ! NotGrantable
    granted    | grant       => ! NotGrantable
    running    | grant       => ! NotGrantable
    expired    | grant       => ! NotGrantable
    backoff    | grant       => ! NotGrantable
    again      | grant       => RunGranted
    stopping   | grant       => ! NotGrantable
    replaced   | grant       => ! NotGrantable
    released   | grant       => RunGranted
    timed out  | grant       => ! NotGrantable
    completed  | grant       => ! NotGrantable
    failed     | grant       => ! NotGrantable
    terminated | grant       => ! NotGrantable
    continued  | grant       => RunGranted
";

/// `granted`: not accepted yet. `last`: the last attempt. The proof is that of the newest grant, unless said otherwise.
const REPORTS: &str = "
    absent     | accept       => ! StaleFencingToken
    pending    | accept       => ! StaleFencingToken
    granted    | accept       => RunAccepted
    granted    | progress     => RunAccepted, ProgressReported
    granted    | no progress  => RunAccepted
    granted    | acked        => RunAccepted
    granted    | completed    => RunAccepted, LeaseReported, ExecutionCompleted
    granted    | failed       => RunAccepted, LeaseReported, RetryScheduled
    granted    | failed for good => RunAccepted, LeaseReported, ExecutionFailed
    granted    | continue     => RunAccepted, LeaseReported, ExecutionContinued
    granted    | stopped      => LeaseReported, RetryScheduled
    running    | accept       => RunAccepted
    running    | progress     => ProgressReported
    running    | no progress  => nothing
    running    | acked        => nothing
    with event | acked        => EventsAcknowledged
    running    | completed    => LeaseReported, ExecutionCompleted
    running    | failed       => LeaseReported, RetryScheduled
    running    | failed for good => LeaseReported, ExecutionFailed
    running    | continue     => LeaseReported, ExecutionContinued
    running    | stopped      => LeaseReported, RetryScheduled
    last       | failed       => LeaseReported, ExecutionFailed
    last       | stopped      => LeaseReported, ExecutionFailed
    last       | completed    => LeaseReported, ExecutionCompleted
    running    | completed with an old token  => ! StaleFencingToken
    running    | completed with a wrong claim => ! StaleFencingToken
    running    | progress with a wrong claim  => ! StaleFencingToken
    expired    | accept       => ! StaleFencingToken
    expired    | progress     => ! StaleFencingToken
    expired    | completed    => ! StaleFencingToken
    expired    | stopped      => ! StaleFencingToken
    stopping   | accept       => ! Cancelled
    stopping   | progress     => ! Cancelled
    stopping   | completed    => ! Cancelled
    stopping   | failed       => ! Cancelled
    stopping   | continue     => ! Cancelled
    stopping   | stopped      => LeaseReported
    stopping   | stopped with an old token    => ! StaleFencingToken
    stopping   | stopped with a wrong claim   => ! StaleFencingToken
    stopping and expired | stopped            => ! StaleFencingToken
    replaced   | completed    => ! Cancelled
    replaced   | stopped      => LeaseReported
    timed out  | completed    => ! Cancelled
    timed out  | stopped      => LeaseReported
    backoff    | failed       => nothing
    backoff    | completed    => ! StaleFencingToken
    backoff    | progress     => ! StaleFencingToken
    completed  | completed    => nothing
    completed  | failed       => ! StaleFencingToken
    completed  | accept       => ! StaleFencingToken
    completed  | progress     => ! StaleFencingToken
    completed  | completed with a wrong claim => ! StaleFencingToken
    failed     | failed for good => nothing
    failed     | failed       => ! StaleFencingToken
    continued  | continue     => nothing
    continued  | completed    => ! StaleFencingToken
    gave back  | stopped      => nothing
    gave back  | completed    => ! StaleFencingToken
    lost       | completed    => ! StaleFencingToken
    lost       | stopped      => ! StaleFencingToken
";

const TICKS: &str = "
    absent                       | tick => nothing
    pending                      | tick => nothing
    pending, start deadline      | tick => ExecutionFailed
    granted                      | tick => nothing
    granted, lease end           | tick => LeaseExpired
    running                      | tick => nothing
    running, lease end           | tick => LeaseExpired, RetryScheduled
    last, lease end              | tick => LeaseExpired, ExecutionFailed
    almost overdue               | tick => nothing
    overdue                      | tick => ExecutionFailed
    almost overdue, lease end    | tick => LeaseExpired, RetryScheduled
    timed out                    | tick => nothing
    timed out, lease end         | tick => LeaseExpired
    stopping                     | tick => nothing
    stopping, lease end          | tick => LeaseExpired
    replaced                     | tick => nothing
    replaced, start deadline     | tick => LeaseExpired
    released                     | tick => nothing
    released, start deadline     | tick => ExecutionFailed
    backoff                      | tick => nothing
    backoff, backoff             | tick => RetryDue
    backoff, run timeout         | tick => ExecutionFailed
    again                        | tick => nothing
    again, start deadline        | tick => nothing
    again, run timeout           | tick => ExecutionFailed
    declined                     | tick => nothing
    declined, a second           | tick => RetryDue
    completed, run timeout       | tick => nothing
    failed, run timeout          | tick => nothing
    terminated, run timeout      | tick => nothing
    continued, run timeout       | tick => nothing
";

fn execution(asked: &str, world: &World) -> Option<ExecutionId> {
    let this = world.instance.as_ref().map(|instance| instance.execution.id);
    match asked {
        "this" => this,
        "other" => Some(ExecutionId([250; 16])),
        _ => None,
    }
}

#[test]
fn lifecycle() {
    play(LIFECYCLE, state, |asked, world| {
        let (verb, of) = asked.split_once(' ').unwrap_or((asked, ""));
        let expected = execution(of, world);
        if verb == "raise" { raise(expected) } else { terminate(expected) }
    });
}

#[test]
fn grants() {
    play(GRANTS, state, |asked, world| match (asked, world.grant()) {
        ("grant other", Command::Grant(grant)) => Command::Grant(Grant { execution: ExecutionId([250; 16]), ..grant }),
        (_, grant) => grant,
    });
}

#[test]
fn reports() {
    play(REPORTS, state, |asked, world| {
        let (body, with) = asked.split_once(" with a").unwrap_or((asked, ""));
        let Proof { token, claim } = world.proof;
        let proof = match with {
            "" => Proof { token, claim },
            "n old token" => Proof { token: Revision(token.0 - 1), claim },
            " wrong claim" => Proof { token, claim: ClaimId([251; 16]) },
            other => panic!("no proof {other}"),
        };
        let body = match body {
            "accept" => ReportBody::Accept,
            "progress" => ReportBody::Progress { custom_status: Some("half".into()) },
            "no progress" => ReportBody::Progress { custom_status: None },
            "acked" => ReportBody::EventsAcked { through: 9 },
            "completed" => completed(),
            "failed" => failed(false),
            "failed for good" => failed(true),
            "continue" => continued(),
            "stopped" => ReportBody::Stopped,
            other => panic!("no report {other}"),
        };
        Command::Report(Report { proof, body })
    });
}

#[test]
fn ticks() {
    play(TICKS, state, |_, _| Command::Tick);
}

#[test]
fn a_run_that_never_left_is_taken_back_and_does_not_count() {
    let table = "
        granted   | take back             => LeaseTakenBack
        granted   | take back another     => ! StaleFencingToken
        running   | take back             => ! StaleFencingToken
        pending   | take back             => ! StaleFencingToken
        absent    | take back             => ! StaleFencingToken
        completed | take back             => ! StaleFencingToken
    ";
    play(table, state, |asked, world| {
        let another = Proof { claim: ClaimId([251; 16]), ..world.proof };
        Command::TakeBack(if asked == "take back" { world.proof } else { another })
    });
    let mut world = World::granted();
    let first = world.proof;
    world.must(&Command::TakeBack(first));
    let grant = world.grant();
    world.must(&grant);
    assert!(world.proof.token > first.token);
    assert_eq!(world.instance().execution.attempt, 1);
}

#[test]
fn a_lease_that_could_be_renewed_is_made_longer_and_none_shorter() {
    let table = "
        running  | longer  => LeaseLengthened
        granted  | longer  => LeaseLengthened
        running  | as long => nothing
        running  | shorter => nothing
        expired  | longer  => nothing
        stopping | longer  => nothing
        pending  | longer  => nothing
        absent   | longer  => nothing
    ";
    play(table, state, |asked, _| {
        let by = match asked {
            "longer" => 1,
            "as long" => 0,
            _ => -1,
        };
        Command::Lengthen(Span::from_micros(TTL.as_micros() + by))
    });
}

#[test]
fn which_leases_a_heartbeat_renews() {
    let renewals = [
        ("granted", Ok(())),
        ("running", Ok(())),
        ("expired", Err(NotHeld::Lost)),
        ("stopping", Err(NotHeld::Cancelled(Cancellation::Terminated))),
        ("replaced", Err(NotHeld::Cancelled(Cancellation::Replaced))),
        ("timed out", Err(NotHeld::Cancelled(Cancellation::TimedOut))),
        ("completed", Err(NotHeld::Reported)),
        ("gave back", Err(NotHeld::Reported)),
        ("lost", Err(NotHeld::Lost)),
        ("pending", Err(NotHeld::Lost)),
    ];
    for (from, expected) in renewals {
        let mut world = state(from);
        let before = world.instance().lease.as_ref().map(|lease| lease.expires_at);
        world.pass(Span::from_micros(1));
        assert_eq!(world.renew(), expected, "{from}");
        let after = world.instance().lease.as_ref().map(|lease| lease.expires_at);
        assert_eq!(after > before, expected.is_ok(), "{from}");
    }
}

#[test]
fn attempts_are_counted_from_the_first_accept_and_backed_off() {
    let mut world = World::pending();
    world.instance.as_mut().expect("it is there").execution.spec = spec("f", 4);
    // attempt => the wait after it: 2 s, then three times as long each time.
    for (attempt, wait) in [(1, Some(2)), (2, Some(6)), (3, Some(18)), (4, None)] {
        // A worker that declines, and one that never accepts, don't count.
        let grant = world.grant();
        world = world.then(&grant).after(ReportBody::Stopped).later(limits::DECLINED_BACKOFF).then(&Command::Tick);
        let grant = world.grant();
        world = world.then(&grant).later(TTL).then(&Command::Tick);
        let grant = world.grant();
        world = world.then(&grant);
        assert_eq!(world.instance().execution.attempt, attempt);
        assert_eq!(world.instance().execution.status, Status::Running);
        world = world.after(failed(false));
        let due = world.instance().execution.due.value().retry_at.map(|at| at - world.now.steady);
        assert_eq!(due, wait.map(Span::from_secs), "after attempt {attempt}");
        match wait {
            Some(wait) => world = world.later(Span::from_secs(wait)).then(&Command::Tick),
            None => assert_eq!(world.instance().execution.status, Status::Failed),
        }
    }
    let failure = world.instance().execution.failure.clone().expect("it failed");
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("Oops", "it broke"));
}

#[test]
fn the_start_deadline_does_not_count_the_wait_for_a_lease() {
    let mut world = World::running().replaced();
    assert_eq!(world.instance().execution.due.value().start_by, None, "it could not be handed out yet");
    world.pass(Span::from_secs(5));
    let world = world.after(ReportBody::Stopped);
    assert_eq!(world.instance().execution.due.value().start_by, Some(world.now.steady + START_DEADLINE));
}

#[test]
fn a_continued_run_is_a_new_execution_that_still_runs() {
    let mut before = World::running().then(&raise(None));
    before = before.then(&raise(None)).after(ReportBody::EventsAcked { through: 1 });
    let first = before.instance().clone();
    let mut world = before.after(continued());
    let instance = world.instance();
    assert_eq!((instance.execution.status, instance.execution.attempt), (Status::Running, 0));
    assert_eq!(instance.execution.id, ExecutionId([200; 16]));
    assert_eq!((instance.inbox_after, instance.inbox_last), (1, 2), "what was not confirmed is carried over");
    let grant = world.grant();
    world.must(&grant);
    assert!(world.proof.token > first.fencing_token);
    assert_eq!(world.instance().execution.attempt, 1);
    assert_eq!(
        world.instance().execution.due.value().run_until,
        Some(world.now.steady + RUN_TIMEOUT),
        "a timeout of its own"
    );
}

#[test]
fn a_second_claim_on_a_held_lease_names_no_secret() {
    let world = World::running();
    let other = Proof { claim: ClaimId([251; 16]), ..world.proof };
    let report = Command::Report(Report { proof: other, body: completed() });
    let rejection = world.clone().submit(&report).expect_err("it is not its claim");
    assert_eq!(rejection, Rejection::StaleFencingToken { presented: world.proof.token });
    assert_eq!(world.instance().lease.as_ref().map(|lease| lease.worker.clone()), Some(name("w")));
}
