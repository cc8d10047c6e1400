//! Bytes that are no message, as the body of every call.

use proptest::{collection::vec, prelude::*};
use prost::bytes::{Buf, BufMut};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use super::{assert_unharmed, in_time, runner};
use crate::support::Server;

const CALLS: [&str; 10] = [
    "/soloist.v1.OrchestrationService/StartSingleton",
    "/soloist.v1.OrchestrationService/GetStatus",
    "/soloist.v1.OrchestrationService/WatchStatus",
    "/soloist.v1.OrchestrationService/RaiseEvent",
    "/soloist.v1.OrchestrationService/TerminateInstance",
    "/TaskHubSidecarService/StartInstance",
    "/TaskHubSidecarService/GetInstance",
    "/TaskHubSidecarService/QueryInstances",
    "/TaskHubSidecarService/PurgeInstances",
    "/TaskHubSidecarService/StreamInstanceHistory",
];
const WORK: &str = "/soloist.v1.WorkerService/Work";

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Sends messages on one call and reads what comes, at most a few answers: a watch may go on for ever.
async fn call(channel: Channel, path: &'static str, messages: Vec<Vec<u8>>, hub: Option<Vec<u8>>) {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("the server takes connections");
    let mut request = Request::new(tokio_stream::iter(messages));
    if let Some(value) = hub.and_then(|hub| tonic::codegen::http::HeaderValue::from_bytes(&hub).ok()) {
        let mut headers = tonic::codegen::http::HeaderMap::new();
        headers.insert("taskhub", value);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    }
    let Ok(answers) = grpc.streaming(request, PathAndQuery::from_static(path), Raw).await else { return };
    let mut answers = answers.into_inner();
    for _ in 0..4 {
        match in_time("the next answer", answers.message()).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
        if path.ends_with("WatchStatus") {
            return;
        }
    }
}

/// Bytes without any order, and such as look like fields: a tag, then something.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let field = (0_u8..32, 0_u8..8, vec(any::<u8>(), 0..24)).prop_map(|(number, kind, rest)| {
        let mut bytes = vec![(number << 3) | kind, u8::try_from(rest.len()).unwrap_or(0)];
        bytes.extend(rest);
        bytes
    });
    prop_oneof![
        vec(any::<u8>(), 0..64),
        vec(field, 0..8).prop_map(|fields| fields.concat()),
        // Lengths that promise more than there is.
        vec(Just(0xff_u8), 1..16),
        Just(Vec::new()),
    ]
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let channel = runtime.block_on(server.channel());
    let hub = proptest::option::weighted(0.2, vec(any::<u8>(), 0..80));
    let case = (vec(body(), 0..4), hub);
    let mut runner = runner("bytes_that_are_no_message_are_refused", 200);
    let outcome = runner.run(&case, |(messages, hub)| {
        runtime.block_on(async {
            for path in CALLS.into_iter().chain([WORK]) {
                // A unary call takes one message; more of them, or none, are part of the game.
                in_time(path, call(channel.clone(), path, messages.clone(), hub.clone())).await;
            }
        });
        Ok(())
    });
    outcome.expect("every call is answered");
    runtime.block_on(assert_unharmed(server));
}
