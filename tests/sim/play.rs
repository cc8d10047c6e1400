//! One seed's play from its first boot to the last comparison.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use soloist::{
    checker::{self, Rules},
    core::{
        history::Happened,
        ids::{ExecutionId, InstanceKey},
        instance::Instance,
        rejection::Rejection,
        status::{Execution, Status},
    },
    engine::{Engine, Refusal, history::What},
    store::memory::Fault,
};

use crate::{
    client,
    house::{Crash, House, Reply},
    retention,
    stage::{MILLI, SECOND},
    watcher, worker,
    world::World,
};

/// Virtual time after which everything must have come to its end once it is calm.
const CALM_MAX: i64 = 600 * SECOND;
/// Virtual time for which a play goes on in calm where nobody waits for it to come to rest.
#[cfg(feature = "mutants")]
const LULL: i64 = 60 * SECOND;
/// Virtual time within which a restarted server answers.
const COMPARE_MAX: i64 = 60 * SECOND;
/// Steps of one play: more of them are a loop.
const STEPS_MAX: u64 = 400_000;

/// What one play came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub steps: u64,
    pub calls: usize,
    /// Instance ids whose calls the checker could not put in order within its bounds.
    pub undecided: usize,
    /// Of everything that was seen, in its order: the same seed gives the same one.
    pub trace: u64,
}

/// Plays a seed; the first thing that must not be, if any.
pub fn play(seed: u64) -> Result<Tally, String> {
    let world = World::new(seed);
    let played = catch_unwind(AssertUnwindSafe(|| run(&world)));
    world.stage.clear();
    match played {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("a panic: {}", text.unwrap_or_default()))
        }
    }
}

/// Plays a seed, and lets the checker judge by what was seen from outside alone. Nothing if the play can't go on.
#[cfg(feature = "mutants")]
pub fn judged_from_outside(seed: u64) -> Option<checker::Verdict> {
    let world = World::new(seed);
    world.witness().is_outside = true;
    let played = catch_unwind(AssertUnwindSafe(|| {
        let calm_at = enter(&world)?;
        let mut steps = Steps { taken: 0, trace: 0 };
        steps.take_until(&world, calm_at, || false)?;
        world.calm.set(true);
        steps.take_until(&world, calm_at + LULL, || has_come_to_rest(&world))
    }));
    let rules = rules(&world);
    let verdict = checker::check(&world.witness().history, &rules);
    world.stage.clear();
    matches!(played, Ok(Ok(()))).then_some(verdict)
}

fn run(world: &Rc<World>) -> Result<Tally, String> {
    let calm_at = enter(world)?;
    let mut steps = Steps { taken: 0, trace: 0 };

    steps.take_until(world, calm_at, || false)?;
    world.calm.set(true);
    let is_over = || has_come_to_rest(world);
    steps.take_until(world, calm_at + CALM_MAX, is_over)?;
    if !has_come_to_rest(world) {
        return Err(complain(world));
    }
    compare(world, &mut steps)?;
    let calls = world.witness().history.calls();
    let undecided = judge(world)?;
    Ok(Tally { steps: steps.taken, calls, undecided, trace: steps.trace })
}

/// The server starts, and everybody comes. Answers when it gets calm.
fn enter(world: &Rc<World>) -> Result<i64, String> {
    let dice = &world.dice;
    world.house.start()?;
    for number in 0..dice.between(1, 5).unsigned_abs() {
        world.stage.spawn(client::client(world.clone(), number));
    }
    for number in 0..dice.between(1, 4).unsigned_abs() {
        world.stage.spawn(worker::worker(world.clone(), number));
    }
    for number in 0..dice.between(0, 5).unsigned_abs() {
        world.stage.spawn(watcher::watcher(world.clone(), number));
    }
    world.stage.spawn(misfortune(world.clone()));
    world.stage.spawn(keeper(world.clone()));
    world.stage.spawn(retention::sweeper(world.clone()));
    Ok(world.stage.now() + dice.between(10, 90) * SECOND)
}

struct Steps {
    taken: u64,
    trace: u64,
}

impl Steps {
    /// Takes one step after the other, chosen by the dice, until that time or until it is over.
    fn take_until(&mut self, world: &World, until: i64, is_over: impl Fn() -> bool) -> Result<(), String> {
        let (stage, house) = (&world.stage, &world.house);
        loop {
            let ready = stage.ready();
            let moves = house.moves();
            let count = ready.len() + moves.len();
            if count == 0 {
                let next = [stage.next_alarm(), house.next_moment()].into_iter().flatten().min();
                match next {
                    _ if is_over() => return Ok(()),
                    Some(next) if next <= until => stage.advance_to(next),
                    _ => {
                        stage.advance_to(until);
                        return Ok(());
                    }
                }
                continue;
            }
            let choice = world.dice.below(count as u64) as usize;
            match ready.get(choice) {
                Some(task) => {
                    stage.poll(*task);
                    house.look_again();
                }
                None => house.make(moves[choice - ready.len()]),
            }
            // What happens one after the other has different times.
            stage.advance_to(stage.now() + 1);
            self.taken += 1;
            self.trace = (self.trace ^ choice as u64 ^ (count as u64) << 16).wrapping_mul(0x100_0000_01b3);
            let mut witness = world.witness();
            witness.read_ledger();
            if let Some(violation) = witness.violation.take() {
                return Err(violation);
            }
            if self.taken > STEPS_MAX {
                return Err("there is no end of it".into());
            }
        }
    }
}

/// Once it is calm, goes on with whatever is suspended.
async fn keeper(world: Rc<World>) {
    loop {
        world.stage.sleep(5 * SECOND).await;
        if !world.calm.get() {
            continue;
        }
        let unfinished = world.witness().unfinished();
        for (key, _, _) in unfinished.iter().filter(|(.., is_suspended)| *is_suspended) {
            client::resume(&world, "client keeper", key, None, i64::MAX).await;
        }
    }
}

/// Crashes, failing disks, clocks that jump, until it gets calm.
async fn misfortune(world: Rc<World>) {
    let dice = world.dice.clone();
    let every = *dice.pick(&[5 * SECOND, 20 * SECOND, 200 * SECOND]);
    while !world.calm.get() {
        world.rest(every).await;
        if world.calm.get() {
            break;
        }
        let commits = 1 + dice.below(5);
        match dice.below(8) {
            0 => world.house.jump_clock(dice.between(0, *dice.pick(&[5 * SECOND, 3_600 * SECOND]))),
            1 | 2 => world.house.crash(Crash::Planned(Fault::BeforeApplied { commits })),
            3 | 4 => world.house.crash(Crash::Planned(Fault::AfterApplied { commits })),
            5 => world.house.crash(Crash::Restarted),
            _ => world.house.crash(Crash::Killed),
        }
        revive(&world).await;
    }
    // A fault that was planned may still come.
    loop {
        revive(&world).await;
        world.stage.sleep(5 * SECOND).await;
    }
}

async fn revive(world: &World) {
    let house: &House = &world.house;
    if house.is_up() {
        return;
    }
    let longest = *world.dice.pick(&[10 * MILLI, SECOND, 20 * SECOND]);
    world.rest(longest).await;
    if let Err(what) = house.start() {
        world.witness().object(what);
    }
}

/// Nothing is live, nobody waits, and every watcher has seen everything.
fn has_come_to_rest(world: &World) -> bool {
    let witness = world.witness();
    let all_seen = world.seen.borrow().values().all(|watching| witness.has_seen_all(watching));
    world.calm.get()
        && world.house.is_up()
        && world.house.is_quiet()
        && all_seen
        && witness.unfinished().is_empty()
        && !witness.open.values().any(|call| call.starts_with("client"))
}

fn complain(world: &World) -> String {
    let witness = world.witness();
    let seen: Vec<String> = world
        .seen
        .borrow()
        .iter()
        .filter(|(_, watching)| !witness.has_seen_all(watching))
        .map(|(name, watching)| format!("{name} has not seen all: {watching:?}"))
        .collect();
    let waiting: Vec<&String> = witness.open.values().filter(|call| call.starts_with("client")).collect();
    format!(
        "it does not come to rest: {:?}; unanswered {waiting:?}; {seen:?}; the server is {}",
        witness.unfinished(),
        if world.house.is_up() { "up" } else { "down" }
    )
}

/// One more crash: what the next server knows is what was durable, remembered requests included.
fn compare(world: &Rc<World>, steps: &mut Steps) -> Result<(), String> {
    world.compared.set(true);
    world.house.crash(Crash::Killed);
    world.house.start()?;
    let engine = world.house.engine().ok_or("the server is not there")?;
    let ledger = world.house.disk().ledger.clone();
    let expected: BTreeMap<InstanceKey, Option<Instance>> = ledger
        .lock()
        .instances
        .iter()
        .map(|(key, e)| (key.clone(), Some(e.latest.clone()).filter(|_| e.is_there())))
        .collect();
    let outcome: Rc<std::cell::RefCell<Vec<String>>> = Rc::default();
    let left = Rc::new(std::cell::Cell::new(expected.len() + 1));
    let requests = world.witness().requests(2 * COMPARE_MAX);
    for (key, instance) in expected {
        let (engine, outcome, left) = (engine.clone(), outcome.clone(), left.clone());
        let ledger = world.house.disk().ledger.clone();
        world.stage.spawn(async move {
            let queue: Vec<ExecutionId> = ledger.lock().queue(&key).iter().map(|start| start.execution).collect();
            let found = engine.status(&key, None, false).await;
            let is_same = match (&found, &instance) {
                (Ok(found), Some(instance)) => {
                    let view = &found.status.view;
                    is_same(&view.execution, &instance.execution)
                        && (view.revision, view.fencing_token) == (instance.revision, instance.fencing_token)
                        && found.queue.iter().map(|start| start.execution).eq(queue)
                }
                (Err(Refusal::Rejected(rejection)), None) => matches!(**rejection, Rejection::NotFound { .. }),
                (_, _) => false,
            };
            if !is_same {
                outcome.borrow_mut().push(format!("{key:?}: {instance:?} came back as {found:?}"));
            }
            if let Some(instance) = instance {
                let happened = ledger.lock().history(&key).into_iter().map(|event| event.happened).collect();
                if let Err(wrong) = tell(&engine, &key, &instance, happened).await {
                    outcome.borrow_mut().push(format!("{key:?}: its history is told as {wrong}: {instance:?}"));
                }
            }
            left.set(left.get() - 1);
        });
    }
    {
        let (world, outcome, left) = (world.clone(), outcome.clone(), left.clone());
        world.clone().stage.spawn(async move {
            for (key, id, digest, execution) in requests {
                let asked = client::recall(&world, &key, &id, digest);
                let Some(asked) = asked else { continue };
                match client::again(&world, &key, asked).await {
                    Reply::Answered(Ok(started)) if started.deduplicated && started.execution == execution => {}
                    Reply::Answered(answer) => {
                        outcome.borrow_mut().push(format!("{key:?}: request {id} was forgotten: {answer:?}"));
                    }
                    Reply::Lost | Reply::Refused => outcome.borrow_mut().push("no answer".into()),
                }
            }
            left.set(left.get() - 1);
        });
    }
    let until = world.stage.now() + COMPARE_MAX;
    steps.take_until(world, until, || left.get() == 0)?;
    match outcome.borrow().first() {
        Some(wrong) => Err(wrong.clone()),
        None if left.get() > 0 => Err("a restarted server does not answer".into()),
        None => Ok(()),
    }
}

/// Whether its history is told as it was: its beginning, what is on the disk, its end.
async fn tell(engine: &Engine, key: &InstanceKey, instance: &Instance, happened: Vec<Happened>) -> Result<(), String> {
    let mut history = engine.history(key, Some(instance.execution.id)).await.map_err(|refusal| refusal.to_string())?;
    let mut chapters = Vec::new();
    while let Some(chapter) = history.next().await.map_err(|refusal| refusal.to_string())? {
        chapters.push(chapter.what);
    }
    let begins = matches!(chapters.first(), Some(What::Started { .. }));
    let ends = match chapters.last() {
        Some(What::Completed { .. }) => instance.execution.status == Status::Completed,
        Some(What::Failed { .. }) => instance.execution.status == Status::Failed,
        Some(What::Terminated { .. }) => instance.execution.status == Status::Terminated,
        _ => instance.execution.status.is_live(),
    };
    let middle = chapters.iter().filter_map(|what| match what {
        What::Happened(happened) => Some(happened),
        _ => None,
    });
    let is_whole = begins && ends && middle.eq(&happened);
    if is_whole { Ok(()) } else { Err(format!("{chapters:?}, not {happened:?}")) }
}

/// Whether it is the same execution: a new server measures the time that is left anew.
fn is_same(found: &Execution, durable: &Execution) -> bool {
    let apart = |execution: &Execution| {
        let mut execution = execution.clone();
        let scheduled = execution.due.change(|due| due.scheduled.take());
        (execution, scheduled.is_some())
    };
    apart(found) == apart(durable)
}

/// What the checker says of everything that was seen; how many ids it could not decide on.
fn judge(world: &World) -> Result<usize, String> {
    if let Some(strayed) = world.witness().strayed() {
        return Err(strayed);
    }
    let rules = rules(world);
    let verdict = checker::check(&world.witness().history, &rules);
    if verdict.violations.is_empty() { Ok(verdict.undecided.len()) } else { Err(verdict.to_string()) }
}

/// What the checker may take for granted.
fn rules(world: &World) -> Rules {
    let remember_for = world.witness().remembered().unsigned_abs();
    Rules { remember_for, sweeps: world.house.retention.is_some(), ..Rules::default() }
}
