//! A caller over HTTP/1.1, and one that writes whatever bytes it likes.

use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Bytes, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Server, process::PATIENCE};

/// A caller with its own connections.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Web {
    pub fn new(server: &Server) -> Web {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Web { client, address: server.address.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// Posts JSON; an empty text is no body.
    pub async fn post(&self, path: &str, json: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], json).await
    }

    /// Asks for a path of the server, or for a URL as an answer had it.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let response = self.open(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the body ends").expect("a whole body");
        let body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The same, with the body still to be read.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Response<Incoming> {
        let url = if path.starts_with('/') { format!("{}{path}", self.address) } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        answer.unwrap_or_else(|_| panic!("no answer to {method} {url}")).expect("an answer")
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The reason of a problem.
    pub fn reason(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{self:?}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        problem["reason"].as_str().expect("a reason").to_owned()
    }
}

/// Writes the bytes on a connection of their own; the code of the answer and all of it.
pub async fn raw(server: &Server, bytes: &[u8]) -> (u16, String) {
    let stream = TcpStream::connect(server.address.trim_start_matches("http://")).await.expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = Vec::new();
    // The server may have answered and closed before everything was said.
    let both = async { tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer)) };
    let _ = tokio::time::timeout(PATIENCE, both).await.expect("the connection ends");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or_else(|| panic!("no code in {answer:?}")), answer)
}
