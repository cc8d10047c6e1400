//! Messages that can be read, whatever they say.
//!
//! The strategies are boxed: one in another by value, they would not fit on a test's stack.

use std::collections::HashMap;

use proptest::{collection, option, prelude::*};
use prost_types::{Duration, Timestamp};
use soloist::proto::v1::{
    self, ConflictPolicy, ReplaceableStatuses, RetryPolicy, SignalOnConflict, work_request::Message as Say,
};

/// Stands in a claim for the instance that the stream holds.
pub const HELD: &str = "held";

/// A few short ids, so that calls meet, and some that are none.
pub fn id() -> BoxedStrategy<String> {
    prop_oneof![8 => "[a-d]", 4 => Just(HELD.to_string()), 1 => ".{0,8}", 1 => "\\PC{0,300}", 1 => Just("@x".into())]
        .boxed()
}

fn name() -> BoxedStrategy<String> {
    prop_oneof![8 => "[f-h]", 1 => ".{0,8}", 1 => "\\PC{0,300}"].boxed()
}

fn payload() -> BoxedStrategy<Option<String>> {
    option::of(prop_oneof![8 => ".{0,16}", 1 => (0_usize..5000).prop_map(|length| "ü".repeat(length))]).boxed()
}

/// Known values, their neighbours, and the ends.
fn number() -> BoxedStrategy<i32> {
    prop_oneof![8 => -1..8_i32, 1 => any::<i32>(), 1 => Just(i32::MIN), 1 => Just(i32::MAX)].boxed()
}

fn big() -> BoxedStrategy<u64> {
    prop_oneof![4 => 0..200_u64, 1 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(i64::MAX as u64), 1 => Just(1 << 63)]
        .boxed()
}

fn duration() -> BoxedStrategy<Option<Duration>> {
    let seconds = prop_oneof![
        4 => 0..3_i64, 2 => Just(1_000_000), 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => -5..0_i64
    ];
    let nanos = prop_oneof![4 => 0..1_000_000_000_i32, 1 => any::<i32>(), 1 => Just(i32::MIN), 1 => Just(-1)];
    option::of((seconds, nanos).prop_map(|(seconds, nanos)| Duration { seconds, nanos })).boxed()
}

fn retry() -> BoxedStrategy<Option<RetryPolicy>> {
    let multiplier = prop_oneof![
        4 => 0.0..4.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-0.0), 1 => Just(f64::MIN_POSITIVE),
        1 => any::<f64>()
    ];
    let attempts = prop_oneof![4 => 0..5_u32, 1 => Just(1_000_000), 1 => any::<u32>()];
    let retry = (attempts, duration(), duration(), multiplier).prop_map(
        |(max_attempts, initial_backoff, max_backoff, multiplier)| RetryPolicy {
            max_attempts,
            initial_backoff,
            max_backoff,
            multiplier,
        },
    );
    option::of(retry).boxed()
}

fn tags() -> BoxedStrategy<HashMap<String, String>> {
    collection::hash_map(".{0,70}", ".{0,40}", 0..4).boxed()
}

fn execution() -> BoxedStrategy<String> {
    prop_oneof![4 => Just(String::new()), 1 => "[0-9a-f]{32}", 1 => ".{0,40}"].boxed()
}

fn time() -> BoxedStrategy<Option<Timestamp>> {
    let seconds =
        prop_oneof![4 => -3..3_i64, 2 => 1_700_000_000..4_000_000_000_i64, 1 => any::<i64>(), 1 => Just(i64::MIN)];
    let nanos = prop_oneof![4 => 0..1_000_000_000_i32, 1 => any::<i32>(), 1 => Just(-1)];
    option::weighted(0.2, (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })).boxed()
}

fn signal() -> BoxedStrategy<Option<SignalOnConflict>> {
    let signal = (name(), payload()).prop_map(|(name, input)| SignalOnConflict { name, input });
    option::weighted(0.2, signal).boxed()
}

/// Waits, coalesces, signals and schedules for the most part as may be; else anything.
pub fn start() -> BoxedStrategy<v1::StartSingletonRequest> {
    let what = (id(), name(), payload(), prop_oneof![4 => "[r-t]?", 1 => ".{0,140}"], number(), number());
    let statuses = option::of(collection::vec(number(), 0..4).prop_map(|statuses| ReplaceableStatuses { statuses }));
    let how = (statuses, duration(), duration(), retry(), ".{0,8}", tags());
    let max_queue = prop_oneof![4 => Just(0), 4 => 0..4_u32, 1 => 999..1_002_u32, 1 => any::<u32>()];
    let conflict = (max_queue, signal(), time(), prop::bool::weighted(0.8));
    (what, how, conflict)
        .prop_map(|(what, how, (mut max_queue, mut signal_on_conflict, start_at, fits))| {
            let (instance_id, function_name, input, request_id, conflict_policy, worker_kind) = what;
            if fits {
                let policy = ConflictPolicy::try_from(conflict_policy).unwrap_or_default();
                let queues = [ConflictPolicy::Queue, ConflictPolicy::Coalesce].contains(&policy);
                max_queue = if queues { max_queue } else { 0 };
                signal_on_conflict = signal_on_conflict.filter(|_| policy == ConflictPolicy::UseExisting);
            }
            let (replaceable_statuses, start_deadline, run_timeout, retry, version, tags) = how;
            v1::StartSingletonRequest {
                instance_id,
                function_name,
                input,
                request_id,
                conflict_policy,
                worker_kind,
                replaceable_statuses,
                start_deadline,
                run_timeout,
                retry,
                version,
                tags,
                max_queue,
                signal_on_conflict,
                start_at,
            }
        })
        .boxed()
}

pub fn get() -> BoxedStrategy<v1::GetStatusRequest> {
    (id(), execution(), any::<bool>())
        .prop_map(|(instance_id, execution_id, include_payloads)| v1::GetStatusRequest {
            instance_id,
            execution_id,
            include_payloads,
        })
        .boxed()
}

pub fn watch() -> BoxedStrategy<v1::WatchStatusRequest> {
    (id(), execution(), option::of(big()), any::<[bool; 3]>())
        .prop_map(|(instance_id, execution_id, from_revision, flags)| {
            let [until_terminal, wait_for_start, include_payloads] = flags;
            v1::WatchStatusRequest {
                instance_id,
                execution_id,
                from_revision,
                until_terminal,
                wait_for_start,
                include_payloads,
            }
        })
        .boxed()
}

pub fn raise() -> BoxedStrategy<v1::RaiseEventRequest> {
    (id(), name(), payload(), execution())
        .prop_map(|(instance_id, name, input, expected_execution_id)| v1::RaiseEventRequest {
            instance_id,
            name,
            input,
            expected_execution_id,
        })
        .boxed()
}

pub fn terminate() -> BoxedStrategy<v1::TerminateInstanceRequest> {
    let either = prop_oneof![4 => Just((true, false)), 4 => Just((false, true)), 1 => Just((true, true))];
    (id(), ".{0,40}", execution(), execution(), either)
        .prop_map(|(instance_id, reason, expected, exactly, (expects, names))| v1::TerminateInstanceRequest {
            instance_id,
            reason,
            expected_execution_id: if expects { expected } else { String::new() },
            execution_id: if names { exactly } else { String::new() },
        })
        .boxed()
}

pub fn suspend() -> BoxedStrategy<v1::SuspendInstanceRequest> {
    (id(), ".{0,40}", execution())
        .prop_map(|(instance_id, reason, expected_execution_id)| v1::SuspendInstanceRequest {
            instance_id,
            reason,
            expected_execution_id,
        })
        .boxed()
}

pub fn resume() -> BoxedStrategy<v1::ResumeInstanceRequest> {
    (id(), ".{0,40}", execution())
        .prop_map(|(instance_id, reason, expected_execution_id)| v1::ResumeInstanceRequest {
            instance_id,
            reason,
            expected_execution_id,
        })
        .boxed()
}

pub fn restart() -> BoxedStrategy<v1::RestartInstanceRequest> {
    (id(), prop_oneof![4 => "[r-t]?", 1 => ".{0,140}"], execution())
        .prop_map(|(instance_id, request_id, expected_execution_id)| v1::RestartInstanceRequest {
            instance_id,
            request_id,
            expected_execution_id,
        })
        .boxed()
}

pub fn purge() -> BoxedStrategy<v1::PurgeInstanceRequest> {
    (id(), execution())
        .prop_map(|(instance_id, expected_execution_id)| v1::PurgeInstanceRequest {
            instance_id,
            expected_execution_id,
        })
        .boxed()
}

fn claim() -> BoxedStrategy<v1::Claim> {
    let secret = prop_oneof![4 => collection::vec(any::<u8>(), 16), 1 => collection::vec(any::<u8>(), 0..40)];
    let other = (id(), big(), secret).prop_map(|(instance_id, fencing_token, claim_id)| v1::Claim {
        instance_id,
        fencing_token,
        claim_id,
    });
    let held = Just(v1::Claim { instance_id: HELD.into(), ..Default::default() });
    prop_oneof![2 => held, 1 => other].boxed()
}

/// What a worker may say, with `HELD` for the claim of the run that it was given.
pub fn said() -> BoxedStrategy<v1::WorkRequest> {
    let failure = option::of((".{0,8}", payload(), any::<bool>()).prop_map(|(error_type, text, non_retriable)| {
        let message = text.unwrap_or_default();
        v1::Failure { error_type, details: message.clone(), message, non_retriable }
    }));
    let one = || option::weighted(0.9, claim());
    let message = prop_oneof![
        1 => register().prop_map(Say::Register),
        4 => one().prop_map(|claim| Say::Accept(v1::Accept { claim })),
        4 => collection::vec(claim(), 0..5).prop_map(|claims| Say::Heartbeat(v1::Heartbeat { claims })),
        4 => (one(), payload()).prop_map(|(claim, custom_status)| Say::Progress(v1::Progress { claim, custom_status })),
        4 => (one(), big()).prop_map(|(claim, sequence)| Say::EventsAcked(v1::EventsAcked { claim, sequence })),
        1 => (one(), payload()).prop_map(|(claim, output)| Say::Completed(v1::Completed { claim, output })),
        2 => (one(), failure).prop_map(|(claim, failure)| Say::Failed(v1::Failed { claim, failure })),
        2 => (one(), payload()).prop_map(|(claim, input)| Say::ContinueAsNew(v1::ContinueAsNew { claim, input })),
        1 => one().prop_map(|claim| Say::Stopped(v1::Stopped { claim })),
    ];
    (big(), option::weighted(0.97, message))
        .prop_map(|(sequence, message)| v1::WorkRequest { sequence, message })
        .boxed()
}

pub fn register() -> BoxedStrategy<v1::Register> {
    let runs = prop_oneof![8 => 1..4_u32, 1 => any::<u32>(), 1 => Just(0)];
    (name(), collection::vec(name(), 0..4), runs, collection::vec(claim(), 0..4))
        .prop_map(|(worker_name, functions, max_runs, held)| v1::Register { worker_name, functions, max_runs, held })
        .boxed()
}
