//! Executions that Durable Task workers run, turn by turn: what they wait for, and what instances tell each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    command::{Payload, Signal},
    ids::{ExecutionId, InstanceId, Name, Revision},
    status::{Failure, Spec},
    time::{Now, Steady, Timestamp},
};

/// One event of a Durable Task history, in that protocol's bytes.
pub type Note = Arc<[u8]>;

/// What an execution that is run in turns remembers between them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Turns {
    /// Whether its first turn is over.
    pub begun: bool,
    /// How many rows of history it had before it was known that it is run in turns. They are gone.
    pub history_base: u64,
    /// When its latest turn began, as its worker was told.
    pub last_began_at: Option<Timestamp>,
    /// What its worker wants to be reminded of for its traces.
    pub trace: Option<Arc<[u8]>>,
    /// What it has scheduled and not yet heard of, each by the revision that scheduled it; children also after their
    /// end.
    tasks: BTreeMap<Revision, Task>,
    /// Those of the tasks that are activities.
    activities: BTreeSet<Revision>,
    timers: BTreeSet<(Steady, Revision)>,
    /// Where each timer stands among them.
    moments: BTreeMap<Revision, Steady>,
}

/// Something that an orchestrator has scheduled.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The orchestrator's own number for it. Retries may use one again.
    pub id: i32,
    pub kind: TaskKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TaskKind {
    /// The row of history that schedules it holds the rest.
    Activity {
        name: Name,
        version: String,
        row: u64,
    },
    Timer {
        fire_at: Timestamp,
    },
    /// A sub-orchestration.
    Child {
        instance: InstanceId,
        ended: bool,
    },
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskOutcome {
    Completed { result: Option<Payload> },
    Failed { failure: Arc<Failure> },
    Fired,
}

/// The orchestration that a sub-orchestration reports to.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent {
    pub instance: InstanceId,
    pub execution: ExecutionId,
    pub function: Name,
    pub version: Option<String>,
    /// The parent's number for the task.
    pub task: i32,
}

/// What one instance tells another. It is durable with the change that sends it, and arrives exactly once.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub to: InstanceId,
    pub body: MessageBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MessageBody {
    /// Begin, as a sub-orchestration of the sender.
    Start { execution: ExecutionId, spec: Arc<Spec>, input: Option<Payload> },
    /// A sub-orchestration has ended, or could not begin.
    ChildEnded { execution: ExecutionId, task: i32, outcome: TaskOutcome },
    /// An external event, for this execution only if there is one.
    Raise { execution: Option<ExecutionId>, signal: Signal },
    /// End, and all sub-orchestrations too if `recurse`; for sub-orchestrations of this parent only if there is one.
    Terminate { parent: Option<(InstanceId, ExecutionId)>, output: Option<Payload>, recurse: bool },
}

impl Turns {
    /// Of an execution that has so many rows of history already.
    pub fn after(history_base: u64) -> Turns {
        Turns { history_base, ..Turns::default() }
    }

    /// What goes on under a new execution id.
    pub fn renewed(&self) -> Turns {
        Turns { last_began_at: self.last_began_at, ..Turns::default() }
    }

    /// The same, waiting for nothing: all that a turn is told of it.
    pub fn without_tasks(&self) -> Turns {
        let Turns { begun, history_base, last_began_at, .. } = *self;
        Turns { begun, history_base, last_began_at, trace: self.trace.clone(), ..Turns::default() }
    }

    pub fn schedule(&mut self, revision: Revision, task: Task, now: Now) {
        match task.kind {
            TaskKind::Activity { .. } => drop(self.activities.insert(revision)),
            TaskKind::Timer { fire_at } => self.arm(revision, now.moment_of(fire_at)),
            TaskKind::Child { .. } => {}
        }
        self.tasks.insert(revision, task);
    }

    fn arm(&mut self, timer: Revision, moment: Steady) {
        self.timers.insert((moment, timer));
        self.moments.insert(timer, moment);
    }

    /// Where the steady clock begins anew, the times of the timers are other moments.
    pub fn reschedule(&mut self, now: Now) {
        let moment = |(revision, task): (&Revision, &Task)| match task.kind {
            TaskKind::Timer { fire_at } => Some((*revision, now.moment_of(fire_at))),
            TaskKind::Activity { .. } | TaskKind::Child { .. } => None,
        };
        self.moments = self.tasks.iter().filter_map(moment).collect();
        self.timers = self.moments.iter().map(|(timer, moment)| (*moment, *timer)).collect();
    }

    /// It is over; a child is remembered, for whoever ends or deletes the whole family.
    pub fn task_ended(&mut self, revision: Revision) {
        match self.tasks.get_mut(&revision).map(|task| &mut task.kind) {
            Some(TaskKind::Child { ended, .. }) => *ended = true,
            Some(TaskKind::Activity { .. } | TaskKind::Timer { .. }) => {
                self.tasks.remove(&revision);
                self.activities.remove(&revision);
                if let Some(moment) = self.moments.remove(&revision) {
                    self.timers.remove(&(moment, revision));
                }
            }
            None => {}
        }
    }

    /// The execution is over: it waits for nothing any more.
    pub fn ended(&mut self) {
        self.tasks.retain(|_, task| matches!(task.kind, TaskKind::Child { .. }));
        (self.activities, self.timers) = (BTreeSet::new(), BTreeSet::new());
        self.moments = BTreeMap::new();
    }

    pub fn task(&self, revision: Revision) -> Option<&Task> {
        self.tasks.get(&revision)
    }

    pub fn tasks(&self) -> impl Iterator<Item = (Revision, &Task)> {
        self.tasks.iter().map(|(revision, task)| (*revision, task))
    }

    /// The activities that are not over.
    pub fn activities(&self) -> impl Iterator<Item = (Revision, &Task)> {
        self.activities.iter().filter_map(|revision| Some((*revision, self.tasks.get(revision)?)))
    }

    /// The child that a parent's number stands for, if it has not ended.
    pub fn child(&self, id: i32) -> Option<Revision> {
        let awaited = |task: &Task| task.id == id && matches!(task.kind, TaskKind::Child { ended: false, .. });
        self.tasks.iter().rev().find(|(_, task)| awaited(task)).map(|(revision, _)| *revision)
    }

    /// The instances that its sub-orchestrations have.
    pub fn children(&self) -> impl Iterator<Item = &InstanceId> {
        self.tasks.values().filter_map(|task| match &task.kind {
            TaskKind::Child { instance, .. } => Some(instance),
            TaskKind::Activity { .. } | TaskKind::Timer { .. } => None,
        })
    }

    pub fn next_timer(&self) -> Option<Steady> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The timers whose time has come, the earliest first.
    pub fn due_timers(&self, now: Steady) -> impl Iterator<Item = Revision> {
        self.timers.iter().take_while(move |(due, _)| *due <= now).map(|(_, revision)| *revision)
    }
}
