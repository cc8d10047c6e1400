//! Starts: every policy, status, set of replaceable statuses, and what is remembered of request ids.

use soloist::core::{
    command::{Command, Start},
    decide::Answer,
    limits,
    policy::{ConflictPolicy, Replaceable},
    rejection::Rejection,
    request::{Outcome, Request},
    time::Span,
};

use crate::world::{MEMORY, World, completed, failed, play, request, spec, terminate};

const POLICIES: &str = "
    absent     | fail                => ExecutionStarted
    absent     | use existing        => ExecutionStarted
    absent     | use another         => ExecutionStarted
    absent     | replace             => ExecutionStarted
    pending    | fail                => ! AlreadyRunning
    pending    | use existing        => nothing
    pending    | use another         => ! FunctionMismatch
    pending    | replace             => ExecutionTerminated, ExecutionStarted
    granted    | fail                => ! AlreadyRunning
    granted    | use existing        => nothing
    granted    | replace             => ExecutionTerminated, ExecutionStarted
    running    | fail                => ! AlreadyRunning
    running    | use existing        => nothing
    running    | use another         => ! FunctionMismatch
    running    | replace             => ExecutionTerminated, ExecutionStarted
    backoff    | fail                => ! AlreadyRunning
    backoff    | use existing        => nothing
    backoff    | replace             => ExecutionTerminated, ExecutionStarted
    completed  | fail                => ExecutionStarted
    completed  | use existing        => ExecutionStarted
    completed  | use another         => ExecutionStarted
    completed  | replace             => ExecutionStarted
    failed     | fail                => ExecutionStarted
    failed     | use existing        => ExecutionStarted
    terminated | fail                => ExecutionStarted
    terminated | replace             => ExecutionStarted
    stopping   | fail                => ExecutionStarted
    stopping   | replace             => ExecutionStarted
    replaced   | fail                => ! AlreadyRunning
    replaced   | use existing        => nothing
    replaced   | replace             => ExecutionTerminated, ExecutionStarted
";

const REPLACEABLE: &str = "
    absent     | none       => ExecutionStarted
    running    | none       => ! AlreadyRunning
    completed  | all        => ExecutionStarted
    completed  | completed  => ExecutionStarted
    completed  | failed     => ! StatusNotReplaceable
    completed  | terminated => ! StatusNotReplaceable
    completed  | none       => ! StatusNotReplaceable
    failed     | all        => ExecutionStarted
    failed     | completed  => ! StatusNotReplaceable
    failed     | failed     => ExecutionStarted
    failed     | terminated => ! StatusNotReplaceable
    failed     | none       => ! StatusNotReplaceable
    terminated | all        => ExecutionStarted
    terminated | completed  => ! StatusNotReplaceable
    terminated | failed     => ! StatusNotReplaceable
    terminated | terminated => ExecutionStarted
    terminated | none       => ! StatusNotReplaceable
";

fn state(name: &str) -> World {
    match name {
        "absent" => World::new(),
        "pending" => World::pending(),
        "granted" => World::granted(),
        "running" => World::running(),
        "backoff" => World::running().after(failed(false)),
        "completed" => World::running().after(completed()),
        "failed" => World::running().after(failed(true)),
        "terminated" => World::pending().then(&terminate(None)),
        // Ended, but its worker still holds the lease.
        "stopping" => World::running().then(&terminate(None)),
        "replaced" => World::running().replaced(),
        other => panic!("no state {other}"),
    }
}

#[test]
fn at_most_one_is_live_whatever_the_policy() {
    play(POLICIES, state, |asked, world| {
        let start = world.start();
        Command::Start(match asked {
            "fail" => start,
            "use existing" => Start { conflict_policy: ConflictPolicy::UseExisting, ..start },
            "use another" => Start { conflict_policy: ConflictPolicy::UseExisting, spec: spec("another", 2), ..start },
            "replace" => Start { conflict_policy: ConflictPolicy::Replace, ..start },
            other => panic!("no start {other}"),
        })
    });
}

#[test]
fn an_end_is_replaced_only_where_the_start_says_so() {
    play(REPLACEABLE, state, |asked, world| {
        let replaceable = match asked {
            "all" => Replaceable::ALL,
            "none" => Replaceable::NONE,
            "completed" => Replaceable { completed: true, ..Replaceable::NONE },
            "failed" => Replaceable { failed: true, ..Replaceable::NONE },
            "terminated" => Replaceable { terminated: true, ..Replaceable::NONE },
            other => panic!("no set {other}"),
        };
        Command::Start(Start { replaceable, ..world.start() })
    });
}

const LIVE: &str = "
    pending            | pending   => ExecutionTerminated, ExecutionStarted
    pending            | running   => ! AlreadyRunning
    pending            | suspended => ! AlreadyRunning
    running            | pending   => ! AlreadyRunning
    running            | running   => ExecutionTerminated, ExecutionStarted
    running            | suspended => ! AlreadyRunning
    suspended pending  | pending   => ! AlreadyRunning
    suspended running  | running   => ! AlreadyRunning
    suspended running  | suspended => ExecutionTerminated, ExecutionStarted
    running            | live      => ExecutionTerminated, ExecutionStarted
    running            | none      => ! AlreadyRunning
    completed          | live      => ! StatusNotReplaceable
";

#[test]
fn a_live_one_is_replaced_only_where_the_start_says_so() {
    play(LIVE, crate::states::state, |asked, world| {
        let replaceable = match asked {
            "live" => Replaceable::LIVE,
            "none" => Replaceable::NONE,
            "pending" => Replaceable { pending: true, ..Replaceable::NONE },
            "running" => Replaceable { running: true, ..Replaceable::NONE },
            "suspended" => Replaceable { suspended: true, ..Replaceable::NONE },
            other => panic!("no set {other}"),
        };
        Command::Start(Start { conflict_policy: ConflictPolicy::Replace, replaceable, ..world.start() })
    });
}

#[test]
fn a_request_id_is_done_once() {
    // What was remembered as `r` with the digest 1 a while ago, over which ends => a start with this id and digest.
    let table = "
        remembered                | r 1 => nothing
        remembered                | r 2 => ! RequestIdReused
        remembered                | s 1 => ! AlreadyRunning
        remembered and completed  | r 1 => nothing
        remembered and completed  | r 2 => ! RequestIdReused
        remembered and completed  | s 1 => ExecutionStarted, RequestRemembered
        remembered and succeeded  | r 1 => nothing
        almost forgotten          | r 1 => nothing
        forgotten                 | r 1 => ! AlreadyRunning
        forgotten and completed   | r 1 => ExecutionStarted, RequestsForgotten, RequestRemembered
        forgotten and completed   | r 2 => ExecutionStarted, RequestsForgotten, RequestRemembered
        rejected                  | r 2 => ! AlreadyRunning
        rejected and completed    | r 2 => ExecutionStarted, RequestRemembered
    ";
    let remembered = || {
        let mut world = World::new();
        let start = Start { request: Some(request("r", 1)), ..world.start() };
        world.then(&Command::Start(start))
    };
    let to_its_end = |mut world: World| {
        let grant = world.grant();
        world.then(&grant).after(completed())
    };
    let just_before = Span::from_micros(MEMORY.as_micros() - 1);
    let state = |name: &str| match name {
        "remembered" => remembered(),
        "remembered and completed" => to_its_end(remembered()),
        "remembered and succeeded" => {
            let mut world = to_its_end(remembered());
            let next = world.start();
            world.then(&Command::Start(next))
        }
        "almost forgotten" => remembered().later(just_before),
        "forgotten" => remembered().later(MEMORY),
        "forgotten and completed" => to_its_end(remembered()).later(MEMORY),
        "rejected" | "rejected and completed" => {
            let mut world = World::pending();
            let start = Start { request: Some(request("r", 1)), ..world.start() };
            world.submit(&Command::Start(start)).expect_err("it runs already");
            if name == "rejected" { world } else { to_its_end(world) }
        }
        other => panic!("no state {other}"),
    };
    play(table, state, |asked, world| {
        let (id, digest) = asked.split_once(' ').expect("an id and a digest");
        let request = Some(request(id, digest.parse().expect("a number")));
        Command::Start(Start { request, ..world.start() })
    });
}

#[test]
fn a_repeated_start_is_told_what_became_of_the_first() {
    // policy of the first start, on a running instance or none => outcome
    let cases = [
        (ConflictPolicy::Fail, false, Outcome::Started),
        (ConflictPolicy::UseExisting, true, Outcome::Joined),
        (ConflictPolicy::Replace, true, Outcome::Replaced),
    ];
    for (conflict_policy, running, outcome) in cases {
        let mut world = if running { World::running() } else { World::new() };
        let start = Start { conflict_policy, request: Some(request("r", 1)), ..world.start() };
        let first = world.must(&Command::Start(start.clone())).answer;
        let Answer::Start { outcome: told, deduplicated: false, execution, .. } = first else { panic!("{first:?}") };
        assert_eq!(told, outcome, "{conflict_policy:?}");
        // However often, and whatever has become of the execution since.
        for world in [world.clone(), world.then(&terminate(None))] {
            let mut world = world;
            let again = Start { execution: world.start().execution, ..start.clone() };
            let again = world.must(&Command::Start(again)).answer;
            assert_eq!(again, Answer::Start { outcome, deduplicated: true, execution, queue_position: 0 });
        }
    }
}

#[test]
fn the_newest_request_ids_are_remembered() {
    let max = limits::REMEMBERED_REQUESTS_MAX;
    let mut world = World::new();
    let join = |world: &mut World, id: usize| {
        let request = Some(Request { id: id.to_string(), digest: 1, remember: MEMORY });
        let start = Start { conflict_policy: ConflictPolicy::UseExisting, request, ..world.start() };
        match world.must(&Command::Start(start)).answer {
            Answer::Start { deduplicated, .. } => deduplicated,
            other => panic!("{other:?}"),
        }
    };
    for id in 0..=max {
        assert!(!join(&mut world, id));
    }
    assert!(join(&mut world, 1), "the oldest but one is still known");
    assert!(join(&mut world, max), "and the newest");
    assert!(!join(&mut world, 0), "the oldest made room");
    assert!(!join(&mut world, 1), "and now the next one");
}

#[test]
fn a_conflict_tells_who_is_there() {
    let mut world = World::running();
    let start = world.start();
    let Err(Rejection::AlreadyRunning(view)) = world.submit(&Command::Start(start)) else { panic!("it runs") };
    assert_eq!(view.execution.id, world.instance().execution.id);
    assert_eq!(view.worker.as_ref().map(ToString::to_string).as_deref(), Some("w"));
    assert_eq!(view.revision, world.revision);
}
