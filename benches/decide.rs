//! What the rules cost, without a store and a wire: one decision, and what it makes of an instance.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use divan::Bencher;
use soloist::core::{
    command::{Command, Start, Suspend},
    decide::{Found, decide},
    event::Event,
    ids::{Arrival, ExecutionId, InstanceId, InstanceKey, Name, Revision, TaskHub},
    instance::Instance,
    policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
    status::Spec,
    time::{Now, Span, Steady, Timestamp},
};

const NOW: Now = Now { wall: Timestamp::from_micros(1_000_000), steady: Steady::from_micros(1_000_000) };
const EXECUTION: ExecutionId = ExecutionId([7; 16]);

fn main() {
    divan::main();
}

fn spec() -> Arc<Spec> {
    Arc::new(Spec {
        function: Name::parse("nightly-report").expect("a name"),
        version: None,
        tags: BTreeMap::new(),
        worker_kind: WorkerKind::Any,
        retry: RetryPolicy { max_attempts: 1, initial_backoff: Span::ZERO, max_backoff: Span::ZERO, multiplier: 2.0 },
        start_deadline: None,
        run_timeout: None,
        start_at: None,
        parent: None,
        trace: None,
    })
}

fn key() -> InstanceKey {
    InstanceKey::new(&TaskHub::default(), &InstanceId::parse("report-2025-11-23").expect("an id"))
}

fn instance() -> Instance {
    Instance::create(Arrival(1), EXECUTION, &spec(), None, Revision(1), NOW)
}

fn start(conflict_policy: ConflictPolicy) -> Command {
    Command::Start(Start {
        execution: EXECUTION,
        spec: spec(),
        input: None,
        conflict_policy,
        replaceable: Replaceable::ALL,
        max_queue: 16,
        signal: None,
        request: None,
    })
}

/// The id is free.
#[divan::bench]
fn start_of_a_fresh_id(bencher: Bencher) {
    let (key, command) = (key(), start(ConflictPolicy::Fail));
    bencher.bench(|| decide(black_box(Found { key: &key, instance: None, now: NOW }), black_box(&command)));
}

/// The id is taken.
#[divan::bench(args = ["fail", "use-existing", "replace", "queue"])]
fn start_of_a_taken_id(bencher: Bencher, policy: &str) {
    let (key, instance) = (key(), instance());
    let command = start(match policy {
        "use-existing" => ConflictPolicy::UseExisting,
        "replace" => ConflictPolicy::Replace,
        "queue" => ConflictPolicy::Queue,
        _ => ConflictPolicy::Fail,
    });
    bencher.bench(|| decide(black_box(Found { key: &key, instance: Some(&instance), now: NOW }), black_box(&command)));
}

#[divan::bench]
fn suspend(bencher: Bencher) {
    let (key, instance) = (key(), instance());
    let command = Command::Suspend(Suspend { reason: "".into(), expected_execution: None });
    bencher.bench(|| decide(black_box(Found { key: &key, instance: Some(&instance), now: NOW }), black_box(&command)));
}

#[divan::bench]
fn create(bencher: Bencher) {
    let spec = spec();
    bencher.bench(|| Instance::create(Arrival(1), EXECUTION, black_box(&spec), None, Revision(1), NOW));
}

#[divan::bench]
fn apply(bencher: Bencher) {
    let suspended = Event::ExecutionSuspended { reason: "".into() };
    bencher.with_inputs(instance).bench_refs(|instance| instance.apply(black_box(&suspended), Revision(2), NOW));
}
