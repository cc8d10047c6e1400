//! Turns: what workers make of them, what becomes of their tasks, and what instances tell each other, in each state.

use std::sync::Arc;

use soloist::core::{
    command::{Action, Command, CompleteTurn, EndTask, Ending, Signal, Start, Target, Terminate},
    effect::{Effect, outstanding},
    ids::{CompletionToken, ExecutionId, InstanceId, Revision},
    policy::{ConflictPolicy, WorkerKind},
    status::{Failure, Spec, Status},
    time::Span,
    turn::{Message, MessageBody, Parent, TaskKind, TaskOutcome},
};

use crate::world::{RUN_TIMEOUT, START_DEADLINE, World, name, play, purge, raise, resume, spec, suspend, terminate};

const TOKEN: CompletionToken = CompletionToken([1; 16]);
const ACTIVITY: i32 = 1;
const TIMER: i32 = 2;
const CHILD: i32 = 3;
/// How far ahead the timer is.
const WAIT: Span = Span::from_secs(10);

const TURNS: &str = "
    absent                   | complete        => ! StaleCompletionToken
    pending                  | complete        => ! StaleCompletionToken
    held                     | complete        => TurnCompleted
    held                     | complete late   => ! StaleCompletionToken
    held                     | status          => TurnCompleted, ProgressReported
    held                     | no status       => TurnCompleted
    held                     | schedule        => TurnCompleted, TaskScheduled, TaskScheduled, TaskScheduled, MessageSent
    held                     | schedule, end   => TurnCompleted, TaskScheduled, MessageSent, ExecutionCompleted
    held                     | send            => TurnCompleted, MessageSent
    held                     | end others      => TurnCompleted, MessageSent
    held                     | end             => TurnCompleted, ExecutionCompleted
    held                     | fail            => TurnCompleted, ExecutionFailed
    held                     | terminate self  => TurnCompleted, ExecutionTerminated
    held                     | renew           => TurnCompleted, ExecutionRenewed
    held                     | renew, send     => TurnCompleted, MessageSent, ExecutionRenewed
    held child               | end             => TurnCompleted, ExecutionCompleted, MessageSent
    held child               | renew           => TurnCompleted, ExecutionRenewed
    held behind              | end             => TurnCompleted, ExecutionCompleted, ExecutionDequeued
    held behind              | renew           => TurnCompleted, ExecutionRenewed
    held suspended           | complete        => TurnCompleted
    held suspended           | end             => TurnCompleted, ExecutionCompleted
    held terminated          | complete        => ! StaleCompletionToken
    held replaced            | complete        => ! StaleCompletionToken
    held                     | grant           => ! NotGrantable
    held any                 | grant           => ! NotGrantable
    any                      | grant           => RunGranted
    pending                  | grant           => ! NotGrantable
    waiting                  | grant           => ! NotGrantable
    granted                  | complete        => ! StaleCompletionToken
    held                     | raise           => EventRaised
    held                     | suspend         => ExecutionSuspended
    held                     | terminate       => ExecutionTerminated
    waiting                  | terminate       => ExecutionTerminated
    waiting                  | end family      => ExecutionTerminated, MessageSent
    held                     | purge           => ! StillLive
    ended                    | purge           => InstancePurged
";

const TASKS: &str = "
    waiting                  | activity ends   => TaskEnded
    waiting                  | timer ends      => ! StaleCompletionToken
    waiting                  | child's ends    => ! StaleCompletionToken
    waiting suspended        | activity ends   => TaskEnded
    activity over            | activity ends   => ! StaleCompletionToken
    waiting terminated       | activity ends   => ! StaleCompletionToken
    renewed                  | activity ends   => ! StaleCompletionToken
    ended                    | activity ends   => ! StaleCompletionToken
    absent                   | activity ends   => ! StaleCompletionToken
    waiting                  | tick            => nothing
    waiting, wait            | tick            => TaskEnded
    waiting suspended, wait  | tick            => TaskEnded
    fired                    | tick            => nothing
    waiting terminated, wait | tick            => nothing
    renewed, wait            | tick            => nothing
    pending, start deadline  | tick            => ExecutionFailed
    held, start deadline     | tick            => nothing
    waiting, start deadline  | tick            => TaskEnded
    waiting, run timeout     | tick            => ExecutionFailed
    pending, run timeout     | tick            => ExecutionFailed
    held, run timeout        | tick            => nothing
";

const MESSAGES: &str = "
    absent                   | start           => ExecutionStarted
    pending                  | start           => MessageSent
    child                    | start           => nothing
    child                    | start another's => MessageSent
    ended                    | start           => ExecutionStarted
    purged ended             | start           => ExecutionStarted
    waiting                  | child ended     => TaskEnded
    waiting suspended        | child ended     => TaskEnded
    waiting                  | stranger ended  => nothing
    waiting                  | former's ended  => nothing
    child over               | child ended     => nothing
    renewed                  | child ended     => nothing
    ended                    | child ended     => nothing
    absent                   | child ended     => nothing
    waiting                  | say             => EventRaised
    waiting                  | say to former   => nothing
    ended                    | say             => nothing
    absent                   | say             => nothing
    purged ended             | say             => nothing
    waiting                  | be ended        => ExecutionTerminated
    waiting                  | be ended all    => ExecutionTerminated, MessageSent
    child                    | be ended        => ExecutionTerminated, MessageSent
    child                    | be ended by parent => ExecutionTerminated, MessageSent
    waiting                  | be ended by parent => nothing
    waiting terminated       | be ended all    => MessageSent
    ended                    | be ended all    => nothing
    absent                   | be ended all    => nothing
";

fn durable(worker_kind: WorkerKind, parent: Option<Parent>) -> Arc<Spec> {
    Arc::new(Spec { worker_kind, parent: parent.map(Arc::new), ..Spec::clone(&spec("f", 1)) })
}

fn started(spec: Arc<Spec>) -> World {
    let mut world = World::new();
    let start = Start { spec, ..world.start() };
    world.then(&Command::Start(start))
}

/// A worker has the turn.
fn held(mut world: World) -> World {
    assert!(world.instance().awaits_turn(), "{:?}", world.instance());
    world.instance.as_mut().expect("it was started").turn_held = Some(Box::new(TOKEN));
    world
}

fn then(mut world: World, asked: &str) -> World {
    let command = command(asked, &mut world);
    world.then(&command)
}

/// The state with this name; `suspended`, `terminated`, `replaced` and `behind` come after another state's, and a wait
/// after that.
fn state(name: &str) -> World {
    if let Some((state_name, wait)) = name.split_once(", ") {
        let wait = match wait {
            "wait" => WAIT,
            "start deadline" => START_DEADLINE,
            "run timeout" => RUN_TIMEOUT,
            other => panic!("no wait {other}"),
        };
        return state(state_name).later(wait);
    }
    match name {
        "absent" => World::new(),
        "pending" => started(durable(WorkerKind::DurableTask, None)),
        "any" => started(durable(WorkerKind::Any, None)),
        "granted" => then(state("any"), "grant"),
        "child" => started(durable(WorkerKind::DurableTask, Some(parent(CHILD)))),
        "held" => held(state("pending")),
        "held any" => held(state("any")),
        "held child" => held(state("child")),
        "held behind" => state("held").queued(ConflictPolicy::Queue),
        "held suspended" => then(state("held"), "suspend"),
        "held terminated" => then(state("held"), "terminate"),
        "held replaced" => state("held").replaced(),
        "waiting" => then(state("held"), "schedule"),
        "waiting suspended" => then(state("waiting"), "suspend"),
        "waiting terminated" => then(state("waiting"), "terminate"),
        "activity over" => then(state("waiting"), "activity ends"),
        "child over" => then(state("waiting"), "child ended"),
        "fired" => then(state("waiting").later(WAIT), "tick"),
        "renewed" => then(held(then(state("waiting"), "raise")), "renew"),
        "ended" => then(state("held"), "end"),
        "purged ended" => then(state("ended"), "purge"),
        other => panic!("no state {other}"),
    }
}

fn parent(task: i32) -> Parent {
    Parent { instance: id("parent"), execution: ExecutionId([77; 16]), function: name("p"), version: None, task }
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).expect("an id")
}

fn signal() -> Signal {
    Signal { name: name("e"), input: None }
}

/// The revision of the task of this kind, or one that is none's.
fn task(world: &World, is_it: impl Fn(&TaskKind) -> bool) -> Revision {
    let turns = world.instance.as_ref().and_then(|instance| instance.turns.as_deref());
    let mut tasks = turns.into_iter().flat_map(|turns| turns.tasks());
    tasks.find(|(_, task)| is_it(&task.kind)).map_or(Revision(1), |(revision, _)| revision)
}

fn turn(world: &World, actions: Vec<Action>, ending: Option<Ending>) -> CompleteTurn {
    CompleteTurn {
        token: TOKEN,
        notes: vec![Arc::from([1_u8])],
        through: world.instance.as_ref().map_or(0, |instance| instance.inbox_last),
        began_at: world.now.wall,
        custom_status: None,
        trace: None,
        actions,
        ending,
    }
}

fn tasks(world: &World) -> Vec<Action> {
    let spec = durable(WorkerKind::DurableTask, None);
    vec![
        Action::ScheduleActivity { id: ACTIVITY, name: name("act"), version: String::new(), note: 0 },
        Action::CreateTimer { id: TIMER, fire_at: world.now.wall + WAIT },
        Action::StartChild { id: CHILD, instance: id("c"), execution: ExecutionId([9; 16]), spec, input: None },
    ]
}

fn command(asked: &str, world: &mut World) -> Command {
    let this = world.instance.as_ref().map_or(ExecutionId([0; 16]), |instance| instance.execution.id);
    let send = || Action::SendEvent { to: id("other"), execution: None, signal: signal() };
    let renew = || Ending::ContinuedAsNew {
        execution: ExecutionId([99; 16]),
        spec: durable(WorkerKind::DurableTask, None),
        input: None,
        carried: Vec::new(),
    };
    let end = || Ending::Completed { output: None };
    let failure = || Arc::new(Failure::declared("Oops", "no".into()));
    let message = |body| Command::Receive(Message { to: id("i"), body });
    let start = |parent| {
        let spec = durable(WorkerKind::DurableTask, Some(parent));
        MessageBody::Start { execution: ExecutionId([88; 16]), spec, input: None }
    };
    let child_ended =
        |execution, task| MessageBody::ChildEnded { execution, task, outcome: TaskOutcome::Completed { result: None } };
    let be_ended = |parent, recurse| MessageBody::Terminate { parent, output: None, recurse };
    let ends = |task| Command::EndTask(EndTask { task, outcome: TaskOutcome::Completed { result: None } });
    let complete = |turn| Command::CompleteTurn(turn);
    match asked {
        "complete" => complete(turn(world, Vec::new(), None)),
        "complete late" => complete(CompleteTurn { token: CompletionToken([2; 16]), ..turn(world, Vec::new(), None) }),
        "status" => complete(CompleteTurn { custom_status: Some(Some("s".into())), ..turn(world, Vec::new(), None) }),
        "no status" => complete(CompleteTurn { custom_status: Some(None), ..turn(world, Vec::new(), None) }),
        "schedule" => complete(turn(world, tasks(world), None)),
        "schedule, end" => complete(turn(world, tasks(world), Some(end()))),
        "send" => complete(turn(world, vec![send()], None)),
        "end others" => {
            complete(turn(world, vec![Action::Terminate { to: id("o"), output: None, recurse: true }], None))
        }
        "end" => complete(turn(world, Vec::new(), Some(end()))),
        "fail" => complete(turn(world, Vec::new(), Some(Ending::Failed { failure: failure(), output: None }))),
        "terminate self" => complete(turn(world, Vec::new(), Some(Ending::Terminated { output: None }))),
        "renew" => complete(turn(world, Vec::new(), Some(renew()))),
        "renew, send" => complete(turn(world, vec![send()], Some(renew()))),
        "activity ends" => ends(task(world, |kind| matches!(kind, TaskKind::Activity { .. }))),
        "timer ends" => ends(task(world, |kind| matches!(kind, TaskKind::Timer { .. }))),
        "child's ends" => ends(task(world, |kind| matches!(kind, TaskKind::Child { .. }))),
        "start" => message(start(parent(CHILD))),
        "start another's" => message(start(parent(CHILD + 1))),
        "child ended" => message(child_ended(this, CHILD)),
        "stranger ended" => message(child_ended(this, CHILD + 1)),
        "former's ended" => message(child_ended(ExecutionId([55; 16]), CHILD)),
        "say" => message(MessageBody::Raise { execution: None, signal: signal() }),
        "say to former" => message(MessageBody::Raise { execution: Some(ExecutionId([55; 16])), signal: signal() }),
        "be ended" => message(be_ended(None, false)),
        "be ended all" => message(be_ended(None, true)),
        "be ended by parent" => message(be_ended(Some((id("parent"), ExecutionId([77; 16]))), false)),
        "end family" => Command::Terminate(Terminate {
            reason: "enough".into(),
            output: None,
            target: Target::Latest,
            recurse: true,
        }),
        "tick" => Command::Tick,
        "grant" => world.grant(),
        "raise" => raise(None),
        "suspend" => suspend(None),
        "resume" => resume(None),
        "terminate" => terminate(None),
        "purge" => purge(None),
        other => panic!("no command {other}"),
    }
}

#[test]
fn a_turn_is_completed_once_by_whoever_has_it() {
    play(TURNS, state, command);
}

#[test]
fn a_task_ends_once_and_only_while_somebody_waits_for_it() {
    play(TASKS, state, command);
}

#[test]
fn a_message_does_what_it_can_and_is_else_forgotten() {
    play(MESSAGES, state, command);
}

#[test]
fn a_turn_is_offered_whenever_there_is_news_and_nobody_has_it() {
    let offered = |name: &str| {
        let effects = outstanding(state(name).instance());
        effects.iter().any(|effect| matches!(effect, Effect::OfferTurn { .. }))
    };
    for name in ["pending", "any", "activity over", "child over", "fired", "renewed", "held replaced"] {
        assert!(offered(name), "{name}");
    }
    for name in ["held", "waiting", "waiting suspended", "held suspended", "ended", "granted", "held terminated"] {
        assert!(!offered(name), "{name}");
    }
    // News that came meanwhile wait for the end of the suspension.
    let suspended = then(state("waiting suspended"), "activity ends");
    assert!(!suspended.instance().awaits_turn());
    let resumed = then(suspended, "resume");
    assert!(resumed.instance().awaits_turn() && resumed.instance().execution.status == Status::Running);
}

/// The end of each task looked at all others, so that many of them took their number squared.
#[test]
fn thousands_of_tasks_end_one_by_one() {
    const TASKS: i32 = 20_000;
    let mut world = state("held");
    let timer = |id| Action::CreateTimer { id, fire_at: world.now.wall + WAIT };
    let turn = turn(&world, (0..TASKS).map(timer).collect(), None);
    world.must(&Command::CompleteTurn(turn));
    world.pass(WAIT);
    let mut fired = 0;
    while world.instance().next_due().is_some_and(|due| due <= world.now.steady) {
        fired += world.must(&Command::Tick).events.len();
    }
    let turns = world.instance().turns.as_deref().expect("it is run in turns");
    assert_eq!((fired, turns.tasks().count(), turns.next_timer()), (TASKS as usize, 0, None));
}
