//! The server: built from the bottom up, served, drained from the top down. Read it to see the whole.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    server::NamedService,
    service::{LayerExt, Routes},
    transport::server::Router,
};
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;

use crate::{
    clock::SystemClock,
    config::Config,
    core::time::Span,
    engine::{self, EndError, Engine, RecoveryError},
    entropy::SystemEntropy,
    grpc::{COMPLETION_BYTES_MAX, DECODE_BYTES_MAX, Door, Echo, Maintenance, Orchestration, Sidecar, Work},
    http,
    proto::{
        DURABLE_TASK_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET,
        bench::echo_service_server::EchoServiceServer,
        durable_task::task_hub_sidecar_service_server::TaskHubSidecarServiceServer,
        v1::{
            maintenance_service_server::MaintenanceServiceServer,
            orchestration_service_server::OrchestrationServiceServer, worker_service_server::WorkerServiceServer,
        },
    },
    store::embedded::{self, Embedded, OpenError},
};

/// Bytes that a connection may have under way: ten thousand streams opened in a burst fit.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes that a stream may have under way: the largest payloads don't crawl.
const STREAM_WINDOW: u32 = 1 << 20;
/// How long the callers of a failed commit have to take their answers before the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// The rest after a connection that could not be accepted, such as for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

type Orchestrations = OrchestrationServiceServer<Orchestration>;
type Workers = WorkerServiceServer<Work>;
type Maintaining = MaintenanceServiceServer<Maintenance>;
type Sidecars = TaskHubSidecarServiceServer<Sidecar>;

/// What health is asked for; the empty name is the server as a whole.
const SERVICES: [&str; 5] = ["", Orchestrations::NAME, Workers::NAME, Maintaining::NAME, Sidecars::NAME];

/// Why the server could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing was touched.
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// The data folder was refused and left as it was.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What the store has can't be taken over. The rows are as they were.
    #[error("the store can't be taken over: {0}")]
    Recover(#[from] RecoveryError),
    /// The store refused a write or a flush. What was acknowledged is on the disk; the callers of the commit that
    /// failed were told that its outcome is unknown. Mend the cause and start again.
    #[error(transparent)]
    End(#[from] EndError),
    #[error("the server could not run: {0}")]
    Run(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves until `shutdown`, then drains. `ready` is told the address once calls are taken.
///
/// # Errors
/// See [`ServeError`]. An error after `ready` was told means that the store has failed.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
    ready: oneshot::Sender<SocketAddr>,
) -> Result<(), ServeError> {
    let listen = |source| ServeError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let engine = open(&config).await?;
    let threads = engine.run().map_err(could_not_run)?;
    let door = Door {
        engine: engine.clone(),
        payload_bytes_max: config.payload_bytes_max,
        watch_heartbeat: config.watch_heartbeat,
        drain: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let (reporter, router) = services(&config, &door).await?;

    // A failed accept would otherwise be tried again without a rest.
    let incoming = TcpListenerStream::new(listener).then(|accepted| async {
        match accepted {
            Ok(stream) => stream.set_nodelay(true).map(|()| stream),
            Err(error) => {
                tokio::time::sleep(ACCEPT_REST).await;
                Err(error)
            }
        }
    });
    let stopped = door.drain.clone();
    let mut serving = JoinSet::new();
    serving.spawn(router.serve_with_incoming_shutdown(incoming, stopped.cancelled_owned()));
    // Nobody may be waiting to hear it.
    let _ = ready.send(address);

    tokio::select! {
        () = shutdown => {
            drain(&reporter, &door, serving, config.drain_timeout).await;
            Ok(threads.end().await?)
        }
        reason = engine.fallen() => {
            drain(&reporter, &door, serving, LAST_ANSWERS).await;
            Err(EndError::StoreFailed(reason).into())
        }
    }
}

/// The store, and the engine over it.
async fn open(config: &Config) -> Result<Engine, ServeError> {
    let folder = embedded::Config::new(config.data_dir.clone());
    let engine_config = engine::Config {
        lease_ttl: Span::from(config.lease),
        turn_ttl: Span::from(config.turn_lease),
        request_memory: Span::from(config.request_memory),
        retention: config.retention.map(Span::from),
        watchers_max: config.watchers_max,
        workers_max: config.workers_max,
    };
    let open = move || {
        let store = Arc::new(Embedded::open(folder)?);
        Ok(Engine::recover(engine_config, store, Arc::new(SystemClock::new()), Arc::new(SystemEntropy))?)
    };
    tokio::task::spawn_blocking(open).await.map_err(could_not_run)?
}

/// Everything that is served on the port.
async fn services(config: &Config, door: &Door) -> Result<(HealthReporter, Router), ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<Orchestrations>().await;
    reporter.set_serving::<Workers>().await;
    reporter.set_serving::<Maintaining>().await;
    reporter.set_serving::<Sidecars>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(DURABLE_TASK_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let orchestrations = Orchestrations::new(Orchestration { door: door.clone() });
    let workers = Workers::new(Work {
        door: door.clone(),
        lease_duration: config.lease * 2 / 3,
        heartbeat_interval: config.lease / 5,
    });
    let maintenance = Maintaining::new(Maintenance { door: door.clone() });
    let sidecar = Sidecars::new(Sidecar { door: door.clone() });
    let mut server = tonic::transport::Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(config.streams_per_connection)
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout))
        .accept_http1(true);
    if let Some(age) = config.max_connection_age {
        server = server.max_connection_age(age).max_connection_age_grace(config.max_connection_age_grace);
    }
    let mut routes = Routes::from(http::router(Orchestration { door: door.clone() }))
        .add_service(health)
        .add_service(reflection().build_v1().map_err(could_not_run)?)
        .add_service(reflection().build_v1alpha().map_err(could_not_run)?)
        // For browsers too. Laid over all, it would refuse whatever else comes with HTTP/1.1.
        .add_service(GrpcWebLayer::new().named_layer(orchestrations.max_decoding_message_size(DECODE_BYTES_MAX)))
        .add_service(workers.max_decoding_message_size(DECODE_BYTES_MAX))
        .add_service(maintenance)
        .add_service(sidecar.max_decoding_message_size(COMPLETION_BYTES_MAX));
    if config.bench_echo {
        routes = routes.add_service(EchoServiceServer::new(Echo).max_decoding_message_size(DECODE_BYTES_MAX));
    }
    let guarded = http::guarded(routes.into_axum_router(), &config.http_allowed_origins);
    let router = server.add_routes(Routes::from(guarded));
    Ok((reporter, router))
}

/// Takes no more calls, ends the streams, and lets the calls under way finish, for as long as `within`.
async fn drain(
    reporter: &HealthReporter,
    door: &Door,
    mut serving: JoinSet<Result<(), tonic::transport::Error>>,
    within: Duration,
) {
    for service in SERVICES {
        reporter.clone().set_service_status(service, tonic_health::ServingStatus::NotServing).await;
    }
    door.drain.cancel();
    door.tasks.close();
    let drained = async {
        door.tasks.wait().await;
        forget(reporter.clone()).await;
        serving.join_next().await
    };
    match tokio::time::timeout(within, drained).await {
        Ok(None | Some(Ok(Ok(())))) => {}
        Ok(Some(Ok(Err(error)))) => tracing::warn!(%error, "the transport ended badly"),
        Ok(Some(Err(error))) => tracing::error!(%error, "the transport's task has panicked"),
        Err(_) => tracing::warn!(?within, "not everybody had left when the drain was over"),
    }
}

/// Ends the streams of those who watch the health: what they had to hear they have heard, and they don't leave by
/// themselves.
async fn forget(mut reporter: HealthReporter) {
    for service in SERVICES {
        reporter.clear_service_status(service).await;
    }
}

fn could_not_run(error: impl std::error::Error + Send + Sync + 'static) -> ServeError {
    ServeError::Run(Box::new(error))
}
