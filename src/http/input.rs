//! A request's body: JSON, kept as it was written.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::IgnoredAny;
use tokio_stream::StreamExt;

use super::{Face, Problem};
use crate::grpc::DECODE_BYTES_MAX;

/// The body's text; none if it is empty.
pub struct Input(pub Option<String>);

impl FromRequest<Face> for Input {
    type Rejection = Problem;

    async fn from_request(request: Request, face: &Face) -> Result<Input, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, face.orchestration.door.payload_bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Input(None));
        }
        let unsupported = |what| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", what);
        if !is_json(&parts.headers) {
            return Err(unsupported("the body must be JSON, and the header Content-Type say application/json"));
        }
        if !is_plain(&parts.headers) {
            return Err(unsupported("the body must be as it is: no Content-Encoding is read"));
        }
        let text = String::from_utf8(bytes).map_err(|_| malformed(&"it is not UTF-8"))?;
        serde_json::from_str::<IgnoredAny>(&text).map_err(|error| malformed(&error))?;
        Ok(Input(Some(text)))
    }
}

/// The body, if it has at most `max` bytes. A larger one is heard out, within reason, since most clients listen to the
/// answer only when they have said everything.
async fn read(body: Body, max: usize) -> Result<Vec<u8>, Problem> {
    let mut body = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let unread =
            |error| Problem::new(StatusCode::BAD_REQUEST, "BODY_INCOMPLETE", format!("the body broke off: {error}"));
        let chunk = chunk.map_err(unread)?;
        length += chunk.len();
        if length > DECODE_BYTES_MAX {
            break;
        }
        if length <= max {
            bytes.extend_from_slice(&chunk);
        }
    }
    if length > max {
        let what = format!("the body must have at most {max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", what));
    }
    Ok(bytes)
}

/// A body whose type is not said is taken for what it should be.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

/// Nothing is unpacked: a small body could become a huge one.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn malformed(why: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", format!("the body is not JSON: {why}"))
}
