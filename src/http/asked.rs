//! A request without its body: what its path, query and headers say.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, request::Parts},
};
use tonic::metadata::AsciiMetadataValue;

use super::{Face, Problem, base::Base, query::Query};

/// The query parameter and the header that name the task hub.
const TASK_HUB: &str = "taskHub";
/// The hub of those who name none.
const DEFAULT_HUB: &str = "default";
/// The header that makes a retry safe, and the query parameter that stands for it.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REQUEST_ID: &str = "requestId";

pub struct Asked {
    path: Vec<(String, String)>,
    pub query: Query,
    pub headers: HeaderMap,
    pub hub: String,
    pub base: Base,
}

impl FromRequestParts<Face> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Asked, Problem> {
        let not_utf8 = |_| Problem::invalid("path", "must be UTF-8, percent-encoded");
        let params = RawPathParams::from_request_parts(parts, face).await.map_err(not_utf8)?;
        let path: Vec<_> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in &path {
            // However they are written, clients and proxies resolve them away: the answer's URLs would lead elsewhere.
            if matches!(value.as_str(), "." | "..") {
                return Err(Problem::invalid(name, "can't be '.' or '..' in a path: use gRPC for such a name"));
            }
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let hub = one_of(TASK_HUB, query.text(TASK_HUB)?, header(&parts.headers, TASK_HUB)?)?;
        let hub = if hub.is_empty() { DEFAULT_HUB.into() } else { hub };
        Ok(Asked { path, query, headers: parts.headers.clone(), hub, base: Base::of(&parts.uri, &parts.headers) })
    }
}

impl Asked {
    /// A part of the path, if the route has it.
    pub fn part(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn instance_id(&self) -> String {
        self.part("instanceId").unwrap_or_default().to_owned()
    }

    /// The execution that is meant, where not simply the latest is.
    pub fn execution_id(&self) -> Result<String, Problem> {
        self.query.text("executionId")
    }

    pub fn request_id(&self) -> Result<String, Problem> {
        one_of(REQUEST_ID, self.query.text(REQUEST_ID)?, header(&self.headers, IDEMPOTENCY_KEY)?)
    }

    /// The call that this request stands for.
    pub fn call<T>(&self, message: T) -> Result<tonic::Request<T>, Problem> {
        let hub = AsciiMetadataValue::try_from(self.hub.as_bytes());
        let hub = hub.map_err(|_| Problem::invalid(TASK_HUB, "must not have control characters"))?;
        let mut call = tonic::Request::new(message);
        call.metadata_mut().insert("taskhub", hub);
        Ok(call)
    }
}

/// What two places may say, if they don't contradict each other.
fn one_of(name: &str, query: String, header: String) -> Result<String, Problem> {
    match (query.is_empty(), header.is_empty()) {
        (true, _) => Ok(header),
        (false, true) => Ok(query),
        (false, false) if query == header => Ok(query),
        (false, false) => Err(Problem::invalid(name, "differs between the query and the header")),
    }
}

/// The value of a header; empty if it is absent.
pub fn header(headers: &HeaderMap, name: &str) -> Result<String, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(String::new()) };
    if values.next().is_some() {
        return Err(Problem::invalid(name, "must be given once"));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Into::into).map_err(|_| Problem::invalid(name, "must be UTF-8"))
}
