//! What grpcurl and its like ask: which services are there, and what do they look like.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;

use crate::support::Server;

/// All but the reflection itself: each version lists its own.
const SERVICES: [&str; 5] = [
    "TaskHubSidecarService",
    "grpc.health.v1.Health",
    "soloist.v1.MaintenanceService",
    "soloist.v1.OrchestrationService",
    "soloist.v1.WorkerService",
];

/// A symbol, and the file that has it.
const SYMBOLS: [(&str, &str); 12] = [
    ("soloist.v1.OrchestrationService", "soloist/v1/orchestration_service.proto"),
    ("soloist.v1.WorkerService", "soloist/v1/worker_service.proto"),
    ("soloist.v1.MaintenanceService", "soloist/v1/maintenance_service.proto"),
    ("soloist.v1.OrchestrationService.StartSingleton", "soloist/v1/orchestration_service.proto"),
    ("soloist.v1.StartSingletonRequest", "soloist/v1/orchestration_service.proto"),
    ("soloist.v1.RuntimeStatus", "soloist/v1/instance.proto"),
    ("soloist.v1.Claim", "soloist/v1/worker_service.proto"),
    ("TaskHubSidecarService", "durable_task.proto"),
    ("TaskHubSidecarService.StartInstance", "durable_task.proto"),
    ("CreateInstanceRequest", "durable_task.proto"),
    ("grpc.health.v1.Health", "health.proto"),
    // For who wants to read the details of an error.
    ("google.rpc.ErrorInfo", "error_details.proto"),
];

/// What a version of the reflection service answers, in the order of the questions.
struct Reflected {
    services: BTreeSet<String>,
    files: Vec<FileDescriptorProto>,
    by_name: FileDescriptorProto,
    unknown: i32,
}

/// The two versions have the same messages under different names.
macro_rules! reflect {
    ($pb:path, $server:expr) => {{
        use $pb::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest as Ask, server_reflection_response::MessageResponse as Told,
        };
        let mut asked = vec![Ask::ListServices(String::new())];
        asked.extend(SYMBOLS.map(|(symbol, _)| Ask::FileContainingSymbol(symbol.into())));
        asked.push(Ask::FileByFilename("soloist/v1/instance.proto".into()));
        let unknown = Ask::FileContainingSymbol("soloist.v1.Nobody".into());
        let ask = |asked: Vec<Ask>| {
            let request = |ask| ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
            tokio_stream::iter(asked.into_iter().map(request).collect::<Vec<_>>())
        };
        let mut client = ServerReflectionClient::new($server.channel().await);
        let mut answers = client.server_reflection_info(ask(asked)).await.expect("a stream").into_inner();
        let (mut services, mut files) = (BTreeSet::new(), Vec::new());
        while let Some(answer) = answers.message().await.expect("an answer") {
            match answer.message_response.expect("it says something") {
                Told::ListServicesResponse(list) => services.extend(list.service.into_iter().map(|s| s.name)),
                Told::FileDescriptorResponse(found) => {
                    let first = found.file_descriptor_proto.first().expect("a file");
                    files.push(FileDescriptorProto::decode(first.as_slice()).expect("a descriptor"));
                }
                other => panic!("not expected: {other:?}"),
            }
        }
        // An unknown name is either an answer or the end of the stream.
        let mut answers = client.server_reflection_info(ask(vec![unknown])).await.expect("a stream").into_inner();
        let unknown = match answers.message().await {
            Ok(Some(answer)) => match answer.message_response {
                Some(Told::ErrorResponse(error)) => error.error_code,
                other => panic!("not expected: {other:?}"),
            },
            Ok(None) => panic!("no answer"),
            Err(status) => i32::from(status.code()),
        };
        let by_name = files.pop().expect("the file that was asked for by its name");
        Reflected { services, files, by_name, unknown }
    }};
}

fn assert_complete(reflected: &Reflected, version: &str) {
    let mut services: BTreeSet<String> = SERVICES.map(String::from).into();
    services.insert(format!("grpc.reflection.{version}.ServerReflection"));
    assert_eq!(reflected.services, services, "{version}");
    assert_eq!(reflected.files.len(), SYMBOLS.len(), "{version}");
    for ((symbol, file), found) in SYMBOLS.iter().zip(&reflected.files) {
        assert!(found.name().ends_with(file), "{version}: {symbol} is in {}, not in {file}", found.name());
    }
    assert_eq!(reflected.by_name.name(), "soloist/v1/instance.proto", "{version}");
    assert_eq!(reflected.unknown, i32::from(Code::NotFound), "{version}");
    let methods: Vec<&str> = reflected.files[0].service[0].method.iter().map(|method| method.name()).collect();
    let expected = ["StartSingleton", "GetStatus", "WatchStatus", "RaiseEvent", "TerminateInstance"];
    for method in expected {
        assert!(methods.contains(&method), "{version}: {method} is not among {methods:?}");
    }
    let start = reflected.files[0].message_type.iter().find(|message| message.name() == "StartSingletonRequest");
    let fields: Vec<&str> = start.expect("the message").field.iter().map(|field| field.name()).collect();
    assert!(fields.contains(&"conflict_policy") && fields.contains(&"request_id"), "{version}: {fields:?}");
}

#[tokio::test]
async fn both_versions_of_reflection_list_and_describe_every_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with_long_leases(folder.path());
    let v1 = reflect!(tonic_reflection::pb::v1, server);
    assert_complete(&v1, "v1");
    let v1alpha = reflect!(tonic_reflection::pb::v1alpha, server);
    assert_complete(&v1alpha, "v1alpha");
}
