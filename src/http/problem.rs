//! Errors: gRPC's refusals as RFC 9457 problems, with the same reason and values.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What stands for an error whose source gave no reason.
const NO_REASON: &str = "UNSPECIFIED";

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    reason: String,
    detail: String,
    values: BTreeMap<String, String>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
}

/// What is wrong with one part of the request.
#[derive(Debug, Serialize)]
struct Violation {
    field: String,
    description: String,
}

/// `application/problem+json`.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
}

impl Problem {
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            reason: reason.into(),
            detail: detail.into(),
            values: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// A part of the request that has no meaning as it is.
    pub fn invalid(field: &str, description: &str) -> Problem {
        let violation = Violation { field: field.into(), description: description.into() };
        let problem = Problem::new(StatusCode::BAD_REQUEST, "INVALID_FIELD", format!("{field}: {description}"));
        Problem { violations: vec![violation], ..problem }
    }

    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Problem {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map_or(NO_REASON, |info| info.reason.as_str());
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let violations = violations
            .iter()
            .map(|wrong| Violation { field: wrong.field.clone(), description: wrong.description.clone() });
        Problem {
            values: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            violations: violations.collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            ..Problem::new(code(status.code(), reason), reason, status.message())
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (content_type, body) = if self.is("INSTANCE_ALREADY_RUNNING") {
            // The pattern prescribes this sentence, and nothing around it.
            ("text/plain; charset=utf-8", self.detail)
        } else {
            let document = Document {
                r#type: "about:blank",
                title: self.status.canonical_reason().unwrap_or_default(),
                status: self.status.as_u16(),
                detail: &self.detail,
                reason: &self.reason,
                metadata: &self.values,
                violations: &self.violations,
            };
            ("application/problem+json", super::json(&document))
        };
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_millis().div_ceil(1_000) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn code(code: Code, reason: &str) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::FailedPrecondition if reason == "INSTANCE_NOT_LIVE" => StatusCode::GONE,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that no caller can bring about are here, the others in stories.
    #[test]
    fn faults_of_the_server_are_told_as_such() {
        let table = [
            (Code::Unknown, "OUTCOME_UNKNOWN", 500),
            (Code::DataLoss, "STORE_DAMAGED", 500),
            (Code::Unavailable, "UNAVAILABLE", 503),
            (Code::Unavailable, "DRAINING", 503),
            (Code::ResourceExhausted, "TOO_MANY", 429),
        ];
        for (from, reason, expected) in table {
            assert_eq!(code(from, reason).as_u16(), expected, "{reason}");
        }
    }
}
