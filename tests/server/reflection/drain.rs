//! The end of a server: who is told what while it drains.

use soloist::proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{health_check_response::ServingStatus, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use super::health::{SERVICES, of};
use crate::support::{Client, RawWorker, Server, error_info, start, status};

/// What the server says of who was still there when the time for the drain was over.
const NOT_LEFT: &str = "not everybody had left";

fn assert_draining(status: &Status) {
    assert_eq!((status.code(), error_info(status).reason.as_str()), (Code::Unavailable, "DRAINING"));
    let retry = status.get_error_details().retry_info().cloned().expect("a RetryInfo");
    assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()));
}

/// A start whose head has left, and whose message follows when it is sent.
struct HalfStarted {
    message: mpsc::Sender<v1::StartSingletonRequest>,
    answer: tokio::task::JoinHandle<Result<tonic::Response<v1::StartSingletonResponse>, Status>>,
}

async fn half_start(server_channel: tonic::transport::Channel) -> HalfStarted {
    let (message, rest) = mpsc::channel(1);
    let (asked, is_asked) = oneshot::channel();
    // The transport asks for the message once it has taken the head.
    let mut asked = Some(asked);
    let rest = tokio_stream::once(None).chain(ReceiverStream::new(rest).map(Some)).filter_map(move |message| {
        match (message, asked.take()) {
            (None, Some(asked)) => {
                let _ = asked.send(());
                None
            }
            (message, _) => message,
        }
    });
    let answer = tokio::spawn(async move {
        let mut grpc = Grpc::new(server_channel);
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = PathAndQuery::from_static("/soloist.v1.OrchestrationService/StartSingleton");
        let codec = ProstCodec::<v1::StartSingletonRequest, v1::StartSingletonResponse>::default();
        grpc.client_streaming(Request::new(rest), path, codec).await
    });
    is_asked.await.expect("the transport asks for the message");
    HalfStarted { message, answer }
}

/// A call that came before the drain, but whose message comes after: it holds the drain open, and is not carried out.
#[tokio::test]
async fn while_it_drains_it_serves_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let channel = server.channel().await;
    let mut client = Client::new(channel.clone());
    client.start_singleton(start("f", "a")).await.expect("started");
    let half = half_start(channel.clone()).await;
    let mut health = HealthClient::new(channel.clone());
    let mut watched = Vec::new();
    for service in SERVICES {
        // Its first item came over the same connection, behind the half start: that is there too.
        let mut watch = health.watch(of(service)).await.expect("a watch").into_inner();
        let first = watch.message().await.expect("an item").expect("an item");
        assert_eq!(first.status(), ServingStatus::Serving);
        watched.push(watch);
    }
    let watch = v1::WatchStatusRequest { instance_id: "a".into(), ..Default::default() };
    let mut watch = client.watch_status(watch).await.expect("a watch").into_inner();
    watch.message().await.expect("an item").expect("the current status");
    let mut worker = RawWorker::join(&server, "w", &["g"], 1).await;

    server.signal("TERM");
    for watched in &mut watched {
        let next = watched.message().await.expect("an item").expect("an item");
        assert_eq!(next.status(), ServingStatus::NotServing);
    }
    assert_draining(&watch.message().await.expect_err("the watch ends"));
    let farewell = worker.hear().await;
    assert!(matches!(farewell, v1::work_response::Message::Drain(_)), "{farewell:?}");
    assert_draining(&worker.try_hear().await.expect_err("the stream ends"));

    half.message.send(start("f", "b")).await.expect("the call is open");
    drop(half.message);
    let refused = half.answer.await.expect("no panic").expect_err("nothing is started any more");
    assert_draining(&refused);
    let late = client.start_singleton(start("f", "c")).await.expect_err("nobody listens");
    // The connection may be closing already: then it is the transport's word, which has no better one.
    assert!(matches!(late.code(), Code::Unavailable | Code::Cancelled | Code::Unknown), "{late:?}");
    drop((health, watched, client, channel));
    let (ended, said) = server.wait().await;
    assert!(ended.success() && !said.contains(NOT_LEFT), "{said}");

    // What was refused was not carried out.
    let server = Server::with_long_leases(folder.path());
    let mut client = server.client().await;
    status(&mut client, "a").await;
    for id in ["b", "c"] {
        let get = v1::GetStatusRequest { instance_id: id.into(), ..Default::default() };
        let missing = client.get_status(get).await.expect_err("it was never started");
        assert_eq!(missing.code(), Code::NotFound);
    }
}

/// A load balancer that watches the health goes on watching: the server waited for it until the drain's time was
/// over, 30 s at each of its ends.
#[tokio::test]
async fn who_watches_the_health_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--drain-timeout", "10s"], &[]);
    let mut health = HealthClient::new(server.channel().await);
    let mut watched = Vec::new();
    for service in SERVICES {
        watched.push(health.watch(of(service)).await.expect("a watch").into_inner());
    }
    let (ended, said) = server.stop().await;
    assert!(ended.success() && !said.contains(NOT_LEFT), "{said}");
    for mut watched in watched {
        let mut last = ServingStatus::Unknown;
        while let Ok(Some(item)) = watched.message().await {
            last = item.status();
        }
        assert_eq!(last, ServingStatus::NotServing);
    }
}

/// Whoever does not leave is not waited for beyond the drain's time.
#[tokio::test]
async fn a_call_that_never_comes_to_its_point_is_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &["--lease", "5m", "--drain-timeout", "1s"], &[]);
    let channel = server.channel().await;
    let half = half_start(channel.clone()).await;
    // The answer to this came behind the half start.
    HealthClient::new(channel).check(of("")).await.expect("it serves");
    let (ended, said) = server.stop().await;
    assert!(ended.success() && said.contains(NOT_LEFT), "{said}");
    half.answer.await.expect("no panic").expect_err("it was never carried out");
}
