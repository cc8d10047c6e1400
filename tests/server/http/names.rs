//! One port for all: HTTP/1.1 and HTTP/2 without TLS, gRPC beside them.

use http_body_util::Empty;
use hyper::{Request, Version, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::support::{Server, Web};

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http();
        let request = Request::get(format!("{}/livez", server.address)).body(Empty::<Bytes>::new()).expect("a request");
        let answer = client.request(request).await.expect("an answer");
        assert_eq!((answer.version(), answer.status().as_u16()), (version, 200));
    }
}

/// A gRPC client that calls what is not there reads UNIMPLEMENTED, not a page.
#[tokio::test]
async fn an_unknown_call_is_answered_in_the_words_of_its_asker() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    for path in ["/soloist.v1.Nothing/Call", "/soloist.v1.OrchestrationService/Nothing"] {
        let mut grpc = Grpc::new(server.channel().await);
        grpc.ready().await.expect("a connection");
        let call =
            grpc.unary(tonic::Request::new(()), PathAndQuery::from_static(path), ProstCodec::<(), ()>::default());
        assert_eq!(call.await.expect_err("it is not there").code(), Code::Unimplemented, "{path}");
    }
    let page = Web::new(&server).post("/soloist.v1.Nothing/Call", "{}").await;
    assert_eq!((page.status.as_u16(), page.reason().as_str()), (404, "ROUTE_NOT_FOUND"));
}
