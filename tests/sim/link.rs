//! The stream between a worker and the server, and the server's end of it: what `grpc/work` does, over the engine's
//! face for workers.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use soloist::{
    core::{
        command::{Report, ReportBody},
        effect::Run,
        ids::{InstanceKey, Name, TaskHub},
        lease::{NotHeld, Proof},
        rejection::Rejection,
    },
    engine::{
        Connection, Engine, Refusal,
        workers::{Mail, Session},
    },
};

use crate::{
    stage::{Line, SECOND, Stage},
    world::World,
};

pub enum ToWorker {
    Registered {
        continued: Vec<(InstanceKey, Proof)>,
    },
    Run(InstanceKey, Box<Run>),
    Event(Proof, u64),
    /// Whether to pause.
    Pace(Proof, bool),
    Cancel(Proof),
    HeartbeatAcked {
        sequence: u64,
        renewed: Vec<Proof>,
    },
    /// The answer to a report.
    Accepted {
        sequence: u64,
    },
    Refused {
        sequence: u64,
        stop: bool,
    },
    /// The server's end is gone.
    Closed,
}

pub enum ToServer {
    Heartbeat { sequence: u64, claims: Vec<(InstanceKey, Proof)> },
    Report { sequence: u64, key: InstanceKey, proof: Proof, body: ReportBody },
}

/// One stream.
pub struct Link {
    pub down: Line<ToWorker>,
    pub up: Line<ToServer>,
    /// The worker has left it; the server finds out at that time.
    left_at: Cell<i64>,
}

/// How a worker introduces itself.
pub struct Register {
    pub worker: Name,
    pub functions: Vec<Name>,
    pub max_runs: u32,
    pub held: BTreeMap<Proof, InstanceKey>,
}

/// A run on its way to the worker: taken back if it does not get there.
struct OnItsWay<'a> {
    engine: &'a Engine,
    key: InstanceKey,
    proof: Proof,
    left: bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.engine.take_back(&self.key, self.proof);
        }
    }
}

impl Link {
    pub fn new(stage: &Stage) -> Rc<Link> {
        Rc::new(Link { down: Line::new(stage), up: Line::new(stage), left_at: Cell::new(i64::MAX) })
    }

    /// The worker leaves; it may take a while until the server finds out.
    pub fn leave(&self, world: &World) {
        let late = if world.dice.percent(30) { world.dice.between(0, 30 * SECOND) } else { world.house.delay() };
        self.left_at.set(world.stage.now() + late);
        world.stage.wake_all();
    }

    fn is_left(&self) -> bool {
        self.left_at.get() < i64::MAX
    }

    fn say(&self, world: &World, what: ToWorker) {
        if !self.is_left() {
            self.down.say(what, world.house.delay());
        }
    }
}

/// The server's end, until the worker leaves or the server goes down.
pub async fn serve(world: Rc<World>, link: Rc<Link>, register: Register) {
    let house = &world.house;
    let boot = house.boot();
    if let Some(engine) = house.engine() {
        let served = house.while_up(boot, i64::MAX, until_left(&world, &link, work(&world, &engine, &link, register)));
        if let Some(Some(Err(refusal))) = served.await {
            match refusal {
                Refusal::Unavailable(_) | Refusal::OutcomeUnknown(_) => {}
                other => world.witness().object(format!("a worker was refused: {other}")),
            }
        }
    }
    link.say(&world, ToWorker::Closed);
}

/// Awaits it, unless the server finds out before that the worker has left.
async fn until_left<T>(world: &World, link: &Link, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if world.stage.now() >= link.left_at.get() {
            return std::task::Poll::Ready(None);
        }
        if link.is_left() {
            world.stage.alarm(None, link.left_at.get(), cx.waker().clone());
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn work(world: &Rc<World>, engine: &Engine, link: &Rc<Link>, register: Register) -> Result<(), Refusal> {
    let Register { worker, functions, max_runs, held } = register;
    let connected = engine.connect(TaskHub::default(), worker, functions, max_runs, held).await?;
    link.say(world, ToWorker::Registered { continued: connected.continued.clone() });
    for (_, proof) in &connected.lost {
        link.say(world, ToWorker::Cancel(*proof));
    }
    let connection: Connection = connected.connection;
    let listen = listen(world, engine, link, &connection.session);
    let speak = speak(world, engine, link, &connection.session);
    both(listen, speak).await
}

/// Polls both, the first one first, until one is done.
async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(done),
        std::task::Poll::Pending => other.as_mut().poll(cx),
    })
    .await
}

async fn listen(world: &Rc<World>, engine: &Engine, link: &Rc<Link>, session: &Session) -> Result<(), Refusal> {
    loop {
        let Some(said) = link.up.hear(i64::MAX).await else { return Ok(()) };
        engine.heard(session);
        match said {
            ToServer::Heartbeat { sequence, claims } => renew(world, engine, link, sequence, claims),
            ToServer::Report { sequence, key, proof, body } => {
                let answer = engine.report(key, Report { proof, body });
                let (world, link) = (world.clone(), link.clone());
                let boot = world.house.boot();
                world.clone().stage.spawn(async move {
                    let Some(answer) = world.house.while_up(boot, i64::MAX, answer).await else { return };
                    match answer {
                        Ok(()) => link.say(&world, ToWorker::Accepted { sequence }),
                        Err(Refusal::Rejected(rejection)) => {
                            let stop =
                                matches!(*rejection, Rejection::Cancelled(_) | Rejection::StaleFencingToken { .. });
                            link.say(&world, ToWorker::Refused { sequence, stop });
                        }
                        Err(_) => link.say(&world, ToWorker::Closed),
                    }
                });
            }
        }
    }
}

fn renew(world: &World, engine: &Engine, link: &Link, sequence: u64, claims: Vec<(InstanceKey, Proof)>) {
    let results: Vec<(Proof, Result<(), NotHeld>)> =
        claims.into_iter().map(|(key, proof)| (proof, engine.renew(&key, proof))).collect();
    let with = |wanted: fn(&Result<(), NotHeld>) -> bool| {
        let those = results.iter().filter(move |(_, result)| wanted(result));
        those.map(|(proof, _)| *proof).collect::<Vec<Proof>>()
    };
    link.say(world, ToWorker::HeartbeatAcked { sequence, renewed: with(|result| result.is_ok()) });
    for proof in with(|result| matches!(result, Err(NotHeld::Lost))) {
        link.say(world, ToWorker::Cancel(proof));
    }
}

async fn speak(world: &World, engine: &Engine, link: &Link, session: &Session) -> Result<(), Refusal> {
    loop {
        match session.next_mail().await {
            Mail::Run(key, run) => {
                let mut on_its_way = OnItsWay { engine, key, proof: run.proof, left: false };
                match engine.input_of(&run).await {
                    // A newer execution has taken its place.
                    Err(Refusal::Damaged(what)) => {
                        engine.give_up(&on_its_way.key, run.proof, "InputDamaged", what).await;
                        continue;
                    }
                    other => other?,
                };
                link.say(world, ToWorker::Run(on_its_way.key.clone(), Box::new(run)));
                on_its_way.left = true;
            }
            Mail::Events(claim) => loop {
                let events = engine.events_for(session, claim).await?;
                let (Some(held), false) = (session.held(claim), events.is_empty()) else { break };
                for event in events {
                    link.say(world, ToWorker::Event(held.proof, event.sequence));
                    session.events_sent(claim, event.sequence);
                }
            },
            Mail::Pace(claim) => {
                if let Some((_, proof, suspended)) = session.take_pace(claim) {
                    link.say(world, ToWorker::Pace(proof, suspended));
                }
            }
            Mail::Cancel(_, proof, _) => link.say(world, ToWorker::Cancel(proof)),
        }
    }
}
