//! The states that the tables begin from, by their names.

use std::sync::Arc;

use soloist::core::{
    command::{Command, ReportBody, Start},
    ids::ExecutionId,
    limits,
    policy::ConflictPolicy,
    status::Spec,
    time::Span,
};

use crate::world::{
    BACKOFF, MEMORY, RUN_TIMEOUT, START_DEADLINE, TTL, World, completed, failed, purge, raise, request, resume, spec,
    suspend, terminate,
};

/// How far ahead a start is scheduled: farther than its start deadline is long.
pub const AHEAD: Span = Span::from_secs(500);

/// The state with this name. `behind` and `coalescing` (a start that waits), `suspended`, `resumed` and `purged` go
/// before another state's name; a wait, in which nothing happened, comes after it.
pub fn state(name: &str) -> World {
    if let Some((state_name, wait)) = name.split_once(", ") {
        let wait = match wait {
            "start deadline" => START_DEADLINE,
            "lease end" => TTL,
            "run timeout" => RUN_TIMEOUT,
            "backoff" => BACKOFF,
            "a second" => limits::DECLINED_BACKOFF,
            "schedule" => AHEAD,
            "memory" => MEMORY,
            other => panic!("no wait {other}"),
        };
        return state(state_name).later(wait);
    }
    if let Some((what, of)) = name.split_once(' ') {
        match what {
            "behind" => return state(of).queued(ConflictPolicy::Queue),
            "coalescing" => return state(of).queued(ConflictPolicy::Coalesce),
            "suspended" => return state(of).then(&suspend(None)),
            "resumed" => return state(of).then(&resume(None)),
            "purged" => return state(of).then(&purge(None)),
            _ => {}
        }
    }
    let again = || World::running().after(failed(false)).later(BACKOFF).then(&Command::Tick);
    match name {
        "absent" => World::new(),
        "pending" => World::pending(),
        "granted" => World::granted(),
        "running" => World::running(),
        "with event" => World::running().then(&raise(None)),
        "full" => (0..limits::INBOX_EVENTS_MAX).fold(World::running(), |world, _| world.then(&raise(None))),
        "almost overdue" => overdue(1),
        "overdue" => overdue(0),
        "timed out" => overdue(0).then(&Command::Tick),
        "expired" => World::running().later(TTL),
        "backoff" => World::running().after(failed(false)),
        "again" => again(),
        "last" => {
            let mut world = again();
            let grant = world.grant();
            world.then(&grant).after(ReportBody::Accept)
        }
        "declined" => World::granted().after(ReportBody::Stopped),
        "gave back" => World::running().after(ReportBody::Stopped),
        "lost" => World::running().later(TTL).then(&Command::Tick),
        "stopping" => World::running().then(&terminate(None)),
        "stopping and expired" => World::running().then(&terminate(None)).later(TTL),
        "replaced" => World::running().replaced(),
        "released" => World::running().replaced().after(ReportBody::Stopped),
        "completed" => World::running().after(completed()),
        "failed" => World::running().after(failed(true)),
        "terminated" => World::pending().then(&terminate(None)),
        "continued" => World::running().after(continued()),
        "scheduled" => scheduled(),
        "due" => scheduled().later(AHEAD).then(&Command::Tick),
        // Completed, after a start with the request `r`.
        "remembered" => {
            let mut world = World::new();
            let start = Start { request: Some(request("r", 1)), ..world.start() };
            world = world.then(&Command::Start(start));
            let grant = world.grant();
            world.then(&grant).after(completed())
        }
        other => panic!("no state {other}"),
    }
}

pub fn continued() -> ReportBody {
    ReportBody::ContinueAsNew { input: Some("next".into()), execution: ExecutionId([200; 16]) }
}

/// A run that its worker has kept until so many seconds before its timeout.
fn overdue(seconds_before: i64) -> World {
    let mut world = World::running();
    let until = world.instance().execution.due.value().run_until.expect("it has a timeout");
    let step = Span::from_secs(1);
    while world.now.steady + Span::from_secs(seconds_before) < until {
        world.pass(step);
        world.renew().expect("it is held");
    }
    world
}

/// A start that was asked for ahead of its time.
fn scheduled() -> World {
    let mut world = World::new();
    let start_at = Some(world.now.wall + AHEAD);
    let spec = Arc::new(Spec { start_at, ..Spec::clone(&spec("f", 2)) });
    let start = Start { spec, ..world.start() };
    world.then(&Command::Start(start))
}
