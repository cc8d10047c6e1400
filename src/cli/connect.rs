//! The way to the server: its address, the task hub and the time limit of a call.

use std::time::Duration;

use tonic::{
    Request, Streaming,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

use super::error::{self, Error};
use crate::proto::v1::{
    GetStatusRequest, GetStatusResponse, RaiseEventRequest, RaiseEventResponse, StartSingletonRequest,
    StartSingletonResponse, TerminateInstanceRequest, TerminateInstanceResponse, WatchStatusRequest,
    WatchStatusResponse, orchestration_service_client::OrchestrationServiceClient,
};

/// The time limit of a call that has none of its own.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The flags of every client command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientArgs {
    /// Address of the server
    #[arg(long, global = true, env = "SOLOIST_SERVER", value_name = "URL", default_value = "http://localhost:4001")]
    pub server: String,
    /// Task hub: the namespace of instance ids
    #[arg(long, global = true, env = "SOLOIST_HUB", value_name = "NAME", default_value = "default")]
    pub hub: String,
    /// Print JSON objects, one a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Time limit of a call [default: 30s], and of a whole watch or wait [default: none]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

/// A connection to the server. It reconnects by itself with the next call.
pub struct Connection {
    orchestrations: OrchestrationServiceClient<InterceptedService<Channel, TaskHub>>,
    health: HealthClient<Channel>,
    address: String,
    timeout: Duration,
}

/// Names the task hub in every call.
#[derive(Clone)]
struct TaskHub(AsciiMetadataValue);

// === impl Connection ===

impl Connection {
    pub async fn open(args: &ClientArgs) -> Result<Connection, Error> {
        let address = complete(&args.server)?;
        let hub = args.hub.parse().map_err(|_| Error::Usage(format!("--hub '{}' is no task hub's name", args.hub)))?;
        let timeout = args.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let channel = Endpoint::from_shared(address.clone())
            .map_err(|why| Error::Usage(format!("--server '{}' is no address: {why}", args.server)))?
            .connect_timeout(timeout)
            .connect()
            .await
            .map_err(|why| Error::Unreachable { address: address.clone(), why: error::deepest(&why) })?;
        Ok(Connection {
            orchestrations: OrchestrationServiceClient::with_interceptor(channel.clone(), TaskHub(hub)),
            health: HealthClient::new(channel),
            address,
            timeout,
        })
    }

    pub async fn start(&mut self, request: StartSingletonRequest) -> Result<StartSingletonResponse, Error> {
        let answer = self.orchestrations.start_singleton(limited(request, self.timeout)).await;
        self.understand(answer)
    }

    pub async fn status(&mut self, request: GetStatusRequest) -> Result<GetStatusResponse, Error> {
        let answer = self.orchestrations.get_status(limited(request, self.timeout)).await;
        self.understand(answer)
    }

    pub async fn raise(&mut self, request: RaiseEventRequest) -> Result<RaiseEventResponse, Error> {
        let answer = self.orchestrations.raise_event(limited(request, self.timeout)).await;
        self.understand(answer)
    }

    pub async fn terminate(&mut self, request: TerminateInstanceRequest) -> Result<TerminateInstanceResponse, Error> {
        let answer = self.orchestrations.terminate_instance(limited(request, self.timeout)).await;
        self.understand(answer)
    }

    pub async fn health(&mut self, request: HealthCheckRequest) -> Result<HealthCheckResponse, Error> {
        let answer = self.health.check(limited(request, self.timeout)).await;
        self.understand(answer)
    }

    /// Opens a stream that lasts; `follow` has the time limit and knows which of its errors to survive.
    pub async fn watch(
        &mut self,
        request: WatchStatusRequest,
    ) -> Result<Streaming<WatchStatusResponse>, tonic::Status> {
        self.orchestrations.watch_status(request).await.map(tonic::Response::into_inner)
    }

    /// The error that a status stands for.
    pub fn error(&self, status: tonic::Status) -> Error {
        Error::of_call(status, &self.address, self.timeout)
    }

    pub fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { address: self.address.clone(), after }
    }

    fn understand<T>(&self, answer: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Error> {
        answer.map(tonic::Response::into_inner).map_err(|status| self.error(status))
    }
}

// === impl TaskHub ===

impl Interceptor for TaskHub {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        request.metadata_mut().insert("taskhub", self.0.clone());
        Ok(request)
    }
}

fn limited<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// The address with its scheme: `localhost:4001` is meant as `http://localhost:4001`.
fn complete(server: &str) -> Result<String, Error> {
    match server.split_once("://") {
        None => Ok(format!("http://{server}")),
        Some(("http", _)) => Ok(server.into()),
        Some(_) => Err(Error::Usage(format!(
            "--server '{server}' is not supported: the address must begin with http:// (there is no encryption yet)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme_but_not_have_another() {
        let cases = [
            ("localhost:4001", Some("http://localhost:4001")),
            ("http://10.0.0.1:80", Some("http://10.0.0.1:80")),
            ("https://localhost:4001", None),
            ("unix:///run/soloist", None),
        ];
        for (server, expected) in cases {
            assert_eq!(complete(server).ok().as_deref(), expected, "{server}");
        }
    }
}
