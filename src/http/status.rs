//! Where an instance stands, and what happened to it.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio_stream::StreamExt;

use super::{
    Asked, Face, Problem,
    chapters::Chapter,
    json,
    links::{Links, RETRY_AFTER},
    shown::Shown,
};
use crate::proto::v1::{self, InstanceStatus, RuntimeStatus, orchestration_service_server::OrchestrationService};

/// How often the status is read anew because another execution had begun before its history was read.
const READS_MAX: usize = 5;

pub async fn status(State(face): State<Face>, asked: Asked) -> Result<Response, Problem> {
    let execution = asked.execution_id()?;
    let shows_input = asked.query.flag("showInput", true)?;
    let fails_aloud = asked.query.flag("returnInternalServerErrorOnFailure", false)?;
    let (mut status, history) = read(&face, &asked, &execution).await?;
    let runtime_status = status.runtime_status();
    if !shows_input {
        status.input = None;
        status.omitted_payloads.retain(|payload| payload != "input");
    }
    let mut shown = Shown::from(status);
    shown.history_events = history;
    let body = json(&shown);
    let content = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok(match runtime_status {
        RuntimeStatus::Unspecified | RuntimeStatus::Pending | RuntimeStatus::Running | RuntimeStatus::Suspended => {
            let execution = (!execution.is_empty()).then_some(execution.as_str());
            let location = Links::new(&asked, &asked.instance_id(), execution).status();
            let headers = [(header::LOCATION, location), (header::RETRY_AFTER, RETRY_AFTER.to_owned())];
            (StatusCode::ACCEPTED, content, headers, body).into_response()
        }
        RuntimeStatus::Failed if fails_aloud => (StatusCode::INTERNAL_SERVER_ERROR, content, body).into_response(),
        RuntimeStatus::Completed | RuntimeStatus::Failed | RuntimeStatus::Terminated => {
            (StatusCode::OK, content, body).into_response()
        }
    })
}

/// The status, with the history of the same execution if it is wanted.
async fn read(face: &Face, asked: &Asked, execution: &str) -> Result<(InstanceStatus, Option<Vec<Chapter>>), Problem> {
    let with_history = asked.query.flag("showHistory", false)?;
    let with_payloads = asked.query.flag("showHistoryOutput", false)?;
    let mut reads = 0;
    loop {
        let request = v1::GetStatusRequest {
            instance_id: asked.instance_id(),
            execution_id: execution.to_owned(),
            include_payloads: true,
        };
        let status = face.orchestration.get_status(asked.call(request)?).await?.into_inner().status;
        let status = *status.unwrap_or_default();
        if !with_history {
            return Ok((status, None));
        }
        reads += 1;
        match history(face, asked, &status.execution_id, with_payloads).await {
            Ok(chapters) => return Ok((status, Some(chapters))),
            Err(problem) if problem.is("EXECUTION_MISMATCH") && execution.is_empty() && reads < READS_MAX => {}
            Err(problem) => return Err(problem),
        }
    }
}

async fn history(face: &Face, asked: &Asked, execution: &str, with_payloads: bool) -> Result<Vec<Chapter>, Problem> {
    let request =
        v1::GetHistoryRequest { instance_id: asked.instance_id(), expected_execution_id: execution.to_owned() };
    let mut stream = face.orchestration.get_history(asked.call(request)?).await?.into_inner();
    let mut chapters = Vec::new();
    while let Some(part) = stream.next().await {
        chapters.extend(part?.events.into_iter().map(|event| Chapter::new(event, with_payloads)));
    }
    Ok(chapters)
}
