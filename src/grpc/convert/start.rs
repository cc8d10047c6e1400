//! StartSingleton: what is asked for, and what became of it.

use std::sync::Arc;

use prost_types::{Duration, Timestamp as WireTimestamp};
use tonic::Status;

use super::{
    instance::{shown, to_wire},
    requests::{instance_key, payload, timestamp},
    violations::Violations,
};
use crate::{
    core::{
        command::{Signal, Start},
        ids::{InstanceKey, TaskHub},
        limits,
        policy::{ConflictPolicy, Replaceable, RetryPolicy, WorkerKind},
        request::{Digest, Outcome, Request},
        status::Spec,
        time::{Span, Timestamp},
    },
    engine::Started,
    grpc::Door,
    proto::v1,
};

/// The wait before the second attempt, where a retry policy says nothing of it.
const INITIAL_BACKOFF_DEFAULT: Span = Span::from_secs(1);
/// The longest wait, as a multiple of the first, where a retry policy says nothing of it.
const MAX_BACKOFF_FACTOR: f64 = 100.0;
const MULTIPLIER_DEFAULT: f64 = 2.0;

pub fn start(door: &Door, hub: &TaskHub, request: v1::StartSingletonRequest) -> Result<(InstanceKey, Start), Status> {
    let mut wrong = Violations::default();
    wrong.check_bytes("request_id", &request.request_id, limits::REQUEST_ID_BYTES_MAX);
    payload(&mut wrong, "input", request.input.as_deref(), door.payload_bytes_max);
    let key = instance_key(&mut wrong, hub, &request.instance_id);
    let conflict_policy = conflict_policy(&mut wrong, request.conflict_policy);
    let replaceable = replaceable(&mut wrong, request.replaceable_statuses.as_ref());
    let max_queue = max_queue(&mut wrong, request.max_queue, conflict_policy);
    let signal = signal(&mut wrong, request.signal_on_conflict.as_ref(), conflict_policy, door.payload_bytes_max);
    let spec = spec(&mut wrong, &request, door.engine.now());
    let (key, spec) = wrong.finish(key.zip(spec))?;
    let remembered = (!request.request_id.is_empty()).then(|| Request {
        id: request.request_id.clone(),
        digest: content(&request, &spec, conflict_policy, replaceable, max_queue),
        remember: door.engine.config().request_memory,
    });
    let start = Start {
        execution: door.engine.draw_execution_id(),
        spec: Arc::new(spec),
        input: request.input.map(Arc::from),
        conflict_policy,
        replaceable,
        max_queue,
        signal,
        request: remembered,
    };
    Ok((key, start))
}

/// Everything that a start asks for, as one number: the same request id must ask for the same.
///
/// It is kept on the disk, and a retry may reach a newer server: fixed for ever, so what is asked for in a new way is
/// added behind the rest, and only where it is asked for.
fn content(
    request: &v1::StartSingletonRequest,
    spec: &Spec,
    policy: ConflictPolicy,
    replaceable: Replaceable,
    max_queue: u32,
) -> u128 {
    let policy = match policy {
        ConflictPolicy::Fail => 1,
        ConflictPolicy::UseExisting => 2,
        ConflictPolicy::Replace => 3,
        ConflictPolicy::Queue => 4,
        ConflictPolicy::Coalesce => 5,
    };
    let worker_kind = match spec.worker_kind {
        WorkerKind::Any => 1,
        WorkerKind::Native => 2,
        WorkerKind::DurableTask => 3,
    };
    let Replaceable { pending: _, running: _, suspended: _, completed, failed, terminated } = replaceable;
    let RetryPolicy { max_attempts, initial_backoff, max_backoff, multiplier } = spec.retry;
    let span = |span: Option<Span>| span.map_or(-1, Span::as_micros).to_le_bytes();
    let mut digest = Digest::default();
    digest
        .part(spec.function.as_str().as_bytes())
        .optional(request.input.as_deref())
        .part(spec.version().as_bytes())
        .part(&[policy, worker_kind, completed.into(), failed.into(), terminated.into()])
        .part(&max_attempts.to_le_bytes())
        .part(&span(Some(initial_backoff)))
        .part(&span(Some(max_backoff)))
        .part(&multiplier.to_le_bytes())
        .part(&span(spec.start_deadline))
        .part(&span(spec.run_timeout));
    for (key, value) in &spec.tags {
        digest.part(key.as_bytes()).part(value.as_bytes());
    }
    // No tag's key is empty: what follows is none.
    if max_queue != limits::QUEUE_DEFAULT {
        digest.part(b"").part(b"max_queue").part(&max_queue.to_le_bytes());
    }
    if let Some(signal) = &request.signal_on_conflict {
        digest.part(b"").part(b"signal").part(signal.name.as_bytes()).optional(signal.input.as_deref());
    }
    if let Some(at) = spec.start_at {
        digest.part(b"").part(b"start_at").part(&at.as_micros().to_le_bytes());
    }
    digest.finish()
}

fn spec(wrong: &mut Violations, request: &v1::StartSingletonRequest, now: Timestamp) -> Option<Spec> {
    wrong.check_bytes("version", &request.version, limits::VERSION_BYTES_MAX);
    tags(wrong, "tags", &request.tags);
    let worker_kind = match v1::WorkerKind::try_from(request.worker_kind) {
        Ok(v1::WorkerKind::Unspecified | v1::WorkerKind::Any) => WorkerKind::Any,
        Ok(v1::WorkerKind::Native) => WorkerKind::Native,
        Ok(v1::WorkerKind::DurableTask) => WorkerKind::DurableTask,
        Err(_) => {
            wrong.add(
                "worker_kind",
                "must be ANY (1), NATIVE (2) or DURABLE_TASK (3)",
                &request.worker_kind.to_string(),
            );
            WorkerKind::Any
        }
    };
    let retry = request.retry.as_ref().map_or(RetryPolicy::ONCE, |policy| retry(wrong, policy));
    let start_deadline = duration(wrong, "start_deadline", request.start_deadline, limits::DURATION_MIN);
    let run_timeout = duration(wrong, "run_timeout", request.run_timeout, limits::DURATION_MIN);
    let start_at = start_at(wrong, request.start_at, now);
    let function = wrong.name("function_name", &request.function_name)?;
    let tags = request.tags.clone().into_iter().collect();
    let version = Some(request.version.clone()).filter(|version| !version.is_empty());
    Some(Spec {
        function,
        version,
        tags,
        worker_kind,
        retry,
        start_deadline,
        run_timeout,
        start_at,
        parent: None,
        trace: None,
    })
}

fn conflict_policy(wrong: &mut Violations, policy: i32) -> ConflictPolicy {
    match v1::ConflictPolicy::try_from(policy) {
        Ok(v1::ConflictPolicy::Unspecified | v1::ConflictPolicy::Fail) => ConflictPolicy::Fail,
        Ok(v1::ConflictPolicy::UseExisting) => ConflictPolicy::UseExisting,
        Ok(v1::ConflictPolicy::Replace) => ConflictPolicy::Replace,
        Ok(v1::ConflictPolicy::Queue) => ConflictPolicy::Queue,
        Ok(v1::ConflictPolicy::Coalesce) => ConflictPolicy::Coalesce,
        Err(_) => {
            let allowed = "must be FAIL (1), USE_EXISTING (2), REPLACE (3), QUEUE (4) or COALESCE (5)";
            wrong.add("conflict_policy", allowed, &policy.to_string());
            ConflictPolicy::Fail
        }
    }
}

fn max_queue(wrong: &mut Violations, max: u32, policy: ConflictPolicy) -> u32 {
    let queues = matches!(policy, ConflictPolicy::Queue | ConflictPolicy::Coalesce);
    if max > 0 && !queues {
        wrong.add("max_queue", "goes with the conflict policies QUEUE and COALESCE only", &max.to_string());
    }
    if max > limits::QUEUE_CEILING {
        let allowed = format!("must be 1 to {}, or 0 for {}", limits::QUEUE_CEILING, limits::QUEUE_DEFAULT);
        wrong.add("max_queue", allowed, &max.to_string());
    }
    if max == 0 { limits::QUEUE_DEFAULT } else { max }
}

fn signal(
    wrong: &mut Violations,
    signal: Option<&v1::SignalOnConflict>,
    policy: ConflictPolicy,
    payload_bytes_max: usize,
) -> Option<Signal> {
    let signal = signal?;
    if policy != ConflictPolicy::UseExisting {
        wrong.add("signal_on_conflict", "goes with the conflict policy USE_EXISTING only", &signal.name);
    }
    payload(wrong, "signal_on_conflict.input", signal.input.as_deref(), payload_bytes_max);
    let name = wrong.name("signal_on_conflict.name", &signal.name)?;
    Some(Signal { name, input: signal.input.as_deref().map(Arc::from) })
}

fn start_at(wrong: &mut Violations, at: Option<WireTimestamp>, now: Timestamp) -> Option<Timestamp> {
    let at = timestamp(wrong, "start_at", at)?;
    if at > now + limits::DURATION_MAX {
        wrong.add("start_at", "must be at most 365 days ahead", &shown(at).to_string());
    }
    Some(at)
}

fn replaceable(wrong: &mut Violations, statuses: Option<&v1::ReplaceableStatuses>) -> Replaceable {
    let Some(list) = statuses else { return Replaceable::ALL };
    // What REPLACE does to a live one is not theirs to say.
    let mut replaceable = Replaceable::LIVE;
    for (index, status) in list.statuses.iter().enumerate() {
        match v1::RuntimeStatus::try_from(*status) {
            Ok(v1::RuntimeStatus::Completed) => replaceable.completed = true,
            Ok(v1::RuntimeStatus::Failed) => replaceable.failed = true,
            Ok(v1::RuntimeStatus::Terminated) => replaceable.terminated = true,
            Ok(
                v1::RuntimeStatus::Unspecified
                | v1::RuntimeStatus::Pending
                | v1::RuntimeStatus::Running
                | v1::RuntimeStatus::Suspended,
            )
            | Err(_) => {
                let field = format!("replaceable_statuses.statuses[{index}]");
                wrong.add(&field, "must be COMPLETED (4), FAILED (5) or TERMINATED (6)", &status.to_string());
            }
        }
    }
    replaceable
}

fn retry(wrong: &mut Violations, policy: &v1::RetryPolicy) -> RetryPolicy {
    let allowed = format!("must be 0 to {}", limits::ATTEMPTS_MAX);
    if policy.max_attempts > limits::ATTEMPTS_MAX {
        wrong.add("retry.max_attempts", allowed, &policy.max_attempts.to_string());
    }
    let multiplier = if policy.multiplier == 0.0 { MULTIPLIER_DEFAULT } else { policy.multiplier };
    if !(1.0..=limits::BACKOFF_MULTIPLIER_MAX).contains(&multiplier) {
        let allowed = format!("must be 1 to {}, or 0 for {MULTIPLIER_DEFAULT}", limits::BACKOFF_MULTIPLIER_MAX);
        wrong.add("retry.multiplier", allowed, &policy.multiplier.to_string());
    }
    let initial_backoff = duration(wrong, "retry.initial_backoff", policy.initial_backoff, Span::ZERO);
    let initial_backoff = initial_backoff.unwrap_or(INITIAL_BACKOFF_DEFAULT);
    let max_backoff = duration(wrong, "retry.max_backoff", policy.max_backoff, Span::ZERO);
    let max_backoff =
        max_backoff.unwrap_or_else(|| initial_backoff.scale(MAX_BACKOFF_FACTOR).min(limits::DURATION_MAX));
    RetryPolicy { max_attempts: policy.max_attempts.max(1), initial_backoff, max_backoff, multiplier }
}

fn duration(wrong: &mut Violations, field: &str, duration: Option<Duration>, min: Span) -> Option<Span> {
    let given = duration?;
    let nanos = i128::from(given.seconds) * 1_000_000_000 + i128::from(given.nanos);
    let bounds = i128::from(min.as_micros()) * 1_000..=i128::from(limits::DURATION_MAX.as_micros()) * 1_000;
    if !bounds.contains(&nanos) || given.nanos.unsigned_abs() > 999_999_999 {
        let least = if min == Span::ZERO { "0 s" } else { "1 ms" };
        let shown = format!("{} s and {} ns", given.seconds, given.nanos);
        wrong.add(field, format!("must be {least} to 365 days"), &shown);
    }
    i64::try_from(nanos / 1_000).ok().map(Span::from_micros)
}

pub fn tags<'a>(wrong: &mut Violations, field: &str, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
    let mut sorted: Vec<_> = tags.into_iter().collect();
    sorted.sort();
    if sorted.len() > limits::TAGS_MAX {
        wrong.add(field, format!("must be at most {}", limits::TAGS_MAX), &sorted.len().to_string());
    }
    for (key, value) in sorted {
        if key.is_empty() || key.len() > limits::TAG_KEY_BYTES_MAX {
            wrong.add(field, format!("keys must have 1 to {} bytes", limits::TAG_KEY_BYTES_MAX), key);
        }
        if value.len() > limits::TAG_VALUE_BYTES_MAX {
            wrong.add(field, format!("values must have at most {} bytes", limits::TAG_VALUE_BYTES_MAX), value);
        }
    }
}

pub fn started(started: Started) -> v1::StartSingletonResponse {
    let outcome = match started.outcome {
        Outcome::Started => v1::StartOutcome::Started,
        Outcome::Joined => v1::StartOutcome::Joined,
        Outcome::Replaced => v1::StartOutcome::Replaced,
        Outcome::Queued => v1::StartOutcome::Queued,
        Outcome::Coalesced => v1::StartOutcome::Coalesced,
    };
    let (outcome, first_outcome) = if started.deduplicated {
        (v1::StartOutcome::Deduplicated, outcome)
    } else {
        (outcome, v1::StartOutcome::Unspecified)
    };
    v1::StartSingletonResponse {
        outcome: outcome.into(),
        first_outcome: first_outcome.into(),
        execution_id: started.execution.to_string(),
        queue_position: started.queue_position,
        status: (!started.status.view.purged).then(|| to_wire(started.status, None)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Changing any of these would have a retry over an upgrade refused as another request.
    #[test]
    fn digests_are_pinned() {
        let digest = |request: v1::StartSingletonRequest| {
            let mut wrong = Violations::default();
            let policy = conflict_policy(&mut wrong, request.conflict_policy);
            let replaceable = replaceable(&mut wrong, request.replaceable_statuses.as_ref());
            let spec = spec(&mut wrong, &request, Timestamp::from_micros(0));
            let max_queue = max_queue(&mut wrong, request.max_queue, policy);
            let spec = wrong.finish(spec).expect("a valid request");
            content(&request, &spec, policy, replaceable, max_queue)
        };
        let plain = v1::StartSingletonRequest { function_name: "f".into(), ..Default::default() };
        let all = v1::StartSingletonRequest {
            input: Some("in".into()),
            version: "2".into(),
            conflict_policy: v1::ConflictPolicy::Replace.into(),
            worker_kind: v1::WorkerKind::Native.into(),
            replaceable_statuses: Some(v1::ReplaceableStatuses { statuses: vec![v1::RuntimeStatus::Failed.into()] }),
            retry: Some(v1::RetryPolicy { max_attempts: 3, multiplier: 1.5, ..Default::default() }),
            start_deadline: Some(Duration { seconds: 5, nanos: 0 }),
            run_timeout: Some(Duration { seconds: 7, nanos: 0 }),
            tags: HashMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
            ..plain.clone()
        };
        let later = v1::StartSingletonRequest {
            conflict_policy: v1::ConflictPolicy::Queue.into(),
            max_queue: 3,
            signal_on_conflict: Some(v1::SignalOnConflict { name: "n".into(), input: Some("in".into()) }),
            start_at: Some(WireTimestamp { seconds: 7, nanos: 1_000 }),
            ..plain.clone()
        };
        let golden = [
            185_473_542_121_761_664_957_261_457_639_991_099_754,
            133_005_010_112_695_731_560_459_191_119_867_214_959,
            172_268_131_036_978_275_789_227_517_786_241_769_048,
        ];
        assert_eq!([digest(plain), digest(all), digest(later)], golden);
    }
}
