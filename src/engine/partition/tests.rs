//! Rows over random lives: at every moment those that the state refers to, and none beside them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use proptest::{prelude::*, test_runner::FileFailurePersistence};

use super::*;
use crate::{
    core::{
        command::{
            Grant, Payload, Purge, RaiseEvent, Report, ReportBody, Restart, Resume, Signal, Start, Suspend, Target,
            Terminate,
        },
        ids::{ClaimId, ExecutionId, InstanceId, Name, TaskHub},
        limits,
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        queue::Queue,
        request::{Memory, Request},
        status::{Failure, Spec, Status, Told},
        time::{Span, Steady, Timestamp},
    },
    store::{RowKey, Table, record},
};

const TTL: Span = Span::from_secs(15);
const MEMORY: Span = Span::from_secs(24 * 3600);

/// What is asked, after some time.
#[derive(Clone, Debug)]
struct Step {
    lapse: Lapse,
    ask: Ask,
}

#[derive(Clone, Copy, Debug)]
enum Lapse {
    Short,
    UntilDue,
    UntilForgotten,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Start { policy: ConflictPolicy, input: bool, request: Option<u8>, signal: bool },
    Restart { request: Option<u8> },
    Raise,
    Suspend,
    Resume,
    Terminate,
    Withdraw(usize),
    Purge,
    Grant,
    Accept,
    Progress(bool),
    Acked(u64),
    Completed(bool),
    Failed(bool),
    Continue(bool),
    Stopped,
    Tick,
}

/// One instance of a partition, the rows that were written for it, and what they should say.
struct Life {
    key: InstanceKey,
    partition: Partition,
    now: Now,
    rows: BTreeMap<(Table, RowKey), Vec<u8>>,
    inputs: HashMap<ExecutionId, Option<Payload>>,
    drawn: u128,
}

impl Life {
    fn new() -> Life {
        let key = InstanceKey::new(&TaskHub::default(), &InstanceId::parse("i").expect("a valid id"));
        let claim = Claim {
            partition: PartitionId::of(&key),
            epoch: 1,
            sequence: 0,
            revision: Revision(100),
            restored: Revision(0),
        };
        Life {
            partition: Partition::new(claim, Arc::new(AtomicU64::new(1)), Arc::new(CommitQueue::default())),
            key,
            now: Now { wall: Timestamp::from_micros(1_000_000_000), steady: Steady::from_micros(1_000_000_000) },
            rows: BTreeMap::new(),
            inputs: HashMap::new(),
            drawn: 0,
        }
    }

    fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        self.drawn.to_be_bytes()
    }

    fn instance(&self) -> Option<Instance> {
        self.partition.inspect(&self.key, Instance::clone)
    }

    fn step(&mut self, step: &Step) {
        let due = self.instance().and_then(|instance| instance.next_due());
        let lapse = match step.lapse {
            Lapse::Short => Span::from_micros(1),
            Lapse::UntilDue => due.map_or(Span::ZERO, |due| due - self.now.steady),
            Lapse::UntilForgotten => MEMORY,
        };
        self.now = Now { wall: self.now.wall + lapse, steady: self.now.steady + lapse };
        let command = self.command(step.ask);
        let before = self.instance();
        let verdict = self.partition.submit(&self.key, &command, self.now, None);
        let (batch, changes) = self.partition.take_batch();
        for write in batch.writes {
            self.write(write);
        }
        if let Ok((answer, _)) = verdict.result {
            self.expect_input(&command, answer, before.as_ref());
        }
        check_last_news(&command, before.as_ref(), self.instance().as_ref(), &changes);
        self.check();
    }

    fn command(&mut self, ask: Ask) -> Command {
        let instance = self.instance();
        let lease = instance.as_ref().and_then(|instance| instance.lease.as_ref());
        let nobody = Proof { token: Revision(1), claim: ClaimId([255; 16]) };
        let proof = lease.map_or(nobody, |lease| lease.proof());
        let report = |body| Command::Report(Report { proof, body });
        let text = |some: bool, n: u128| some.then(|| Payload::from(format!("text {n}").as_str()));
        let request = |id: Option<u8>, digest| id.map(|id| Request { id: id.to_string(), digest, remember: MEMORY });
        let drawn = self.draw();
        let execution = ExecutionId(drawn);
        let n = self.drawn;
        let signalled = || Signal { name: name("e"), input: text(true, n) };
        match ask {
            Ask::Start { policy, input, request: id, signal } => Command::Start(Start {
                execution,
                spec: spec(),
                input: text(input, n),
                conflict_policy: policy,
                replaceable: Replaceable::ALL,
                max_queue: 3,
                signal: (signal && policy == ConflictPolicy::UseExisting).then(signalled),
                request: request(id, 1),
            }),
            Ask::Restart { request: id } => {
                Command::Restart(Restart { execution, expected_execution: None, request: request(id, 2) })
            }
            Ask::Raise => Command::RaiseEvent(RaiseEvent { signal: signalled(), expected_execution: None }),
            Ask::Suspend => Command::Suspend(Suspend { reason: "a pause".into(), expected_execution: None }),
            Ask::Resume => Command::Resume(Resume { reason: "go on".into(), expected_execution: None }),
            Ask::Terminate => Command::Terminate(Terminate {
                reason: "enough".into(),
                output: None,
                target: Target::Latest,
                recurse: false,
            }),
            Ask::Withdraw(nth) => {
                let waits = instance.as_ref().and_then(|instance| instance.queue.iter().nth(nth));
                let target = Target::Exactly(waits.map_or(execution, |start| start.execution));
                Command::Terminate(Terminate {
                    reason: "no longer wanted".into(),
                    output: None,
                    target,
                    recurse: false,
                })
            }
            Ask::Purge => Command::Purge(Purge { expected_execution: None, ended_before: None, remember: MEMORY }),
            Ask::Grant => {
                let execution = instance.as_ref().map_or(execution, |instance| instance.execution.id);
                Command::Grant(Grant { execution, claim: ClaimId(drawn), worker: name("w"), ttl: TTL })
            }
            Ask::Accept => report(ReportBody::Accept),
            Ask::Progress(some) => report(ReportBody::Progress { custom_status: text(some, n) }),
            Ask::Acked(through) => {
                let after = instance.as_ref().map_or(0, |instance| instance.inbox_after);
                report(ReportBody::EventsAcked { through: after + through })
            }
            Ask::Completed(some) => report(ReportBody::Completed { output: text(some, n) }),
            Ask::Failed(non_retriable) => report(ReportBody::Failed {
                failure: Failure { non_retriable, ..Failure::declared("Oops", "no".into()) },
            }),
            Ask::Continue(some) => report(ReportBody::ContinueAsNew { input: text(some, n), execution }),
            Ask::Stopped => report(ReportBody::Stopped),
            Ask::Tick => Command::Tick,
        }
    }

    /// With which input each execution is to run: the newest that was asked for under its id.
    fn expect_input(&mut self, command: &Command, answer: Answer, before: Option<&Instance>) {
        match (command, answer) {
            (Command::Start(start), Answer::Start { deduplicated: false, execution, outcome, .. })
                if outcome != crate::core::request::Outcome::Joined =>
            {
                self.inputs.insert(execution, start.input.clone());
            }
            (Command::Restart(_), Answer::Start { deduplicated: false, execution, .. }) => {
                let former = before.expect("only what was there is restarted").execution.id;
                self.inputs.insert(execution, self.inputs[&former].clone());
            }
            (Command::Report(Report { body: ReportBody::ContinueAsNew { input, execution }, .. }), _) => {
                self.inputs.insert(*execution, input.clone());
            }
            _ => {}
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Put { table, key, bytes } => {
                self.rows.insert((table, key), bytes);
            }
            Write::Delete { table, key } => {
                let there = self.rows.remove(&(table, key));
                assert!(there.is_some(), "only rows that are there are deleted: {table:?} {key:?}");
            }
            Write::DeleteThrough { table, key } => {
                self.rows.retain(|(of, row), _| *of != table || row.arrival != key.arrival || row.number > key.number)
            }
        }
    }

    fn numbers(&self, table: Table) -> BTreeSet<u64> {
        self.rows.keys().filter(|(of, _)| *of == table).map(|(_, key)| key.number).collect()
    }

    fn check(&self) {
        let Some(instance) = self.instance() else {
            assert_eq!(
                self.rows.keys().collect::<Vec<_>>(),
                [] as [&(Table, RowKey); 0],
                "nothing is left of what is forgotten"
            );
            return;
        };
        let arrivals: BTreeSet<Arrival> = self.rows.keys().map(|(_, key)| key.arrival).collect();
        assert_eq!(arrivals, BTreeSet::from([instance.arrival]));
        let execution = &instance.execution;
        let there = instance.is_there();
        let expect = |table, numbers: BTreeSet<u64>| {
            let numbers = if there { numbers } else { BTreeSet::new() };
            assert_eq!(self.numbers(table), numbers, "{table:?}");
        };
        assert_eq!(self.numbers(Table::Record), BTreeSet::from([0]));
        let payloads = [execution.input, execution.output, execution.custom_status].into_iter();
        let payloads = payloads.chain(instance.queue.iter().map(|start| start.input)).flatten();
        let payloads = payloads.chain(instance.former_outputs.into_iter().copied());
        expect(Table::Payload, payloads.map(|row| row.number()).collect());
        expect(Table::Event, (instance.inbox_after + 1..=instance.inbox_last).collect());
        expect(Table::Queue, instance.queue.iter().map(|start| start.ticket.0).collect());
        expect(Table::History, (1..=execution.history).collect());
        let kept = instance.sequence.saturating_sub(limits::TRANSITIONS_KEPT).max(1)..=instance.sequence;
        expect(Table::Transition, kept.filter(|_| instance.sequence > 1).collect());
        assert_eq!(self.read(), instance);
        if there {
            let current = (execution.id, execution.input);
            for (execution, row) in instance.queue.iter().map(|start| (start.execution, start.input)).chain([current]) {
                let found = row.map(|row| self.payload(instance.arrival, row));
                assert_eq!(found.as_deref(), self.inputs[&execution].as_deref(), "the input of {execution:?}");
            }
        }
    }

    fn payload(&self, arrival: Arrival, row: PayloadRow) -> String {
        let bytes = self.rows[&(Table::Payload, RowKey { arrival, number: row.number() })].clone();
        String::from_utf8(bytes).expect("a text")
    }

    /// The instance as its rows have it, but for when its lease ends.
    fn read(&self) -> Instance {
        let of =
            |table| self.rows.iter().filter(move |((of, _), _)| *of == table).map(|((_, key), bytes)| (key, bytes));
        let (key, bytes) = of(Table::Record).next().expect("a record");
        let record::Recovered { instance: mut read, .. } =
            record::decode_instance(key.arrival, bytes, self.now).expect("it was written so");
        let (mut memory, mut queue) = (Memory::default(), Queue::default());
        for (key, bytes) in of(Table::Request) {
            memory.remember(Revision(key.number), record::decode_request(bytes).expect("it was written so"));
        }
        for (key, bytes) in of(Table::Queue) {
            queue.push(record::decode_queued(Revision(key.number), bytes).expect("it was written so"));
        }
        let now = self.instance().and_then(|instance| instance.lease);
        if let (Some(read), Some(now)) = (&mut read.lease, now) {
            read.expires_at = now.expires_at;
        }
        Instance { memory, queue, ..read }
    }
}

/// Whoever watches what is withdrawn or purged is told of its end, and nobody else is.
fn check_last_news(command: &Command, before: Option<&Instance>, after: Option<&Instance>, changes: &[Change]) {
    let news = changes.iter().flat_map(|change| &change.effects).filter_map(|effect| match effect {
        Effect::Publish(news) if matches!(news.told, Told::Transition(_)) => None,
        Effect::Publish(news) => Some(&news.told),
        _ => None,
    });
    let news: Vec<&Told> = news.collect();
    let there = before.filter(|before| before.is_there());
    match (command, there) {
        (
            Command::Terminate(Terminate { reason, output: None, target: Target::Exactly(execution), recurse: false }),
            Some(before),
        ) if before.queue.position(*execution) > 0 => {
            let after = after.expect("what is queued is behind something");
            let [Told::Withdrawn(view)] = news.as_slice() else { panic!("{news:?}") };
            assert_eq!((view.execution.id, view.queue_position, view.revision), (*execution, 0, after.revision));
            assert_eq!(view.execution.status, Status::Terminated);
            assert_eq!(view.execution.termination_reason.as_ref(), Some(reason));
            assert_eq!(after.queue.position(*execution), 0);
        }
        (Command::Purge(_), Some(before)) if !before.execution.status.is_live() => {
            let [Told::Purged(last)] = news.as_slice() else { panic!("{news:?}") };
            assert_eq!((last.sequence, last.view.revision), (before.sequence, before.revision));
        }
        _ => assert_eq!(news, [] as [&Told; 0]),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a valid name")
}

fn spec() -> Arc<Spec> {
    Arc::new(Spec {
        function: name("f"),
        version: None,
        tags: BTreeMap::new(),
        worker_kind: WorkerKind::Any,
        retry: RetryPolicy { max_attempts: 2, ..RetryPolicy::ONCE },
        start_deadline: Some(Span::from_secs(100)),
        run_timeout: Some(Span::from_secs(1_000)),
        start_at: None,
        parent: None,
        trace: None,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lapse = prop_oneof![20 => Just(Lapse::Short), 3 => Just(Lapse::UntilDue), 1 => Just(Lapse::UntilForgotten)];
    let policy = prop_oneof![
        Just(ConflictPolicy::Fail),
        Just(ConflictPolicy::UseExisting),
        Just(ConflictPolicy::Replace),
        Just(ConflictPolicy::Queue),
        Just(ConflictPolicy::Queue),
        Just(ConflictPolicy::Coalesce),
    ];
    let id = || proptest::option::weighted(0.3, 0..20_u8);
    let start = (policy, any::<bool>(), id(), any::<bool>()).prop_map(|(policy, input, request, signal)| Ask::Start {
        policy,
        input,
        request,
        signal,
    });
    let ask = prop_oneof![
        8 => start,
        1 => id().prop_map(|request| Ask::Restart { request }),
        2 => Just(Ask::Raise),
        1 => Just(Ask::Suspend),
        1 => Just(Ask::Resume),
        1 => Just(Ask::Terminate),
        1 => (0..3_usize).prop_map(Ask::Withdraw),
        3 => Just(Ask::Purge),
        5 => Just(Ask::Grant),
        2 => Just(Ask::Accept),
        2 => any::<bool>().prop_map(Ask::Progress),
        1 => (0..4_u64).prop_map(Ask::Acked),
        2 => any::<bool>().prop_map(Ask::Completed),
        1 => any::<bool>().prop_map(Ask::Failed),
        1 => any::<bool>().prop_map(Ask::Continue),
        1 => Just(Ask::Stopped),
        2 => Just(Ask::Tick),
    ];
    proptest::collection::vec((lapse, ask).prop_map(|(lapse, ask)| Step { lapse, ask }), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 250,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_rows_are_what_the_state_refers_to(steps in steps()) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step);
        }
    }
}
