//! Starts that wait, coalesce or signal: who is let in, who begins when, and who is withdrawn.

use soloist::core::{
    command::{Command, Start},
    decide::Answer,
    event::Event,
    ids::{ExecutionId, PayloadRow},
    policy::ConflictPolicy,
    rejection::Rejection,
    request::Outcome,
    status::Status,
    time::{Span, Timestamp},
};

use crate::{
    states::{AHEAD, continued, state},
    world::{World, completed, failed, play, purge, raise, request, signal, spec, suspend, terminate, withdraw},
};

/// The queue has room for two.
const STARTS: &str = "
    absent                    | queue             => ExecutionStarted
    pending                   | queue             => StartQueued
    scheduled                 | queue             => StartQueued
    granted                   | queue             => StartQueued
    running                   | queue             => StartQueued
    running                   | queue another     => StartQueued
    backoff                   | queue             => StartQueued
    suspended pending         | queue             => StartQueued
    suspended running         | queue             => StartQueued
    continued                 | queue             => StartQueued
    replaced                  | queue             => StartQueued
    completed                 | queue             => ExecutionStarted
    failed                    | queue             => ExecutionStarted
    terminated                | queue             => ExecutionStarted
    stopping                  | queue             => ExecutionStarted
    purged stopping           | queue             => ExecutionStarted
    purged remembered         | queue             => ExecutionStarted
    behind running            | queue             => StartQueued
    behind running            | queue as one      => ! QueueFull
    running                   | queue as one      => StartQueued
    behind behind running     | queue             => ! QueueFull
    behind behind running     | queue as third    => StartQueued
    coalescing running        | queue             => StartQueued
    absent                    | coalesce          => ExecutionStarted
    pending                   | coalesce          => StartQueued
    scheduled                 | coalesce          => StartQueued
    running                   | coalesce          => StartQueued
    running                   | coalesce another  => StartQueued
    suspended pending         | coalesce          => StartQueued
    suspended running         | coalesce          => StartQueued
    completed                 | coalesce          => ExecutionStarted
    stopping                  | coalesce          => ExecutionStarted
    purged stopping           | coalesce          => ExecutionStarted
    behind running            | coalesce          => StartQueued
    behind behind running     | coalesce          => ! QueueFull
    coalescing running        | coalesce          => StartCoalesced
    coalescing running        | coalesce as one   => StartCoalesced
    coalescing running        | coalesce another  => ! FunctionMismatch
    behind coalescing running | coalesce          => StartCoalesced
    coalescing behind running | coalesce          => StartCoalesced
    absent                    | signal            => ExecutionStarted
    pending                   | signal            => EventRaised
    scheduled                 | signal            => EventRaised
    running                   | signal            => EventRaised
    running                   | signal another    => ! FunctionMismatch
    backoff                   | signal            => EventRaised
    suspended pending         | signal            => EventRaised
    suspended running         | signal            => EventRaised
    behind running            | signal            => EventRaised
    full                      | signal            => ! InboxFull
    completed                 | signal            => ExecutionStarted
    stopping                  | signal            => ExecutionStarted
    purged stopping           | signal            => ExecutionStarted
    purged remembered         | signal            => ExecutionStarted
    behind running            | fail              => ! AlreadyRunning
    behind running            | replace           => ExecutionTerminated, ExecutionStarted
    behind pending            | replace           => ExecutionTerminated, ExecutionStarted
    behind suspended running  | replace           => ExecutionTerminated, ExecutionStarted
";

/// Whatever the end is, the next one begins with it; and with nothing else.
const ENDS: &str = "
    behind pending                     | terminate       => ExecutionTerminated, ExecutionDequeued
    behind scheduled                   | terminate       => ExecutionTerminated, ExecutionDequeued
    behind granted                     | terminate       => ExecutionTerminated, ExecutionDequeued
    behind running                     | terminate       => ExecutionTerminated, ExecutionDequeued
    behind backoff                     | terminate       => ExecutionTerminated, ExecutionDequeued
    behind suspended pending           | terminate       => ExecutionTerminated, ExecutionDequeued
    behind suspended running           | terminate       => ExecutionTerminated, ExecutionDequeued
    behind running                     | terminate this  => ExecutionTerminated, ExecutionDequeued
    behind running                     | terminate other => ! ExecutionMismatch
    behind running                     | completed       => LeaseReported, ExecutionCompleted, ExecutionDequeued
    behind granted                     | completed       => RunAccepted, LeaseReported, ExecutionCompleted, ExecutionDequeued
    behind suspended running           | completed       => LeaseReported, ExecutionCompleted, ExecutionDequeued
    coalescing running                 | completed       => LeaseReported, ExecutionCompleted, ExecutionDequeued
    behind running                     | failed for good => LeaseReported, ExecutionFailed, ExecutionDequeued
    behind last                        | failed          => LeaseReported, ExecutionFailed, ExecutionDequeued
    behind running                     | failed          => LeaseReported, RetryScheduled
    behind running                     | continue        => LeaseReported, ExecutionContinued
    behind running                     | raise           => EventRaised
    behind running                     | suspend         => ExecutionSuspended
    behind running                     | purge           => ! StillLive
    behind running                     | restart         => ! AlreadyRunning
    behind running                     | tick            => nothing
    behind running, lease end          | tick            => LeaseExpired, RetryScheduled
    behind last, lease end             | tick            => LeaseExpired, ExecutionFailed, ExecutionDequeued
    behind overdue                     | tick            => ExecutionFailed, ExecutionDequeued
    behind suspended overdue           | tick            => ExecutionFailed, ExecutionDequeued
    behind pending, start deadline     | tick            => ExecutionFailed, ExecutionDequeued
    behind stopping                    | tick            => nothing
";

/// `waiting`: the one in the queue. `this`: the latest.
const WITHDRAWALS: &str = "
    absent                    | other   => ! NotFound
    purged stopping           | this    => ! NotFound
    purged remembered         | this    => ! NotFound
    running                   | other   => ! ExecutionNotFound
    running                   | this    => ExecutionTerminated
    pending                   | this    => ExecutionTerminated
    suspended pending         | this    => ExecutionTerminated
    suspended running         | this    => ExecutionTerminated
    completed                 | this    => ! NotLive
    completed                 | other   => ! ExecutionNotFound
    stopping                  | this    => ! NotLive
    behind running            | waiting => StartWithdrawn
    behind suspended running  | waiting => StartWithdrawn
    behind pending            | waiting => StartWithdrawn
    coalescing running        | waiting => StartWithdrawn
    behind running            | this    => ExecutionTerminated, ExecutionDequeued
    behind running            | other   => ! ExecutionNotFound
";

#[test]
fn who_is_let_into_the_queue() {
    play(STARTS, state, |asked, world| {
        let (policy, how) = asked.split_once(' ').unwrap_or((asked, ""));
        let start = world.start_as(match policy {
            "fail" => ConflictPolicy::Fail,
            "signal" => ConflictPolicy::UseExisting,
            "replace" => ConflictPolicy::Replace,
            "queue" => ConflictPolicy::Queue,
            "coalesce" => ConflictPolicy::Coalesce,
            other => panic!("no policy {other}"),
        });
        let signal = (policy == "signal").then(signal);
        let start = Start { signal, ..start };
        Command::Start(match how {
            "" => start,
            "another" => Start { spec: spec("another", 2), ..start },
            "as one" => Start { max_queue: 1, ..start },
            "as third" => Start { max_queue: 3, ..start },
            other => panic!("no start {other}"),
        })
    });
}

#[test]
fn the_next_begins_with_every_end_and_with_nothing_else() {
    play(ENDS, state, |asked, world| match asked {
        "terminate" => terminate(None),
        "terminate this" => terminate(Some(world.instance().execution.id)),
        "terminate other" => terminate(Some(ExecutionId([250; 16]))),
        "completed" => world.report(completed()),
        "failed" => world.report(failed(false)),
        "failed for good" => world.report(failed(true)),
        "continue" => world.report(continued()),
        "raise" => raise(None),
        "suspend" => suspend(None),
        "purge" => purge(None),
        "restart" => world.restart(None, None),
        "tick" => Command::Tick,
        other => panic!("no command {other}"),
    });
}

#[test]
fn what_waits_is_withdrawn_by_its_id() {
    play(WITHDRAWALS, state, |asked, world| {
        withdraw(match asked {
            "this" => world.instance().execution.id,
            "waiting" => waiting(world)[0],
            _ => ExecutionId([250; 16]),
        })
    });
}

/// The executions in the queue, the next one first.
fn waiting(world: &World) -> Vec<ExecutionId> {
    world.instance().queue.iter().map(|start| start.execution).collect()
}

/// Starts, and answers the outcome, the execution and its place.
fn told(world: &mut World, start: Start) -> (Outcome, ExecutionId, u32) {
    match world.must(&Command::Start(start)).answer {
        Answer::Start { outcome, deduplicated: false, execution, queue_position } => {
            (outcome, execution, queue_position)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_come_first_served() {
    let mut world = World::running();
    let mut expected = Vec::new();
    for place in 1..=5 {
        let start = Start { max_queue: 5, ..world.start_as(ConflictPolicy::Queue) };
        let execution = start.execution;
        assert_eq!(told(&mut world, start), (Outcome::Queued, execution, place));
        expected.push(execution);
    }
    // One in the middle goes: those behind it move up, and each still begins in its turn.
    world.must(&withdraw(expected.remove(2)));
    assert_eq!(waiting(&world), expected);
    let found = expected.iter().map(|execution| world.instance().queue.position(*execution));
    assert!(found.eq(1..=4));
    for next in expected {
        let before = world.instance().execution.id;
        world.must(&terminate(Some(before)));
        assert_eq!(world.instance().execution.id, next);
        assert_eq!(world.instance().execution.status, Status::Pending);
    }
    assert!(world.instance().queue.is_empty());
}

#[test]
fn what_coalesces_keeps_its_place_and_its_id_and_takes_the_newest_input_and_options() {
    let mut world = World::running();
    let start = Start { max_queue: 9, ..world.start_as(ConflictPolicy::Coalesce) };
    let first = start.execution;
    assert_eq!(told(&mut world, start), (Outcome::Queued, first, 1));
    let start = Start { max_queue: 9, ..world.start_as(ConflictPolicy::Queue) };
    let second = start.execution;
    assert_eq!(told(&mut world, start), (Outcome::Queued, second, 2));
    world.pass(Span::from_secs(7));
    let newest = Start { spec: spec("f", 5), input: Some("newest".into()), ..world.start_as(ConflictPolicy::Coalesce) };
    assert_eq!(told(&mut world, newest), (Outcome::Coalesced, first, 1));
    let coalesced_at = world.revision;
    assert_eq!(waiting(&world), [first, second]);

    world.must(&terminate(None));
    let execution = &world.instance().execution;
    assert_eq!((execution.id, execution.input), (first, PayloadRow::new(coalesced_at.0)));
    assert_eq!(execution.spec, spec("f", 5));
    // It is under way: who asks now is not served by it.
    let start = Start { max_queue: 9, ..world.start_as(ConflictPolicy::Coalesce) };
    let third = start.execution;
    assert_eq!(told(&mut world, start), (Outcome::Queued, third, 2));
}

#[test]
fn a_coalescing_start_without_input_clears_the_one_before() {
    let mut world = World::running().queued(ConflictPolicy::Coalesce);
    let start = Start { input: None, ..world.start_as(ConflictPolicy::Coalesce) };
    told(&mut world, start);
    assert_eq!(world.instance().queue.first().and_then(|start| start.input), None);
}

#[test]
fn a_mismatch_names_the_one_that_waits() {
    let mut world = World::running().queued(ConflictPolicy::Coalesce);
    let waits = waiting(&world)[0];
    let other = Start { spec: spec("another", 2), ..world.start_as(ConflictPolicy::Coalesce) };
    match world.submit(&Command::Start(other)) {
        Err(Rejection::FunctionMismatch { existing, requested }) => {
            assert_eq!((existing.execution.id, existing.queue_position, requested.as_str()), (waits, 1, "another"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn replacing_leaves_the_queue_where_it_is() {
    let world = World::running().queued(ConflictPolicy::Queue).queued(ConflictPolicy::Queue);
    let before = waiting(&world);
    let world = world.replaced();
    assert_eq!(waiting(&world), before);
    let world = world.then(&terminate(None));
    assert_eq!(world.instance().execution.id, before[0]);
}

#[test]
fn a_schedule_and_a_deadline_in_the_queue_count_from_its_beginning() {
    let mut world = World::running();
    let mut spec = spec("f", 2).as_ref().clone();
    spec.start_at = Some(world.now.wall + AHEAD);
    let start = Start { spec: spec.into(), ..world.start_as(ConflictPolicy::Queue) };
    world = world.then(&Command::Start(start)).then(&terminate(None));
    assert_eq!(world.instance().execution.due.value().scheduled, Some(world.now.steady + AHEAD));
    assert_eq!(world.instance().execution.due.value().start_by, None, "not before it could be handed out");

    // The time has passed while it waited.
    let mut world = world.queued(ConflictPolicy::Queue);
    world.pass(AHEAD);
    let spec = world.instance().execution.spec.clone();
    let start = Start { spec, ..world.start_as(ConflictPolicy::Queue) };
    world = world.then(&Command::Start(start)).then(&terminate(None)).then(&terminate(None));
    assert_eq!(world.instance().execution.due.value().scheduled, None);
}

/// Its caller had read another moment as the one at which it was accepted, while it waited.
#[test]
fn a_queued_execution_was_created_when_it_was_queued() {
    let mut world = World::running();
    world.pass(Span::from_secs(1));
    let queued_at = world.now.wall;
    let mut world = world.queued(ConflictPolicy::Queue);
    let execution = waiting(&world)[0];
    let waits = world.instance().view_of(execution, &world.key, world.now).expect("it waits");
    assert_eq!(waits.execution.created_at, queued_at);
    world.pass(Span::from_secs(9));
    world.must(&terminate(None));
    let begun = &world.instance().execution;
    assert_eq!((begun.id, begun.created_at, begun.last_updated_at > world.now.wall), (execution, queued_at, true));

    // The wall clock was set back meanwhile: nothing was created after it changed.
    let mut world = World::running();
    world.now.wall = Timestamp::from_micros(world.now.wall.as_micros() + 1_000_000_000);
    world = world.queued(ConflictPolicy::Queue);
    world.now.wall = Timestamp::from_micros(world.now.wall.as_micros() - 1_000_000_000);
    world.must(&terminate(None));
    let begun = &world.instance().execution;
    assert!(begun.created_at <= begun.last_updated_at);
}

#[test]
fn a_repeated_request_is_told_its_place_of_now() {
    let mut world = World::running();
    let ask = |world: &mut World, policy| {
        let request = Some(request(if policy == ConflictPolicy::Queue { "q" } else { "c" }, 1));
        let start = Start { request, max_queue: 9, ..world.start_as(policy) };
        world.must(&Command::Start(start)).answer
    };
    world = world.queued(ConflictPolicy::Queue).queued(ConflictPolicy::Coalesce);
    let before = waiting(&world);
    let Answer::Start { execution: queued, queue_position: 3, .. } = ask(&mut world, ConflictPolicy::Queue) else {
        panic!("it is the third");
    };
    let again =
        |outcome, execution, queue_position| Answer::Start { outcome, deduplicated: true, execution, queue_position };
    let Answer::Start { outcome: Outcome::Coalesced, execution, queue_position: 2, .. } =
        ask(&mut world, ConflictPolicy::Coalesce)
    else {
        panic!("it coalesces with the second");
    };
    assert_eq!(execution, before[1]);
    for gone in 1..=3 {
        world.must(&terminate(None));
        assert_eq!(ask(&mut world, ConflictPolicy::Queue), again(Outcome::Queued, queued, 3 - gone));
        let place = 2_u32.saturating_sub(gone);
        assert_eq!(ask(&mut world, ConflictPolicy::Coalesce), again(Outcome::Coalesced, before[1], place));
    }
    // Over its end, and over a purge.
    for over in [terminate(None), purge(None)] {
        world.must(&over);
        assert_eq!(ask(&mut world, ConflictPolicy::Queue), again(Outcome::Queued, queued, 0));
    }
}

#[test]
fn a_signal_is_raised_on_the_live_execution_or_not_at_all() {
    let mut world = World::running();
    let signalling =
        |world: &mut World| Start { signal: Some(signal()), ..world.start_as(ConflictPolicy::UseExisting) };
    let start = signalling(&mut world);
    let done = world.must(&Command::Start(start));
    let joined = world.instance().execution.id;
    let expected =
        Answer::Start { outcome: Outcome::Joined, deduplicated: false, execution: joined, queue_position: 0 };
    assert_eq!(done.answer, expected);
    assert_eq!((world.instance().inbox_after, world.instance().inbox_last), (0, 1));

    world.must(&terminate(None));
    let start = signalling(&mut world);
    let done = world.must(&Command::Start(start));
    assert!(matches!(done.events.as_slice(), [(Event::ExecutionStarted { .. }, _)]));
    assert_eq!((world.instance().inbox_after, world.instance().inbox_last), (1, 1));
}
