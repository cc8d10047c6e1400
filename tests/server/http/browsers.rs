//! Pages of other sites, and gRPC-Web.

use http_body_util::{BodyExt, Full};
use hyper::{Request, Version, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use soloist::proto::v1::{self, RuntimeStatus};

use super::INSTANCES;
use crate::support::{Server, Web, start};

const SITE: &str = "https://app.example";
/// What a page says that it sends: what needs no leave, gRPC-Web, and gRPC.
const TYPES: [&str; 3] = ["text/plain", "application/grpc-web+proto", "application/grpc"];

const SERVICE: &str = "/soloist.v1.OrchestrationService";

/// What a browser is told of a page's wish.
async fn preflight(web: &Web, path: &str, origin: &str) -> (u16, String, String) {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key,x-grpc-web"),
    ];
    let answer = web.ask("OPTIONS", path, &headers, "").await;
    let told = |name| answer.header(name).to_owned();
    (answer.status.as_u16(), told("access-control-allow-origin"), told("access-control-allow-headers"))
}

#[tokio::test]
async fn no_page_of_another_site_may_call_unless_it_is_told_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let web = Web::new(&server);
    for path in ["/orchestrators/f/a", &format!("{SERVICE}/StartSingleton"), "/metrics", "/nowhere"] {
        let (code, origin, _) = preflight(&web, path, SITE).await;
        assert!(code >= 400 && origin.is_empty(), "{path}: {code} {origin}");
    }
    let read = web.ask("GET", "/readyz", &[("origin", SITE)], "").await;
    assert_eq!((read.status.as_u16(), read.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn pages_of_allowed_sites_may_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--lease", "5m", "--http-allowed-origins", "http://localhost:1, https://app.example"];
    let server = Server::start_with(folder.path(), &flags, &[]);
    let web = Web::new(&server);
    for path in ["/orchestrators/f/a", &format!("{SERVICE}/StartSingleton")] {
        for origin in [SITE, "http://localhost:1"] {
            let (code, allowed, headers) = preflight(&web, path, origin).await;
            assert_eq!((code, allowed.as_str()), (200, origin), "{path}");
            assert!(["idempotency-key", "x-grpc-web"].iter().all(|name| headers.contains(name)), "{headers}");
        }
        for origin in ["https://evil.example", "http://app.example", "https://app.example.evil.example", "null"] {
            assert_eq!(preflight(&web, path, origin).await.1, "", "{path} {origin}");
        }
    }
    let foreign = web.ask("POST", "/orchestrators/f/a", &[("origin", "https://evil.example")], "").await;
    assert_eq!((foreign.status.as_u16(), foreign.header("access-control-allow-origin")), (403, ""));
    assert_eq!(web.get(&format!("{INSTANCES}/a")).await.status, 404);
    let started = web.ask("POST", "/orchestrators/f/a", &[("origin", SITE)], "").await;
    assert_eq!((started.status.as_u16(), started.header("access-control-allow-origin")), (202, SITE));
    assert!(started.header("access-control-expose-headers").contains("location"), "{started:?}");
    // A refusal is for the page to read, too.
    let taken = web.ask("POST", "/orchestrators/f/a", &[("origin", SITE)], "").await;
    assert_eq!((taken.status.as_u16(), taken.header("access-control-allow-origin")), (409, SITE));
}

/// What a call over gRPC-Web brought: messages, and the trailers or headers that say how it ended.
struct Called<T> {
    messages: Vec<T>,
    end: String,
}

async fn call<T: Message + Default>(server: &Server, method: &str, message: &impl Message) -> Called<T> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("{}{SERVICE}/{method}", server.address))
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(Full::<Bytes>::from(frame(message)))
        .expect("a request");
    let (head, body) = client.request(request).await.expect("an answer").into_parts();
    assert_eq!(
        (head.status.as_u16(), &head.headers["content-type"]),
        (200, &"application/grpc-web+proto".parse().unwrap())
    );
    let mut rest = &*body.collect().await.expect("a whole body").to_bytes();
    let mut called = Called { messages: Vec::new(), end: format!("{:?}", head.headers) };
    while let [flags, a, b, c, d, following @ ..] = rest {
        let (content, following) = following.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        match flags {
            0 => called.messages.push(T::decode(content).expect("a message")),
            _ => called.end = String::from_utf8(content.to_vec()).expect("text"),
        }
        rest = following;
    }
    assert!(rest.is_empty());
    called
}

/// A message as gRPC has it.
fn frame(message: &impl Message) -> Vec<u8> {
    let content = message.encode_to_vec();
    [&[0], &u32::try_from(content.len()).expect("a small message").to_be_bytes()[..], &content].concat()
}

#[tokio::test]
async fn calls_are_taken_as_grpc_web_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let started = call::<v1::StartSingletonResponse>(&server, "StartSingleton", &start("f", "a")).await;
    assert_eq!((started.messages.len(), started.end.contains("grpc-status:0")), (1, true), "{}", started.end);
    let taken = call::<v1::StartSingletonResponse>(&server, "StartSingleton", &start("f", "a")).await;
    assert!(taken.messages.is_empty() && taken.end.contains("\"grpc-status\": \"6\""), "{}", taken.end);
    assert!(taken.end.contains("grpc-status-details-bin"), "{}", taken.end);
    let terminate = v1::TerminateInstanceRequest { instance_id: "a".into(), ..Default::default() };
    call::<v1::TerminateInstanceResponse>(&server, "TerminateInstance", &terminate).await;
    let watch = v1::WatchStatusRequest {
        instance_id: "a".into(),
        from_revision: Some(0),
        until_terminal: true,
        ..Default::default()
    };
    let watched = call::<v1::WatchStatusResponse>(&server, "WatchStatus", &watch).await;
    let statuses = watched.messages.iter().map(|item| item.status.as_ref().expect("a status").runtime_status());
    assert_eq!(statuses.collect::<Vec<_>>(), [RuntimeStatus::Pending, RuntimeStatus::Terminated]);
    assert!(watched.end.contains("grpc-status:0"), "{}", watched.end);
}

/// gRPC looks at no content type, so a page could send what a browser takes for a text; behind a proxy also over HTTP/2.
#[tokio::test]
async fn pages_of_other_sites_do_not_reach_grpc_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let services = ["OrchestrationService/StartSingleton", "WorkerService/Work", "MaintenanceService/Backup"];
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http();
        for (service, content_type) in services.iter().flat_map(|service| TYPES.map(|kind| (service, kind))) {
            let request = Request::post(format!("{}/soloist.v1.{service}", server.address))
                .header("content-type", content_type)
                .header("origin", "https://evil.example")
                .body(Full::<Bytes>::from(frame(&start("f", "a"))))
                .expect("a request");
            let answer = client.request(request).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 403, "{version:?} {service} {content_type}");
        }
    }
    assert_eq!(Web::new(&server).get(&format!("{INSTANCES}/a")).await.status, 404);
}
