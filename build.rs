//! Compiles the protobuf files with protox: no protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};
use tonic_prost_build::Builder;

const PUBLIC: [&str; 4] = [
    "proto/soloist/v1/instance.proto",
    "proto/soloist/v1/maintenance_service.proto",
    "proto/soloist/v1/orchestration_service.proto",
    "proto/soloist/v1/worker_service.proto",
];
/// The answers that hold one status.
const ANSWERED_WITH_STATUS: [&str; 8] = [
    "StartSingleton",
    "GetStatus",
    "WatchStatus",
    "WatchInstances",
    "TerminateInstance",
    "SuspendInstance",
    "ResumeInstance",
    "RestartInstance",
];
/// The Durable Task SDKs' protocol: without a package, and so in descriptors of its own.
const DURABLE_TASK: [&str; 1] = ["proto/durable_task.proto"];
const BENCH: [&str; 1] = ["proto/soloist/bench/v1/echo_service.proto"];
const ON_DISK: [&str; 1] = ["proto/soloist/store/v1/record.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let server = env::var_os("CARGO_FEATURE_SERVER").is_some();

    let public = protox::compile(PUBLIC, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("soloist_v1.bin"), public.encode_to_vec())?;
    // Large, and moved through many hands on its way out.
    let status = |response: &str| format!(".soloist.v1.{response}Response.status");
    let configured = ANSWERED_WITH_STATUS.iter().fold(configure(), |builder, response| builder.boxed(status(response)));
    configured.build_server(server).build_client(true).compile_fds(public)?;

    if server {
        let mut durable_task = protox::compile(DURABLE_TASK, ["proto"])?;
        fs::write(out.join("durable_task.bin"), durable_task.encode_to_vec())?;
        as_bytes(&mut durable_task, "OrchestratorRequest", "pastEvents")?;
        configure().build_client(true).btree_map(".").compile_fds(durable_task)?;

        let bench = protox::compile(BENCH, ["proto"])?;
        configure().compile_fds(bench)?;
        let on_disk = protox::compile(ON_DISK, ["proto"])?;
        // Most letters are no starts.
        let letters = ".soloist.store.v1.Letter.body.start_child";
        configure().btree_map(".").boxed(letters).compile_fds(on_disk)?;
    }
    Ok(())
}

fn configure() -> Builder {
    tonic_prost_build::configure().codec_path("crate::proto::codec::Codec")
}

/// Generates a field that holds messages as one that holds their bytes, which is the same on the wire.
fn as_bytes(files: &mut FileDescriptorSet, message: &str, field: &str) -> Result<(), String> {
    let messages = files.file.iter_mut().flat_map(|file| &mut file.message_type);
    let fields = messages.filter(|found| found.name() == message).flat_map(|found| &mut found.field);
    let found = fields.into_iter().find(|found| found.name() == field);
    let found = found.ok_or_else(|| format!("{message} has no {field}"))?;
    found.set_type(Type::Bytes);
    found.type_name = None;
    Ok(())
}
