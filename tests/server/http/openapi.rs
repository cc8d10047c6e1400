//! The description of the routes: what is served is described, and what is described is served.

use std::collections::BTreeSet;

use serde_json::Value;

use super::INSTANCES;
use crate::support::{Server, Web, http::Answer};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Method, path with braces, and code.
type Told = (String, String, u16);

/// The description, and what of it was seen.
pub struct Description {
    document: Value,
    seen: BTreeSet<Told>,
}

impl Description {
    pub async fn read(web: &Web) -> Description {
        Description { document: web.get("/openapi.json").await.json(), seen: BTreeSet::new() }
    }

    /// Every method with its path and what is said of it.
    pub fn operations(&self) -> Vec<(String, String, &Value)> {
        let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
            let methods = item.as_object().expect("methods").keys().filter(|key| *key != "parameters");
            methods.map(|method| (method.to_uppercase(), path.clone())).collect()
        };
        let paths = self.document["paths"].as_object().expect("paths").iter().flat_map(of_path);
        let said = |method: &str, path: &str| &self.document["paths"][path][method.to_lowercase()];
        paths.map(|(method, path)| (said(&method, &path), method, path)).map(|(said, m, p)| (m, p, said)).collect()
    }

    /// Compares an answer with what is said of it. What is no route, and what has no such method, is passed over.
    pub fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        let code = answer.status.as_u16();
        let found = self.operations().into_iter().find(|(of, template, _)| of == method && fits(template, path));
        let Some((_, template, said)) = found else { return };
        let line = format!("{method} {path}: {code}");
        let said = &said["responses"][code.to_string()];
        assert!(said.is_object(), "{line} is not described");
        for (name, _) in said["headers"].as_object().into_iter().flatten() {
            // There is only one that is not always there.
            assert!(name == "x-ms-continuation-token" || answer.headers.contains_key(name), "{line} has no {name}");
        }
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
        match &said["content"] {
            Value::Null => assert_eq!((media_type, answer.body.as_str()), ("", ""), "{line}"),
            content => {
                let schema = &content[media_type]["schema"];
                assert!(schema.is_object(), "{line} is {media_type}");
                self.check_body(media_type, schema, &answer.body, &line);
            }
        }
        self.seen.insert((method.to_owned(), template, code));
    }

    fn check_body(&self, media_type: &str, schema: &Value, body: &str, line: &str) {
        match media_type {
            "text/plain" => {}
            "text/event-stream" => {
                let events: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                assert!(!events.is_empty(), "{line} has no event");
                for event in events {
                    self.check_value(schema, &serde_json::from_str(event).expect("JSON"), line);
                }
            }
            _ => self.check_value(schema, &serde_json::from_str(body).expect("JSON"), line),
        }
    }

    /// As much of JSON Schema as the description uses, and no property beside those that it names.
    fn check_value(&self, schema: &Value, value: &Value, place: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let schema = self.document.pointer(name.trim_start_matches('#')).expect("a schema");
            return self.check_value(schema, value, place);
        }
        let kinds: Vec<_> = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        assert!(kinds.is_empty() || kinds.iter().any(|kind| is_of(value, kind)), "{place}: {value} is no {kinds:?}");
        if let Some(values) = schema["enum"].as_array() {
            assert!(values.contains(value), "{place}: {value} is none of {values:?}");
        }
        if schema["format"] == "date-time" {
            let text = value.as_str().expect("a text");
            assert!(text.parse::<prost_types::Timestamp>().is_ok() && text.ends_with('Z'), "{place}: {text}");
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(value.get(name.as_str().expect("a name")).is_some(), "{place} has no {name}");
        }
        for item in value.as_array().into_iter().flatten() {
            self.check_value(&schema["items"], item, place);
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (name, value) in value.as_object().into_iter().flatten() {
                let schema = properties.get(name).unwrap_or_else(|| panic!("{place}: {name} is not described"));
                self.check_value(schema, value, &format!("{place} {name}"));
            }
        }
    }

    /// What is described, but was not seen.
    pub fn unseen(&self) -> Vec<Told> {
        let codes = |said: &Value| -> Vec<u16> {
            said["responses"].as_object().expect("answers").keys().filter_map(|code| code.parse().ok()).collect()
        };
        let operations = self.operations().into_iter();
        let told = operations.flat_map(|(method, path, said)| {
            codes(said).into_iter().map(move |code| (method.clone(), path.clone(), code))
        });
        told.filter(|told| !self.seen.contains(told)).collect()
    }
}

/// A path that the template describes, with something in each place.
pub fn filled(template: &str) -> String {
    template.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(&path).all(|(part, of)| part.starts_with('{') || part == of)
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

#[tokio::test]
async fn the_methods_of_each_path_are_those_that_are_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let description = Description::read(&web).await;
    assert_eq!(description.document["openapi"], "3.1.1");
    let operations = description.operations();
    let paths: BTreeSet<_> = operations.iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths.len(), 16);
    for path in paths {
        let described: BTreeSet<_> =
            operations.iter().filter(|(_, of, _)| of == path).map(|(of, ..)| of.as_str()).collect();
        for method in METHODS {
            let answer = web.open(method, &filled(path), &[], "").await;
            let is_served = answer.status() != 405;
            assert_eq!(is_served, described.contains(method), "{method} {path}: {answer:?}");
            if !is_served {
                let allowed = answer.headers()["allow"].to_str().expect("text");
                let allowed = allowed.split(',').filter(|method| *method != "HEAD");
                assert_eq!(allowed.collect::<BTreeSet<_>>(), described, "{path}");
            }
        }
        let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let told = description.document["paths"][path]["parameters"].as_array().expect("parameters");
        assert!(named.eq(told.iter().map(|parameter| parameter["name"].as_str().expect("a name"))), "{path}");
    }
}

/// Whoever reads the description behind a proxy is led through it.
#[tokio::test]
async fn the_description_says_where_the_server_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    let own = web.get("/openapi.json").await;
    assert_eq!(
        (own.json()["servers"][0]["url"].as_str(), own.header("content-type")),
        (Some(&*server.address), "application/json")
    );
    let headers = [("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example"), ("x-forwarded-prefix", "/jobs/")];
    let proxied = web.ask("GET", "/openapi.json", &headers, "").await.json();
    assert_eq!(proxied["servers"][0]["url"], "https://a.example/jobs");
}

/// People read another page than programs: each path and each parameter stands there too.
#[tokio::test]
async fn what_is_described_stands_in_the_documentation() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let description = Description::read(&Web::new(&server)).await;
    let page = include_str!("../../../docs/http.md");
    for (method, path, said) in description.operations() {
        let below = path.strip_prefix(INSTANCES).filter(|below| !below.is_empty()).unwrap_or(&path);
        let below = below.trim_start_matches("/runtime/webhooks/durabletask");
        assert!(page.contains(below), "{path}");
        for parameter in said["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            assert!(page.contains(name), "{name} of {method} {path}");
        }
    }
}
