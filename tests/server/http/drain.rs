//! The end of a server, as callers over HTTP see it.

use std::fs;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{Server, Web, process::PATIENCE};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address.trim_start_matches("http://")).await.expect("a connection")
}

/// Reads until the text has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("something comes");
        assert!(read.expect("the connection is open") > 0, "no {text} in {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Waits until the server has read all that was sent: its end of the connection holds nothing any more.
async fn is_read(stream: &TcpStream) {
    let port = |address: std::io::Result<std::net::SocketAddr>| format!(":{:04X}", address.expect("an address").port());
    let (own, theirs) = (port(stream.local_addr()), port(stream.peer_addr()));
    loop {
        let connections = fs::read_to_string("/proc/net/tcp").expect("the connections");
        let of_server = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut is_empty = of_server
            .filter(|fields| fields[1].ends_with(&theirs) && fields[2].ends_with(&own))
            .map(|fields| fields[4].ends_with(":00000000"));
        if is_empty.any(|is| is) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A load balancer that asks over a connection which it has already, and a start whose body comes too late.
#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let mut starter = connect(&server).await;
    let head = "POST /orchestrators/f/late HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n";
    starter.write_all(head.as_bytes()).await.expect("written");
    // Now it waits for the body.
    until(&mut starter, "100 Continue").await;
    let mut asker = connect(&server).await;
    asker.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nuser-agent: a balancer\r\n").await.expect("written");
    is_read(&asker).await;
    let mut health = HealthClient::new(server.channel().await);
    let mut health = health.watch(HealthCheckRequest::default()).await.expect("a watch").into_inner();
    assert_eq!(health.message().await.expect("an item").expect("an item").status(), ServingStatus::Serving);

    server.signal("TERM");
    assert_eq!(health.message().await.expect("an item").expect("an item").status(), ServingStatus::NotServing);
    // The transport knows of the drain when that watch has ended, at the latest.
    while let Ok(Some(_)) = health.message().await {}
    for (stream, rest) in [(&mut asker, "\r\n"), (&mut starter, "1")] {
        stream.write_all(rest.as_bytes()).await.expect("written");
        let answer = until(stream, "}").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"reason\":\"DRAINING\""), "{answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    drop((asker, starter));
    let (ended, said) = server.wait().await;
    assert!(ended.success() && !said.contains("not everybody had left"), "{said}");
    let server = Server::with_long_leases(folder.path());
    assert_eq!(Web::new(&server).get(&format!("{}/late", super::INSTANCES)).await.status, 404);
}
