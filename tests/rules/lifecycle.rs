//! Held back, resumed, restarted, purged: what each does in each state, and what a purge leaves.

use soloist::core::{
    command::{Command, Purge, Start},
    effect::Effect,
    event::Event,
    ids::{ExecutionId, Revision},
    status::Status,
    time::Span,
};

use crate::{
    states::{AHEAD, state},
    world::{
        MEMORY, START_DEADLINE, World, completed, failed, play, purge, raise, request, resume, suspend, terminate,
    },
};

const SUSPENSION: &str = "
    absent             | suspend       => ! NotFound
    pending            | suspend       => ExecutionSuspended
    pending            | suspend this  => ExecutionSuspended
    pending            | suspend other => ! ExecutionMismatch
    scheduled          | suspend       => ExecutionSuspended
    granted            | suspend       => ExecutionSuspended
    running            | suspend       => ExecutionSuspended
    expired            | suspend       => ExecutionSuspended
    backoff            | suspend       => ExecutionSuspended
    replaced           | suspend       => ExecutionSuspended
    continued          | suspend       => ExecutionSuspended
    behind running     | suspend       => ExecutionSuspended
    resumed suspended running | suspend => ExecutionSuspended
    suspended pending  | suspend       => nothing
    suspended running  | suspend       => nothing
    suspended running  | suspend this  => nothing
    suspended running  | suspend other => ! ExecutionMismatch
    stopping           | suspend       => ! NotLive
    completed          | suspend       => ! NotLive
    failed             | suspend       => ! NotLive
    terminated         | suspend       => ! NotLive
    completed          | suspend other => ! ExecutionMismatch
    purged stopping    | suspend       => ! NotFound
    purged remembered  | suspend       => ! NotFound
    absent             | resume        => ! NotFound
    pending            | resume        => nothing
    scheduled          | resume        => nothing
    running            | resume        => nothing
    running            | resume other  => ! ExecutionMismatch
    suspended pending  | resume        => ExecutionResumed
    suspended scheduled | resume       => ExecutionResumed
    suspended granted  | resume        => ExecutionResumed
    suspended running  | resume        => ExecutionResumed
    suspended running  | resume this   => ExecutionResumed
    suspended running  | resume other  => ! ExecutionMismatch
    suspended backoff  | resume        => ExecutionResumed
    stopping           | resume        => ! NotLive
    completed          | resume        => ! NotLive
    terminated         | resume        => ! NotLive
    purged stopping    | resume        => ! NotFound
    purged remembered  | resume        => ! NotFound
";

/// What else is done to what is suspended, scheduled, or left of a purge.
const OTHERWISE: &str = "
    suspended pending                  | grant           => ! NotGrantable
    suspended backoff                  | grant           => ! NotGrantable
    suspended again                    | grant           => ! NotGrantable
    resumed suspended pending          | grant           => RunGranted
    resumed suspended backoff          | grant           => ! NotGrantable
    resumed suspended again            | grant           => RunGranted
    suspended pending                  | fail            => ! AlreadyRunning
    suspended running                  | raise           => EventRaised
    suspended running                  | accept          => RunAccepted
    suspended granted                  | accept          => RunAccepted
    suspended running                  | completed       => LeaseReported, ExecutionCompleted
    suspended running                  | failed          => LeaseReported, RetryScheduled
    suspended last                     | failed          => LeaseReported, ExecutionFailed
    suspended running                  | stopped         => LeaseReported, RetryScheduled
    suspended pending                  | terminate       => ExecutionTerminated
    suspended running                  | terminate       => ExecutionTerminated
    suspended running                  | tick            => nothing
    suspended running, lease end       | tick            => LeaseExpired, RetryScheduled
    suspended last, lease end          | tick            => LeaseExpired, ExecutionFailed
    suspended backoff, backoff         | tick            => RetryDue
    suspended overdue                  | tick            => ExecutionFailed
    suspended pending, start deadline  | tick            => nothing
    resumed suspended pending          | tick            => nothing
    resumed suspended pending, start deadline | tick     => ExecutionFailed
    suspended scheduled, schedule      | tick            => StartDue
    scheduled                          | grant           => ! NotGrantable
    scheduled, schedule                | grant           => ! NotGrantable
    due                                | grant           => RunGranted
    scheduled                          | tick            => nothing
    scheduled, start deadline          | tick            => nothing
    scheduled, schedule                | tick            => StartDue
    due                                | tick            => nothing
    due, start deadline                | tick            => ExecutionFailed
    scheduled                          | fail            => ! AlreadyRunning
    scheduled                          | terminate       => ExecutionTerminated
    scheduled                          | raise           => EventRaised
    purged stopping                    | fail            => ExecutionStarted
    purged stopping                    | grant           => ! NotGrantable
    purged stopping                    | raise           => ! NotFound
    purged stopping                    | terminate       => ! NotFound
    purged stopping                    | accept          => ! Cancelled
    purged stopping                    | completed       => ! Cancelled
    purged stopping                    | stopped         => LeaseReported
    purged stopping                    | tick            => nothing
    purged stopping, lease end         | tick            => LeaseExpired
    purged completed                   | completed       => ! StaleFencingToken
    purged remembered                  | completed       => nothing
    purged remembered                  | grant           => ! NotGrantable
    purged remembered                  | raise           => ! NotFound
    purged remembered                  | tick            => nothing
    purged remembered, memory          | tick            => InstanceForgotten
";

const PURGES: &str = "
    absent             | purge            => ! NotFound
    pending            | purge            => ! StillLive
    scheduled          | purge            => ! StillLive
    granted            | purge            => ! StillLive
    running            | purge            => ! StillLive
    running            | purge other      => ! ExecutionMismatch
    backoff            | purge            => ! StillLive
    replaced           | purge            => ! StillLive
    continued          | purge            => ! StillLive
    suspended pending  | purge            => ! StillLive
    suspended running  | purge            => ! StillLive
    behind running     | purge            => ! StillLive
    completed          | purge            => InstancePurged
    completed          | purge this       => InstancePurged
    completed          | purge other      => ! ExecutionMismatch
    completed          | purge earlier    => ! StillLive
    completed          | purge until then => InstancePurged
    running            | purge until then => ! StillLive
    failed             | purge            => InstancePurged
    terminated         | purge            => InstancePurged
    stopping           | purge            => InstancePurged
    timed out          | purge            => InstancePurged
    remembered         | purge            => InstancePurged
    purged completed   | purge            => ! NotFound
    purged stopping    | purge            => ! NotFound
    purged remembered  | purge            => ! NotFound
";

const RESTARTS: &str = "
    absent             | restart       => ! NotFound
    pending            | restart       => ! AlreadyRunning
    scheduled          | restart       => ! AlreadyRunning
    running            | restart       => ! AlreadyRunning
    running            | restart other => ! ExecutionMismatch
    suspended pending  | restart       => ! AlreadyRunning
    suspended running  | restart       => ! AlreadyRunning
    completed          | restart       => ExecutionRestarted
    completed          | restart this  => ExecutionRestarted
    completed          | restart other => ! ExecutionMismatch
    completed          | restart as s 1 => ExecutionRestarted, RequestRemembered
    failed             | restart       => ExecutionRestarted
    terminated         | restart       => ExecutionRestarted
    stopping           | restart       => ExecutionRestarted
    timed out          | restart       => ExecutionRestarted
    remembered         | restart       => ExecutionRestarted
    remembered         | restart as r 1 => nothing
    remembered         | restart as r 2 => ! RequestIdReused
    remembered, memory | restart as r 1 => ExecutionRestarted, RequestsForgotten, RequestRemembered
    purged stopping    | restart       => ! NotFound
    purged remembered  | restart       => ! NotFound
";

fn execution(asked: &str, world: &World) -> Option<ExecutionId> {
    match asked {
        "this" => Some(world.instance().execution.id),
        "other" => Some(ExecutionId([250; 16])),
        _ => None,
    }
}

#[test]
fn suspending_and_resuming() {
    play(SUSPENSION, state, |asked, world| {
        let (verb, of) = asked.split_once(' ').unwrap_or((asked, ""));
        let expected = execution(of, world);
        if verb == "suspend" { suspend(expected) } else { resume(expected) }
    });
}

#[test]
fn what_else_happens_to_what_is_held_back_scheduled_or_purged() {
    use soloist::core::command::ReportBody;
    play(OTHERWISE, state, |asked, world| match asked {
        "grant" => world.grant(),
        "fail" => Command::Start(world.start()),
        "raise" => raise(None),
        "accept" => world.report(ReportBody::Accept),
        "completed" => world.report(completed()),
        "failed" => world.report(failed(false)),
        "stopped" => world.report(ReportBody::Stopped),
        "terminate" => terminate(None),
        "tick" => Command::Tick,
        other => panic!("no command {other}"),
    });
}

#[test]
fn purges() {
    play(PURGES, state, |asked, world| {
        let (_, of) = asked.split_once(' ').unwrap_or((asked, ""));
        let ended = world.instance.as_ref().and_then(|instance| instance.execution.completed_at);
        let ended_before = match of {
            "earlier" => ended,
            "until then" => Some(ended.unwrap_or(world.now.wall) + Span::from_micros(1)),
            _ => None,
        };
        Command::Purge(Purge { expected_execution: execution(of, world), ended_before, remember: MEMORY })
    });
}

#[test]
fn restarts() {
    play(RESTARTS, state, |asked, world| {
        let (_, of) = asked.split_once(' ').unwrap_or((asked, ""));
        let asks_as = of.strip_prefix("as ").and_then(|of| of.split_once(' '));
        let request = asks_as.map(|(id, digest)| request(id, digest.parse().expect("a number")));
        let expected = execution(of, world);
        world.restart(expected, request)
    });
}

#[test]
fn a_start_deadline_stands_still_while_it_is_suspended() {
    let world = World::pending().later(Span::from_secs(30)).then(&suspend(None));
    let world = world.later(Span::from_secs(1_000)).then(&resume(None));
    let left = Span::from_micros(START_DEADLINE.as_micros() - Span::from_secs(30).as_micros());
    assert_eq!(world.instance().execution.due.value().start_by, Some(world.now.steady + left));

    // Suspended before its time had come: the whole deadline counts from the resumption.
    let world = state("suspended scheduled").later(AHEAD).then(&Command::Tick);
    assert_eq!(world.instance().execution.due.value().start_by, None);
    let world = world.later(Span::from_secs(1)).then(&resume(None));
    assert_eq!(world.instance().execution.due.value().start_by, Some(world.now.steady + START_DEADLINE));
}

#[test]
fn a_suspended_run_goes_on_as_what_it_was() {
    for (from, status) in [("pending", Status::Pending), ("running", Status::Running), ("backoff", Status::Running)] {
        let world = state(from).then(&suspend(None));
        assert_eq!(world.instance().execution.status, Status::Suspended, "{from}");
        assert_eq!(world.then(&resume(None)).instance().execution.status, status, "{from}");
    }
}

#[test]
fn a_worker_is_told_to_pause_and_to_go_on_and_gets_its_events_then() {
    let mut world = World::running();
    let claim = world.proof.claim;
    let done = world.must(&suspend(None));
    assert!(done.effects.contains(&Effect::Pace { claim, suspended: true, at: world.revision }));
    let done = world.must(&raise(None));
    assert!(!done.effects.contains(&Effect::DeliverEvents { claim }), "events are held back");
    let done = world.must(&resume(None));
    assert!(done.effects.contains(&Effect::Pace { claim, suspended: false, at: world.revision }));
    assert!(done.effects.contains(&Effect::DeliverEvents { claim }));
}

#[test]
fn a_restart_keeps_the_function_the_options_and_the_input() {
    let mut world = World::running().after(completed());
    let first = world.instance().execution.clone();
    let again = world.restart(None, None);
    world.must(&again);
    let second = &world.instance().execution;
    assert_ne!(second.id, first.id);
    assert_eq!((&second.spec, second.input), (&first.spec, first.input));
    assert_eq!((second.output, second.attempt, second.status), (None, 0, Status::Pending));
}

#[test]
fn nothing_is_left_of_what_nobody_needs() {
    assert!(state("purged completed").instance.is_none());
    // The lease goes last.
    let world = state("purged stopping").after(soloist::core::command::ReportBody::Stopped);
    assert!(world.instance.is_none());
    // The memory goes last.
    let world = state("purged remembered").later(MEMORY).then(&Command::Tick);
    assert!(world.instance.is_none());
    // Its time had passed before the purge.
    let world = state("remembered").later(MEMORY).then(&purge(None));
    assert!(world.instance.is_none());
}

#[test]
fn a_new_life_counts_its_transitions_anew_and_waits_for_the_old_lease() {
    let mut world = state("purged stopping");
    let (token, transitions) = (world.proof.token, world.instance().sequence);
    assert!(transitions > 1);
    let start = world.start();
    world.must(&Command::Start(start));
    assert_eq!((world.instance().sequence, world.instance().born), (1, world.revision));
    assert!(!world.instance().is_grantable(), "the former worker may still be at it");
    let mut world = world.after(soloist::core::command::ReportBody::Stopped);
    let grant = world.grant();
    world.must(&grant);
    assert!(world.proof.token > token);
}

#[test]
fn a_new_life_remembers_the_requests_of_the_old_one() {
    let mut world = state("purged remembered");
    let next = world.start();
    world.must(&Command::Start(next));
    let again = Start { request: Some(request("r", 1)), ..world.start() };
    let events = world.must(&Command::Start(again)).events;
    assert_eq!(events, Vec::<(Event, Revision)>::new());
}
