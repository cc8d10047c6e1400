//! The functions at work: each one a task on the runtime of whoever runs the worker.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{AbortHandle, Id, JoinError, JoinSet},
};

use super::{
    function::{Ending, Failure, Functions},
    holdings::Order,
    run::{Command, Run, Side, State},
};
use crate::proto::v1::Claim;

/// Requests of all functions that wait for the worker.
const COMMANDS_MAX: usize = 1_024;

/// All functions that run.
pub(super) struct Crew {
    functions: Arc<Functions>,
    runtime: Handle,
    tasks: JoinSet<Ending>,
    claims: HashMap<Id, Claim>,
    members: HashMap<Claim, Member>,
    commands: mpsc::Sender<Command>,
}

/// A function's task has ended.
pub(super) struct Ended {
    pub claim: Claim,
    /// None if it was dropped.
    pub ending: Option<Ending>,
    /// The last event that it took.
    pub taken: u64,
}

struct Member {
    run: Run,
    side: Side,
    task: AbortHandle,
}

// === impl Crew ===

impl Crew {
    /// The crew, and what its functions ask for.
    pub(super) fn new(functions: Arc<Functions>, runtime: Handle) -> (Crew, mpsc::Receiver<Command>) {
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let crew = Crew {
            functions,
            runtime,
            tasks: JoinSet::new(),
            claims: HashMap::new(),
            members: HashMap::new(),
            commands,
        };
        (crew, asked)
    }

    pub(super) fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start { claim, run, lease_end, suspended } => {
                self.start(claim, *run, State { cancelled: None, suspended, lease_end });
            }
            Order::Deliver { claim, event } => {
                let Some(member) = self.members.get(&claim) else { return };
                if let Err(mpsc::error::TrySendError::Full(event)) = member.side.events.try_send(event) {
                    // The server promises never to leave so many unconfirmed.
                    tracing::error!(run = ?member.run, event.sequence, "too many events wait; one is left to the next attempt");
                }
            }
            Order::Renewed { claim, lease_end } => {
                if let Some(member) = self.members.get(&claim) {
                    member.side.state.send_modify(|state| state.lease_end = lease_end);
                }
            }
            Order::Pace { claim, suspended } => {
                if let Some(member) = self.members.get(&claim) {
                    tracing::info!(run = ?member.run, suspended, "the run is to pause, or to go on");
                    member.side.state.send_modify(|state| state.suspended = suspended);
                }
            }
            Order::Cancel { claim, reason } => {
                if let Some(member) = self.members.get(&claim) {
                    tracing::info!(run = ?member.run, %reason, "the run is to stop");
                    member.side.state.send_modify(|state| state.cancelled = Some(reason));
                }
            }
            Order::Drop(claim) => {
                if let Some(member) = self.members.get(&claim) {
                    member.task.abort();
                }
            }
            Order::Complain(claim) => {
                if let Some(member) = self.members.get(&claim) {
                    tracing::error!(
                        run = ?member.run,
                        "the function blocks its thread and goes on although it may no longer run"
                    );
                }
            }
        }
    }

    /// The next function that ends; waits for ever while there is none.
    pub(super) async fn next_ended(&mut self) -> Ended {
        let Some(joined) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let claim = self.claims.remove(&id).expect("every task was entered when it was spawned");
        let member = self.members.remove(&claim);
        let taken = member.map_or(0, |member| member.run.taken());
        let ending = match joined {
            Ok((_, ending)) => Some(ending),
            Err(error) => error.try_into_panic().ok().map(|payload| Err(Failure::from_panic(&*payload))),
        };
        Ended { claim, ending, taken }
    }

    fn start(&mut self, claim: Claim, given: crate::proto::v1::Run, state: State) {
        let function = self.functions.get(&given.function_name).cloned();
        let (run, side) = Run::pair(given, claim.clone(), state, self.commands.clone());
        let given = run.clone();
        let work = async move {
            match function {
                Some(function) => function(given).await,
                None => Err(Failure::new("UnknownFunction", "this worker does not serve that function")),
            }
        };
        let task = self.tasks.spawn_on(work, &self.runtime);
        self.claims.insert(task.id(), claim.clone());
        self.members.insert(claim, Member { run, side, task });
    }
}
