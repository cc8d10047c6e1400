//! What workers say and are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tonic::Status;

use super::{
    instance::shown,
    requests::{names, payload},
    violations::Violations,
};
use crate::{
    core::{
        command::{Report, ReportBody},
        effect::Run,
        ids::{ClaimId, InstanceId, InstanceKey, Name, Revision, TaskHub},
        lease::{Cancellation, Proof},
        limits,
        status::Failure,
    },
    engine::workers::StopReason,
    grpc::Door,
    proto::v1::{self, work_request::Message},
    store::record::InboxEvent,
};

/// How a worker introduces itself.
pub struct Registration {
    pub worker: Name,
    pub functions: Vec<Name>,
    pub max_runs: u32,
    pub held: BTreeMap<Proof, InstanceKey>,
}

/// What a worker says once it is registered.
pub enum Said {
    Heartbeat(Vec<(InstanceKey, Proof)>),
    /// A report, with the claim as it was given.
    Report(InstanceKey, Report),
    /// A second Register, or nothing that this server knows.
    OutOfTurn,
    /// A report that breaks a rule: which claim, and what is wrong.
    Invalid(v1::Claim, String),
}

pub fn registration(hub: &TaskHub, register: &v1::Register) -> Result<Registration, Status> {
    let mut wrong = Violations::default();
    let worker = wrong.name("register.worker_name", &register.worker_name);
    let count = register.functions.len();
    if !(1..=limits::WORKER_FUNCTIONS_MAX).contains(&count) {
        let allowed = format!("must be 1 to {} names", limits::WORKER_FUNCTIONS_MAX);
        wrong.add("register.functions", allowed, &count.to_string());
    }
    if !(1..=limits::WORKER_RUNS_MAX).contains(&register.max_runs) {
        let allowed = format!("must be 1 to {}", limits::WORKER_RUNS_MAX);
        wrong.add("register.max_runs", allowed, &register.max_runs.to_string());
    }
    let functions: BTreeSet<Name> = names(&mut wrong, "register.functions", &register.functions).into_iter().collect();
    let held = claims(&mut wrong, "register.held", hub, &register.held);
    let worker = wrong.finish(worker)?;
    let held = held.into_iter().map(|(key, proof)| (proof, key)).collect();
    Ok(Registration { worker, functions: functions.into_iter().collect(), max_runs: register.max_runs, held })
}

/// What a message of a registered worker means.
pub fn said(door: &Door, hub: &TaskHub, message: Option<Message>) -> Said {
    let max = door.payload_bytes_max;
    let mut wrong = Violations::default();
    let (claim, body) = match message {
        None | Some(Message::Register(_)) => return Said::OutOfTurn,
        Some(Message::Heartbeat(heartbeat)) => {
            let claims = claims(&mut wrong, "heartbeat.claims", hub, &heartbeat.claims);
            return match wrong.summary() {
                None => Said::Heartbeat(claims),
                Some(what) => Said::Invalid(v1::Claim::default(), what),
            };
        }
        Some(Message::Accept(m)) => (m.claim, ReportBody::Accept),
        Some(Message::Progress(m)) => {
            payload(&mut wrong, "progress.custom_status", m.custom_status.as_deref(), max);
            (m.claim, ReportBody::Progress { custom_status: m.custom_status.map(Arc::from) })
        }
        Some(Message::EventsAcked(m)) => (m.claim, ReportBody::EventsAcked { through: m.sequence }),
        Some(Message::Completed(m)) => {
            payload(&mut wrong, "completed.output", m.output.as_deref(), max);
            (m.claim, ReportBody::Completed { output: m.output.map(Arc::from) })
        }
        Some(Message::Failed(m)) => {
            (m.claim, ReportBody::Failed { failure: failure(&mut wrong, m.failure.unwrap_or_default()) })
        }
        Some(Message::ContinueAsNew(m)) => {
            payload(&mut wrong, "continue_as_new.input", m.input.as_deref(), max);
            let execution = door.engine.draw_execution_id();
            (m.claim, ReportBody::ContinueAsNew { input: m.input.map(Arc::from), execution })
        }
        Some(Message::Stopped(m)) => (m.claim, ReportBody::Stopped),
    };
    let claim = claim.unwrap_or_default();
    let parsed = parse_claim(&mut wrong, "claim", hub, &claim);
    match (wrong.summary(), parsed) {
        (None, Some((key, proof))) => Said::Report(key, Report { proof, body }),
        (what, _) => Said::Invalid(claim, what.unwrap_or_default()),
    }
}

fn failure(wrong: &mut Violations, failure: v1::Failure) -> Failure {
    wrong.name("failed.failure.error_type", &failure.error_type);
    wrong.check_bytes("failed.failure.message", &failure.message, limits::FAILURE_MESSAGE_BYTES_MAX);
    wrong.check_bytes("failed.failure.details", &failure.details, limits::FAILURE_DETAILS_BYTES_MAX);
    Failure {
        error_type: failure.error_type,
        message: failure.message,
        details: failure.details,
        non_retriable: failure.non_retriable,
        origin: None,
    }
}

fn claims(wrong: &mut Violations, field: &str, hub: &TaskHub, claims: &[v1::Claim]) -> Vec<(InstanceKey, Proof)> {
    let max = limits::WORKER_RUNS_MAX as usize;
    if claims.len() > max {
        wrong.add(field, format!("must be at most {max} claims"), &claims.len().to_string());
        return Vec::new();
    }
    let claims = claims.iter().enumerate();
    claims.filter_map(|(index, claim)| parse_claim(wrong, &format!("{field}[{index}]"), hub, claim)).collect()
}

fn parse_claim(wrong: &mut Violations, field: &str, hub: &TaskHub, claim: &v1::Claim) -> Option<(InstanceKey, Proof)> {
    let id = wrong.parse(&format!("{field}.instance_id"), &claim.instance_id, InstanceId::parse);
    let secret = <[u8; 16]>::try_from(claim.claim_id.as_slice());
    if secret.is_err() {
        let given = format!("{} bytes", claim.claim_id.len());
        wrong.add(&format!("{field}.claim_id"), "must be the 16 bytes of the grant", &given);
    }
    let proof = Proof { token: Revision(claim.fencing_token), claim: ClaimId(secret.ok()?) };
    Some((InstanceKey::new(hub, &id?), proof))
}

pub fn claim(key: &InstanceKey, proof: Proof) -> v1::Claim {
    v1::Claim { instance_id: key.id().into(), fencing_token: proof.token.0, claim_id: proof.claim.0.to_vec() }
}

pub fn run(key: &InstanceKey, run: &Run, input: Option<String>) -> v1::Run {
    v1::Run {
        claim: Some(claim(key, run.proof)),
        execution_id: run.execution.to_string(),
        function_name: run.spec.function.to_string(),
        version: run.spec.version().into(),
        input,
        attempt: run.attempt,
        tags: run.spec.tags.clone().into_iter().collect(),
        deadline: run.deadline.map(shown),
    }
}

pub fn event(key: &InstanceKey, proof: Proof, event: InboxEvent) -> v1::Event {
    v1::Event {
        claim: Some(claim(key, proof)),
        sequence: event.sequence,
        name: event.name,
        input: event.input,
        raised_at: Some(shown(event.raised_at)),
    }
}

pub fn pace(claim: v1::Claim, suspended: bool) -> v1::work_response::Message {
    if suspended {
        v1::work_response::Message::Suspend(v1::Suspend { claim: Some(claim) })
    } else {
        v1::work_response::Message::Resume(v1::Resume { claim: Some(claim) })
    }
}

pub fn cancel(claim: v1::Claim, why: StopReason, sequence: u64) -> v1::Cancel {
    let (reason, message) = match why {
        StopReason::Cancelled(Cancellation::Terminated) => {
            (v1::CancelReason::Terminated, "the instance was terminated: stop the run and report Stopped")
        }
        StopReason::Cancelled(Cancellation::Replaced) => {
            (v1::CancelReason::Replaced, "the execution was replaced: stop the run and report Stopped")
        }
        StopReason::Cancelled(Cancellation::TimedOut) => {
            (v1::CancelReason::TimedOut, "run_timeout has passed: stop the run and report Stopped")
        }
        StopReason::LeaseLost => (v1::CancelReason::LeaseLost, "the lease is over: stop the run at once"),
        StopReason::Stale => (
            v1::CancelReason::StaleFencingToken,
            "STALE_FENCING_TOKEN: the report was not of the current lease and changed nothing; stop the run at once",
        ),
    };
    v1::Cancel { claim: Some(claim), reason: reason.into(), message: message.into(), sequence }
}
