//! Workers: most of what they do is right, but they die, pause, lose their streams, answer late and twice, and lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use soloist::{
    checker::history::{Answer, Call, Report},
    core::{
        command::ReportBody,
        effect::Run,
        ids::{ClaimId, ExecutionId, InstanceKey, Name, Revision},
        lease::Proof,
        status::Failure,
    },
    entropy::Entropy,
};

use crate::{
    house::LEASE_TOLD,
    link::{Link, Register, ToServer, ToWorker, serve},
    stage::{MILLI, SECOND},
    witness::Called,
    world::{World, name},
};

const HEARTBEAT: i64 = 3 * SECOND;
/// How long a worker waits for an answer before it takes its stream for dead.
const SILENCE_MAX: i64 = 12 * SECOND;
/// Progress reports in a row: more than a watcher may fall behind.
const BURST: u64 = 80;

struct Worker {
    world: Rc<World>,
    name: Name,
    functions: Vec<Name>,
    max_runs: u32,
    runs: BTreeMap<ClaimId, Held>,
    link: Rc<Link>,
    sequence: u64,
    pending: BTreeMap<u64, Pending>,
    heartbeat_at: i64,
    heard_at: i64,
    /// When it knew that the server has its stream.
    registered_at: i64,
    /// Claims that it has no right to any more, to lie about.
    former: Vec<(InstanceKey, Proof)>,
}

/// A run that it has.
struct Held {
    key: InstanceKey,
    proof: Proof,
    execution: ExecutionId,
    phase: Phase,
    /// As it understands it.
    lease_end: i64,
    begun_at: i64,
    events: u64,
    /// It was told to pause, and not to go on since.
    is_paused: bool,
}

#[derive(Clone, PartialEq)]
enum Phase {
    Offered,
    Working {
        done_at: i64,
        says_at: i64,
    },
    /// Its final report is under way.
    Reported(Final),
    /// It no longer works on it, and the server has not confirmed that.
    Left,
}

#[derive(Clone, PartialEq)]
enum Final {
    Completed(u64),
    Failed { content: u64, non_retriable: bool },
    Continued(u64),
    Stopped,
}

/// A message that wants an answer.
struct Pending {
    claim: ClaimId,
    sent: i64,
    /// Absent for a lie: it must not be accepted.
    called: Option<Called>,
    what: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Accept,
    Renewal,
    Report,
    Final,
    /// The same final report again, after it was accepted.
    Again,
    Lie,
}

/// Why a stream is left.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Dies,
    Reconnects,
}

/// Works to the end of the play.
pub async fn worker(world: Rc<World>, number: u64) {
    let name = name(&format!("worker {number}"));
    let functions = match world.dice.below(4) {
        0 => vec![world.functions[0].clone()],
        _ => world.functions.clone(),
    };
    let mut worker = Worker {
        name,
        functions,
        max_runs: world.dice.between(1, 3) as u32,
        runs: BTreeMap::new(),
        link: Link::new(&world.stage),
        sequence: 0,
        pending: BTreeMap::new(),
        heartbeat_at: 0,
        heard_at: 0,
        registered_at: 0,
        former: Vec::new(),
        world,
    };
    worker.world.rest(10 * SECOND).await;
    loop {
        match worker.serve_one_stream().await {
            End::Dies => {
                worker.die();
                worker.world.rest(10 * SECOND).await;
            }
            End::Reconnects => worker.world.rest(SECOND).await,
        }
        worker.expire();
    }
}

impl Worker {
    async fn serve_one_stream(&mut self) -> End {
        let world = self.world.clone();
        if !world.house.is_up() {
            return End::Reconnects;
        }
        if world.calm.get() {
            self.functions = world.functions.clone();
        }
        world.stage.tell(|| format!("{} opens a stream", self.name));
        self.link = Link::new(&world.stage);
        self.register();
        let lives_until = if world.calm.get() || world.dice.percent(50) {
            i64::MAX
        } else {
            world.stage.now() + world.dice.between(0, 60 * SECOND)
        };
        let end = loop {
            let now = world.stage.now();
            if now >= lives_until {
                match world.dice.below(3) {
                    0 => break End::Dies,
                    1 => break End::Reconnects,
                    _ => {}
                }
                if !world.calm.get() {
                    // Paused: it does nothing, not even stop.
                    world.rest(30 * SECOND).await;
                }
                break End::Reconnects;
            }
            let serves_too_little = world.calm.get() && self.functions.len() < world.functions.len();
            if serves_too_little || now - self.heard_at > SILENCE_MAX {
                break End::Reconnects;
            }
            self.do_what_is_due();
            let until = self.next_moment().min(lives_until);
            match self.link.clone().down.hear(until).await {
                Some(ToWorker::Closed) => break End::Reconnects,
                Some(said) => self.hear(said),
                None => {}
            }
        };
        world.stage.tell(|| format!("{} leaves its stream", self.name));
        self.link.leave(&world);
        for (_, pending) in std::mem::take(&mut self.pending) {
            if let Some(called) = pending.called {
                world.witness().given_up(called);
            }
        }
        self.runs.retain(|_, held| held.phase != Phase::Offered);
        end
    }

    fn register(&mut self) {
        let world = &self.world;
        let now = world.stage.now();
        let held: BTreeMap<Proof, InstanceKey> =
            self.runs.values().filter(|held| held.phase != Phase::Left).map(|h| (h.proof, h.key.clone())).collect();
        for (place, (proof, key)) in held.iter().enumerate() {
            let called = self.call(key, *proof, Report::Return { lease: LEASE_TOLD.unsigned_abs() });
            // Registered answers all of them: they stand under numbers that no message has.
            let pending = Pending { claim: proof.claim, sent: now, called: Some(called), what: What::Renewal };
            self.pending.insert(u64::MAX - place as u64, pending);
        }
        let register =
            Register { worker: self.name.clone(), functions: self.functions.clone(), max_runs: self.max_runs, held };
        let (world, link) = (self.world.clone(), self.link.clone());
        let delay = world.house.delay();
        world.clone().stage.spawn(async move {
            world.stage.sleep(delay).await;
            serve(world, link, register).await;
        });
        // The new stream tells which runs are to pause.
        self.runs.values_mut().for_each(|held| held.is_paused = false);
        self.heartbeat_at = now + HEARTBEAT;
        self.heard_at = now;
        self.registered_at = i64::MAX;
    }

    /// The process is gone, and with it its work.
    fn die(&mut self) {
        for held in std::mem::take(&mut self.runs).into_values() {
            self.world.witness().stops(&held.key, held.proof.token.0);
        }
    }

    fn next_moment(&self) -> i64 {
        let of_run = |held: &Held| match &held.phase {
            Phase::Working { done_at, says_at } => held.lease_end.min(*done_at).min(*says_at),
            Phase::Offered | Phase::Reported(_) | Phase::Left => i64::MAX,
        };
        self.runs.values().map(of_run).chain([self.heartbeat_at, self.heard_at + SILENCE_MAX + 1]).min().unwrap_or(0)
    }

    fn do_what_is_due(&mut self) {
        let now = self.world.stage.now();
        self.expire();
        if now >= self.heartbeat_at {
            self.beat();
        }
        let working: Vec<(ClaimId, i64, i64)> = self
            .runs
            .iter()
            .filter_map(|(claim, held)| match held.phase {
                Phase::Working { done_at, says_at } => Some((*claim, done_at, says_at)),
                _ => None,
            })
            .collect();
        for (claim, done_at, says_at) in working {
            let held = &self.runs[&claim];
            let since = held.begun_at.max(self.registered_at);
            // Behind a slow flush there may be an end that is not durable yet: then events are rightly held back.
            if !self.world.house.is_slow() {
                self.world.witness().listens(&held.key, held.proof, since, held.events, held.is_paused);
            }
            if now >= done_at {
                self.finish(claim);
            } else if now >= says_at {
                self.progress(claim, done_at);
            }
        }
    }

    /// Stops what it has no lease for any more.
    fn expire(&mut self) {
        let now = self.world.stage.now();
        let over = |held: &Held| matches!(held.phase, Phase::Working { .. }) && now >= held.lease_end;
        let over: Vec<ClaimId> = self.runs.iter().filter(|(_, held)| over(held)).map(|(claim, _)| *claim).collect();
        for claim in over {
            match self.world.dice.below(3) {
                0 => self.finish(claim),
                1 => self.report_final(claim, Final::Stopped),
                _ => self.leave(claim),
            }
        }
    }

    fn leave(&mut self, claim: ClaimId) {
        if let Some(held) = self.runs.get_mut(&claim) {
            held.phase = Phase::Left;
            self.world.witness().stops(&held.key, held.proof.token.0);
            self.former.push((held.key.clone(), held.proof));
        }
    }

    fn beat(&mut self) {
        let now = self.world.stage.now();
        self.heartbeat_at = now + HEARTBEAT;
        let claims: Vec<(InstanceKey, Proof)> = self
            .runs
            .values()
            .filter(|held| matches!(held.phase, Phase::Working { .. } | Phase::Reported(_)))
            .map(|held| (held.key.clone(), held.proof))
            .collect();
        self.sequence += 1;
        let sequence = self.sequence;
        // One number for all: which of them were renewed, the answer says.
        for (place, (key, proof)) in claims.iter().enumerate() {
            let called = self.call(key, *proof, Report::Heartbeat { lease: LEASE_TOLD.unsigned_abs() });
            let pending = Pending { claim: proof.claim, sent: now, called: Some(called), what: What::Renewal };
            self.pending.insert(sequence + place as u64, pending);
        }
        self.sequence += claims.len() as u64;
        self.link.up.say(ToServer::Heartbeat { sequence, claims }, self.world.house.delay());
    }

    fn progress(&mut self, claim: ClaimId, done_at: i64) {
        let dice = self.world.dice.clone();
        let now = self.world.stage.now();
        let count = if dice.percent(3) && !self.world.calm.get() { BURST } else { 1 };
        for _ in 0..count {
            let custom_status = dice.percent(90).then(|| format!("{}", dice.below(100)).into());
            self.report(claim, What::Report, Report::Progress, ReportBody::Progress { custom_status });
        }
        if dice.percent(10) {
            self.lie();
        }
        if let Some(held) = self.runs.get_mut(&claim) {
            held.phase = Phase::Working { done_at, says_at: now + dice.between(10 * MILLI, 8 * SECOND) };
        }
    }

    /// Reports with a claim that it made up, or has lost.
    fn lie(&mut self) {
        let dice = &self.world.dice;
        let made_up = ClaimId(dice.sixteen_bytes());
        let held = self.runs.values().next().map(|held| (held.key.clone(), held.proof));
        let Some((key, proof)) = held else { return };
        let proof = match dice.below(3) {
            0 => Proof { claim: made_up, ..proof },
            1 => Proof { token: Revision(proof.token.0 + 1 + dice.below(3)), ..proof },
            _ => match self.former.last() {
                Some((former_key, former)) if *former_key == key && former.token != proof.token => {
                    Proof { claim: made_up, ..*former }
                }
                _ => return,
            },
        };
        self.sequence += 1;
        let pending = Pending { claim: proof.claim, sent: 0, called: None, what: What::Lie };
        self.pending.insert(self.sequence, pending);
        let body = ReportBody::Completed { output: Some("a lie".into()) };
        let report = ToServer::Report { sequence: self.sequence, key, proof, body };
        self.link.up.say(report, self.world.house.delay());
    }

    fn finish(&mut self, claim: ClaimId) {
        let dice = self.world.dice.clone();
        if dice.percent(30) {
            let custom_status = Some("nearly there".into());
            self.report(claim, What::Report, Report::Progress, ReportBody::Progress { custom_status });
        }
        let content = dice.below(1000);
        let end = match dice.below(20) {
            _ if self.world.calm.get() => Final::Completed(content),
            0..12 => Final::Completed(content),
            12..16 => Final::Failed { content, non_retriable: dice.percent(20) },
            16..18 => Final::Continued(content),
            _ => Final::Stopped,
        };
        self.report_final(claim, end);
    }

    fn report_final(&mut self, claim: ClaimId, end: Final) {
        let Some(held) = self.runs.get_mut(&claim) else { return };
        held.phase = Phase::Reported(end.clone());
        self.former.push((held.key.clone(), held.proof));
        self.world.witness().stops(&held.key, held.proof.token.0);
        let (said, body) = self.word(&end);
        self.report(claim, What::Final, said, body);
    }

    fn word(&self, end: &Final) -> (Report, ReportBody) {
        match *end {
            Final::Completed(content) => {
                (Report::Completed { content }, ReportBody::Completed { output: Some(content.to_string().into()) })
            }
            Final::Failed { content, non_retriable } => {
                let failure = Failure {
                    error_type: "Broken".into(),
                    message: content.to_string(),
                    details: String::new(),
                    non_retriable,
                    origin: None,
                };
                let content = content * 2 + u64::from(non_retriable);
                (Report::Failed { content }, ReportBody::Failed { failure })
            }
            Final::Continued(content) => {
                let execution = ExecutionId(self.world.dice.sixteen_bytes());
                let input: Option<Arc<str>> = Some(content.to_string().into());
                (Report::ContinueAsNew { content }, ReportBody::ContinueAsNew { input, execution })
            }
            Final::Stopped => (Report::Stopped, ReportBody::Stopped),
        }
    }

    fn report(&mut self, claim: ClaimId, what: What, said: Report, body: ReportBody) {
        let Some(held) = self.runs.get(&claim) else { return };
        let (key, proof) = (held.key.clone(), held.proof);
        self.report_of(key, proof, what, said, body);
    }

    fn report_of(&mut self, key: InstanceKey, proof: Proof, what: What, said: Report, body: ReportBody) {
        let called = self.call(&key, proof, said);
        self.sequence += 1;
        let pending = Pending { claim: proof.claim, sent: self.world.stage.now(), called: Some(called), what };
        self.pending.insert(self.sequence, pending);
        let report = ToServer::Report { sequence: self.sequence, key, proof, body };
        self.link.up.say(report, self.world.house.delay());
    }

    fn call(&self, key: &InstanceKey, proof: Proof, report: Report) -> Called {
        let call = Call::Report { token: proof.token.0, report };
        self.world.witness().called(key, self.name.as_str(), call)
    }

    fn hear(&mut self, said: ToWorker) {
        self.heard_at = self.world.stage.now();
        match said {
            ToWorker::Registered { continued } => self.registered(&continued),
            ToWorker::Run(key, run) => self.take(key, &run),
            ToWorker::Event(proof, number) => self.event(proof, number),
            ToWorker::Pace(proof, suspended) => self.pace(proof, suspended),
            ToWorker::Cancel(proof) => self.cancel(proof),
            ToWorker::HeartbeatAcked { sequence, renewed } => {
                let renewed: BTreeSet<ClaimId> = renewed.iter().map(|proof| proof.claim).collect();
                let answered = self.take_renewals(sequence);
                self.renew(answered, &renewed);
            }
            ToWorker::Accepted { sequence } => self.accepted(sequence),
            ToWorker::Refused { sequence, stop } => self.refused(sequence, stop),
            ToWorker::Closed => {}
        }
    }

    fn take_renewals(&mut self, sequence: u64) -> Vec<Pending> {
        let numbers = (sequence..)
            .take_while(|number| self.pending.get(number).is_some_and(|pending| pending.what == What::Renewal));
        let sent = self.pending.get(&sequence).map_or(0, |pending| pending.sent);
        let numbers: Vec<u64> = numbers.take_while(|number| self.pending[number].sent == sent).collect();
        numbers.iter().filter_map(|number| self.pending.remove(number)).collect()
    }

    fn renew(&mut self, answered: Vec<Pending>, renewed: &BTreeSet<ClaimId>) {
        for Pending { claim, sent, called, .. } in answered {
            let Some(called) = called else { continue };
            if !renewed.contains(&claim) {
                // The word of it comes by itself.
                self.world.witness().given_up(called);
                continue;
            }
            self.world.witness().answered(called, Answer::Accepted);
            if let Some(held) = self.runs.get_mut(&claim) {
                held.lease_end = held.lease_end.max(sent + LEASE_TOLD);
                if matches!(held.phase, Phase::Working { .. }) {
                    let token = held.proof.token.0;
                    self.world.witness().works(&held.key, self.name.as_str(), token, held.lease_end);
                }
            }
        }
    }

    fn registered(&mut self, continued: &[(InstanceKey, Proof)]) {
        let renewed: BTreeSet<ClaimId> = continued.iter().map(|(_, proof)| proof.claim).collect();
        self.registered_at = self.world.stage.now();
        let numbers: Vec<u64> = self.pending.range(u64::MAX / 2..).map(|(number, _)| *number).collect();
        let answered = numbers.iter().filter_map(|number| self.pending.remove(number)).collect();
        self.renew(answered, &renewed);
        // What was reported on a stream that is gone is reported again.
        let reported: Vec<(ClaimId, Final)> = self
            .runs
            .iter()
            .filter_map(|(claim, held)| match &held.phase {
                Phase::Reported(end) => Some((*claim, end.clone())),
                _ => None,
            })
            .collect();
        for (claim, end) in reported {
            let (said, body) = self.word(&end);
            self.report(claim, What::Final, said, body);
        }
    }

    fn take(&mut self, key: InstanceKey, run: &Run) {
        let world = self.world.clone();
        let (claim, token) = (run.proof.claim, run.proof.token.0);
        world.witness().received(&key, self.name.as_str(), run.execution, token, run.attempt);
        let held = Held {
            key,
            proof: run.proof,
            execution: run.execution,
            phase: Phase::Offered,
            lease_end: 0,
            begun_at: world.stage.now(),
            events: 0,
            is_paused: false,
        };
        self.runs.insert(claim, held);
        match world.dice.below(20) {
            0 if !world.calm.get() => self.report_final(claim, Final::Stopped),
            1 if !world.calm.get() => drop(self.runs.remove(&claim)),
            _ => self.report(
                claim,
                What::Accept,
                Report::Accept { lease: LEASE_TOLD.unsigned_abs() },
                ReportBody::Accept,
            ),
        }
    }

    fn event(&mut self, proof: Proof, number: u64) {
        self.world.stage.tell(|| format!("{} gets event {number} for token {}", self.name, proof.token));
        let Some(held) = self.runs.get_mut(&proof.claim) else { return };
        self.world.witness().delivered(&held.key, number, held.execution);
        if held.is_paused {
            let what = format!("{:?}: a worker got event {number} after it was told to pause", held.key);
            self.world.witness().object(what);
        }
        if number <= held.events {
            return;
        }
        if held.events > 0 && number != held.events + 1 {
            let what = format!("{:?}: a worker got event {number} after {}", held.key, held.events);
            self.world.witness().object(what);
        }
        held.events = number;
        if matches!(held.phase, Phase::Working { .. }) && self.world.dice.percent(80) {
            let body = ReportBody::EventsAcked { through: number };
            self.report(proof.claim, What::Report, Report::EventsAcked, body);
        }
    }

    /// It is told to pause, or to go on.
    fn pace(&mut self, proof: Proof, suspended: bool) {
        self.world.stage.tell(|| format!("{} is to pause token {}: {suspended}", self.name, proof.token));
        let Some(held) = self.runs.get_mut(&proof.claim) else { return };
        if held.is_paused == suspended {
            let what = format!("{:?}: a worker was told twice whether to pause: {suspended}", held.key);
            self.world.witness().object(what);
        }
        held.is_paused = suspended;
    }

    fn cancel(&mut self, proof: Proof) {
        self.world.stage.tell(|| format!("{} is to stop token {}", self.name, proof.token));
        let claim = proof.claim;
        let phase = self.runs.get(&claim).map(|held| held.phase.clone());
        match phase {
            Some(Phase::Offered | Phase::Working { .. }) => {
                if self.world.dice.percent(80) {
                    self.report_final(claim, Final::Stopped);
                } else {
                    self.leave(claim);
                }
            }
            Some(Phase::Reported(_) | Phase::Left) | None => {}
        }
    }

    fn accepted(&mut self, sequence: u64) {
        let Some(Pending { claim, sent, called, what }) = self.pending.remove(&sequence) else { return };
        let world = self.world.clone();
        match called {
            Some(called) => world.witness().answered(called, Answer::Accepted),
            None => world.witness().object(format!("{} lied and was believed", self.name)),
        }
        let Some(held) = self.runs.get_mut(&claim) else { return };
        match what {
            What::Accept if held.phase == Phase::Offered => {
                let now = world.stage.now();
                held.lease_end = sent + LEASE_TOLD;
                if now >= held.lease_end {
                    return self.leave(claim);
                }
                let longest = if world.calm.get() { SECOND } else { 25 * SECOND };
                let done_at = now + world.dice.between(0, longest);
                let says_at = now + world.dice.between(0, 10 * SECOND);
                held.phase = Phase::Working { done_at, says_at };
                world.witness().works(&held.key, self.name.as_str(), held.proof.token.0, held.lease_end);
            }
            What::Final | What::Again => {
                let Phase::Reported(end) = held.phase.clone() else { return };
                let (key, proof) = (held.key.clone(), held.proof);
                if world.dice.percent(20) && !world.calm.get() {
                    let (said, body) = self.word(&end);
                    self.report_of(key, proof, What::Again, said, body);
                } else {
                    self.runs.remove(&claim);
                }
            }
            What::Accept | What::Renewal | What::Report | What::Lie => {}
        }
    }

    fn refused(&mut self, sequence: u64, stop: bool) {
        let Some(Pending { claim, called, what, .. }) = self.pending.remove(&sequence) else { return };
        if let Some(called) = called {
            let answer = if stop { Answer::Cancelled } else { Answer::Refused };
            self.world.witness().answered(called, answer);
        }
        let Some(held) = self.runs.get(&claim) else { return };
        let (key, proof) = (held.key.clone(), held.proof);
        match what {
            What::Again => {
                self.runs.remove(&claim);
                if self.world.witness().newest_token(&key) == proof.token.0 {
                    let what = format!("{key:?}: the final report with token {} was forgotten", proof.token);
                    self.world.witness().object(what);
                }
            }
            What::Final => match &held.phase {
                // Cancelled meanwhile: it says that it has stopped.
                Phase::Reported(end) if *end != Final::Stopped => self.report_final(claim, Final::Stopped),
                _ => drop(self.runs.remove(&claim)),
            },
            What::Accept | What::Report if stop => self.cancel(proof),
            What::Accept | What::Report | What::Renewal | What::Lie => {}
        }
    }
}
