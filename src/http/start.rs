//! Starts, and what the starter is told.

use axum::{extract::State, response::Response};

use super::{Asked, Face, Input, Problem, links::Links};
use crate::proto::v1::{self, ConflictPolicy, StartOutcome, orchestration_service_server::OrchestrationService};

pub async fn start(State(face): State<Face>, asked: Asked, input: Input) -> Result<Response, Problem> {
    let request_id = asked.request_id()?;
    let instance_id = match asked.part("instanceId") {
        Some(id) => id.to_owned(),
        None if request_id.is_empty() => face.orchestration.draw_instance_id(),
        None => {
            let why = "needs an instance id in the path: a retry would be given another one, and start once more";
            return Err(Problem::invalid("requestId", why));
        }
    };
    let request = v1::StartSingletonRequest {
        instance_id: instance_id.clone(),
        function_name: asked.part("functionName").unwrap_or_default().to_owned(),
        input: input.0,
        request_id,
        conflict_policy: conflict_policy(&asked)?.into(),
        ..Default::default()
    };
    let started = face.orchestration.start_singleton(asked.call(request)?).await?.into_inner();
    Ok(accepted(&asked, &instance_id, started.outcome(), &started.execution_id))
}

/// The check-status payload. Whoever's execution may not be the one that the id stands for is led to its own.
pub fn accepted(asked: &Asked, id: &str, outcome: StartOutcome, execution: &str) -> Response {
    let own = matches!(outcome, StartOutcome::Queued | StartOutcome::Coalesced | StartOutcome::Deduplicated);
    let outcome = outcome.as_str_name().trim_start_matches("START_OUTCOME_");
    Links::new(asked, id, own.then_some(execution)).accepted(outcome, execution)
}

fn conflict_policy(asked: &Asked) -> Result<ConflictPolicy, Problem> {
    let Some(text) = asked.query.one("conflictPolicy")? else { return Ok(ConflictPolicy::Unspecified) };
    let name = format!("CONFLICT_POLICY_{}", text.to_ascii_uppercase().replace('-', "_"));
    let policy = ConflictPolicy::from_str_name(&name).filter(|policy| *policy != ConflictPolicy::Unspecified);
    policy.ok_or_else(|| Problem::invalid("conflictPolicy", "must be FAIL, USE_EXISTING, REPLACE, QUEUE or COALESCE"))
}
