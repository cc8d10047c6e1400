//! Starts of fresh ids over HTTP/1.1, each place with a connection that it keeps.

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use super::FUNCTION;
use crate::cli::{Error, bench::seat::Seat};

pub struct Http {
    /// Where the server listens, without a scheme.
    authority: String,
    hub: String,
    prefix: String,
    payload: Bytes,
}

impl Http {
    pub fn new(address: &str, hub: &str, prefix: String, payload: Option<String>) -> Http {
        let authority = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Http { authority, hub: hub.to_owned(), prefix, payload: payload.unwrap_or_default().into() }
    }

    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let stream = TcpStream::connect(&self.authority).await.context("can't connect over HTTP")?;
        stream.set_nodelay(true)?;
        let (mut connection, moved) = handshake(TokioIo::new(stream)).await.context("no HTTP is spoken there")?;
        // Dropped with it: the connection's own work.
        let mut mover = JoinSet::new();
        mover.spawn(moved);
        seat.repeat(async |number| self.start(&mut connection, &seat.fresh_id(&self.prefix, number)).await).await
    }

    async fn start(&self, connection: &mut SendRequest<Full<Bytes>>, id: &str) -> Result<(), Error> {
        let request = Request::post(format!("/orchestrators/{FUNCTION}/{id}"))
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header("taskHub", &self.hub)
            .body(Full::new(self.payload.clone()))
            .context("the start can't be asked for over HTTP")?;
        connection.ready().await.context("the server has closed a connection")?;
        let answer = connection.send_request(request).await.context("a start over HTTP has failed")?;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("an answer was not whole")?.to_bytes();
        if status == StatusCode::ACCEPTED {
            Ok(())
        } else {
            Err(Error::Other(anyhow!("a start over HTTP: {status}: {}", String::from_utf8_lossy(&body))))
        }
    }
}
