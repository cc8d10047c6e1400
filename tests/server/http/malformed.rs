//! Requests that nobody should send: each is refused as the caller's fault, and starts nothing.

use soloist::proto::v1;

use crate::support::{Server, http::raw};

/// The limit of a payload, unless the server is told otherwise.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// A request for the start of `f`, by its path and what follows the request line.
fn post(path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let json = "content-type: application/json\r\n";
    let start = "/orchestrators/f/a";
    let of = |path: &str| post(path, "", b"");
    let table: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("no JSON", post(start, json, b"{oops"), 400, "MALFORMED_JSON"),
        ("two values", post(start, json, b"1 2"), 400, "MALFORMED_JSON"),
        ("blank", post(start, json, b" "), 400, "MALFORMED_JSON"),
        ("a number beyond JSON", post(start, json, b"NaN"), 400, "MALFORMED_JSON"),
        ("bad UTF-8 in a string", post(start, json, b"\"\xff\""), 400, "MALFORMED_JSON"),
        ("deep", post(start, json, "[".repeat(500_000).as_bytes()), 400, "MALFORMED_JSON"),
        (
            "a form",
            post(start, "content-type: application/x-www-form-urlencoded\r\n", b"a=1"),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("a text", post(start, "content-type: text/plain\r\n", b"1"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "a packed body",
            post(start, &format!("{json}content-encoding: gzip\r\n"), b"{}"),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("a large body", post(start, json, "1".repeat(PAYLOAD_BYTES_MAX + 1).as_bytes()), 413, "BODY_TOO_LARGE"),
        ("a long id", of(&format!("/orchestrators/f/{}", "x".repeat(257))), 400, "INVALID_FIELD"),
        ("a very long id", of(&format!("/orchestrators/f/{}", "x".repeat(60_000))), 400, "INVALID_FIELD"),
        ("a long function", of(&format!("/orchestrators/{}/a", "x".repeat(257))), 400, "INVALID_FIELD"),
        ("a slash", of("/orchestrators/f/a%2Fb"), 400, "INVALID_FIELD"),
        ("a backslash", of("/orchestrators/f/a%5Cb"), 400, "INVALID_FIELD"),
        ("a question mark", of("/orchestrators/f/a%3Fb"), 400, "INVALID_FIELD"),
        ("a hash", of("/orchestrators/f/a%23b"), 400, "INVALID_FIELD"),
        ("an at", of("/orchestrators/f/@a"), 400, "INVALID_FIELD"),
        ("the folder above", of("/orchestrators/f/.."), 400, "INVALID_FIELD"),
        ("the same, encoded", of("/orchestrators/f/%2e%2E"), 400, "INVALID_FIELD"),
        ("this folder", of("/orchestrators/f/."), 400, "INVALID_FIELD"),
        ("a way out", of("/orchestrators/f/../../etc"), 404, "ROUTE_NOT_FOUND"),
        ("nothing between slashes", of("/orchestrators//a"), 400, "INVALID_FIELD"),
        ("no id", of("/orchestrators/f/"), 404, "ROUTE_NOT_FOUND"),
        ("NUL", of("/orchestrators/f/a%00b"), 400, "INVALID_FIELD"),
        ("a line's end", of("/orchestrators/f/a%0d%0ab"), 400, "INVALID_FIELD"),
        ("bad UTF-8 in the path", of("/orchestrators/f/%ff%fe"), 400, "INVALID_FIELD"),
        ("an overlong slash", of("/orchestrators/f/%c0%af"), 400, "INVALID_FIELD"),
        ("bad UTF-8 in the query", of("/orchestrators/f/a?requestId=%ff"), 400, "INVALID_FIELD"),
        ("a parameter twice", of("/orchestrators/f/a?requestId=1&requestid=2"), 400, "INVALID_FIELD"),
        ("a long request id", of(&format!("/orchestrators/f/a?requestId={}", "r".repeat(129))), 400, "INVALID_FIELD"),
        ("two hubs", post("/orchestrators/f/a?taskHub=b", "taskhub: c\r\n", b""), 400, "INVALID_FIELD"),
        ("two keys", post(start, "idempotency-key: 1\r\nidempotency-key: 2\r\n", b""), 400, "INVALID_FIELD"),
        (
            "a key that is no text",
            post(start, "idempotency-key: \u{ff}\r\n", b"").into_iter().filter(|b| *b != 0xc3).collect(),
            400,
            "INVALID_FIELD",
        ),
        ("a route, encoded", of("/orchestrators%2Ff%2Fa"), 404, "ROUTE_NOT_FOUND"),
        ("a dot on the way", of("/./orchestrators/f/a"), 404, "ROUTE_NOT_FOUND"),
        ("a slash too many", of("/orchestrators/f/a/"), 404, "ROUTE_NOT_FOUND"),
        ("a tunnel", b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), 404, "ROUTE_NOT_FOUND"),
        (
            "an unknown method",
            b"FOO /orchestrators/f/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(),
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "gRPC as a page may send it",
            post(
                "/soloist.v1.OrchestrationService/StartSingleton",
                "content-type: text/plain\r\n",
                b"\0\0\0\0\x06\x0a\x01a\x12\x01f",
            ),
            400,
            "",
        ),
        // Here it is the transport that refuses, and its answers have no body.
        ("many headers", post(start, &"a: b\r\n".repeat(1_000), b""), 431, ""),
        ("a huge header", post(start, &format!("a: {}\r\n", "b".repeat(1 << 20)), b""), 431, ""),
        ("a huge path", of(&format!("/{}", "x".repeat(70_000))), 414, ""),
        ("a NUL in the head", b"POST /orchestrators/f/a\0 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), 400, ""),
        ("no length", b"POST /orchestrators/f/a HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_vec(), 400, ""),
        ("a body that breaks off", post(start, &format!("{json}transfer-encoding: x\r\n"), b"1"), 400, ""),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, code, has) in table {
        let (told, answer) = raw(&server, &bytes).await;
        let shown: String = answer.chars().take(400).collect();
        let is_problem = answer.contains(has) && answer.contains("application/problem+json");
        if told != code || !(has.is_empty() || is_problem) {
            wrong.push(format!("{what}, not {code} {has}: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut client = server.client().await;
    let listed = client.list_instances(v1::ListInstancesRequest::default()).await.expect("a list").into_inner();
    assert!(listed.instances.is_empty(), "{listed:?}");
}

/// What is just allowed is no trick: it starts, and is found again where the answer says.
#[tokio::test]
async fn what_is_odd_but_allowed_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let json = "content-type: application/json\r\n";
    let largest = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX - 2));
    let table = [
        ("the longest id", post(&format!("/orchestrators/f/{}", "x".repeat(256)), "", b"")),
        ("the largest body", post("/orchestrators/f/large", json, largest.as_bytes())),
        ("dots", post("/orchestrators/f/...", "", b"")),
        ("signs", post("/orchestrators/f/a%20%25%26%3D%2B%27%22%3C%F0%9F%98%80", "", b"")),
        ("another charset's name", post("/orchestrators/f/c", "content-type: Application/JSON; charset=utf-8\r\n", b"1")),
        ("JSON of a kind", post("/orchestrators/f/k", "content-type: application/cloudevents+json\r\n", b"{}")),
        ("no type", post("/orchestrators/f/n", "", b"null")),
        ("a body that is said to be plain", post("/orchestrators/f/i", "content-encoding: identity\r\n", b"{}")),
        ("in pieces", b"POST /orchestrators/f/p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in table {
        let (code, answer) = raw(&server, &bytes).await;
        let shown: String = answer.chars().take(600).collect();
        assert_eq!(code, 202, "{what}: {shown}");
        let location = answer.lines().find_map(|line| line.strip_prefix("location: http://x")).expect("a location");
        let get = format!("GET {location} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(raw(&server, get.as_bytes()).await.0, 202, "{what}: {location}");
    }
}
