//! The description of the routes, in OpenAPI 3.1: made from what is served.

pub mod operations;
mod schemas;

use axum::{
    http::{HeaderMap, Uri, header},
    response::IntoResponse,
};
use serde_json::{Map, Value, json};

use super::{
    base::Base,
    routes::{Route, routes},
};

/// What a method of a path does, what it takes, and what it answers.
pub struct Operation {
    pub summary: &'static str,
    pub parameters: &'static [&'static [Parameter]],
    /// What the body is, if there may be one: JSON of any kind.
    pub body: Option<&'static str>,
    pub answers: &'static [Answer],
}

/// A query parameter, or a header.
pub struct Parameter {
    pub name: &'static str,
    pub place: Place,
    pub kind: Kind,
    pub description: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Query,
    NeededInQuery,
    Header,
}

/// The values that a parameter may have.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    Flag,
    /// From, to and unless given.
    Number(u64, Option<u64>),
    Moment,
    OneOf(&'static [&'static str]),
    /// With commas between.
    SomeOf(&'static [&'static str]),
}

pub struct Answer {
    pub code: u16,
    pub description: &'static str,
    pub headers: &'static [&'static str],
    /// Each media type with its schema's name, if it has one.
    pub content: &'static [(&'static str, Option<&'static str>)],
}

pub async fn openapi(uri: Uri, headers: HeaderMap) -> impl IntoResponse {
    let mut document = document(&routes());
    document["servers"] = json!([{ "url": Base::of(&uri, &headers).url("") }]);
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], super::json(&document))
}

fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let item = paths.entry(route.path).or_insert_with(|| json!({ "parameters": in_path(route.path) }));
        item[route.method] = operation(route.operation);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Soloist",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Singleton orchestrations: exactly one live instance per id.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas::schemas() },
    })
}

/// The parts of a path that stand in braces.
fn in_path(path: &str) -> Value {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 256 },
        })
    };
    names.map(parameter).collect()
}

fn operation(operation: &Operation) -> Value {
    let mut value = json!({ "summary": operation.summary });
    let parameters: Vec<_> = operation.parameters.iter().copied().flatten().map(parameter).collect();
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    if let Some(description) = operation.body {
        let content = json!({ "application/json": { "schema": {} } });
        value["requestBody"] = json!({ "description": description, "content": content });
    }
    let answers = operation.answers.iter().map(|given| (given.code.to_string(), answer(given)));
    let mut answers: Map<String, Value> = answers.collect();
    // What may befall any request: a server that drains, a store that fails.
    answers.insert("default".into(), answer(&operations::ELSE));
    value["responses"] = answers.into();
    value
}

fn parameter(parameter: &Parameter) -> Value {
    let place = if parameter.place == Place::Header { "header" } else { "query" };
    let mut value = json!({
        "name": parameter.name, "in": place, "description": parameter.description, "schema": kind(parameter.kind),
    });
    if parameter.place == Place::NeededInQuery {
        value["required"] = true.into();
    }
    if let Kind::SomeOf(_) = parameter.kind {
        value["style"] = "form".into();
        value["explode"] = false.into();
    }
    value
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(least, None) => json!({ "type": "integer", "minimum": least }),
        Kind::Number(least, Some(most)) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Moment => json!({ "type": "string", "format": "date-time" }),
        Kind::OneOf(values) => json!({ "type": "string", "enum": values }),
        Kind::SomeOf(values) => json!({ "type": "array", "items": { "type": "string", "enum": values } }),
    }
}

fn answer(answer: &Answer) -> Value {
    let mut value = json!({ "description": answer.description });
    for name in answer.headers {
        value["headers"][*name] = json!({ "schema": { "type": "string" } });
    }
    for (media_type, schema) in answer.content {
        let schema = schema.map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        value["content"][*media_type] = json!({ "schema": schema.unwrap_or_else(|| json!({ "type": "string" })) });
    }
    value
}
