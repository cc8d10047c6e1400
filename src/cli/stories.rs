//! What the commands do with a server that follows a script.

use std::{
    collections::VecDeque,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::{Cli, ClientArgs, Error, Exit, Output, connect, dispatch, start};
use crate::{
    client::WatchEvent,
    proto::v1::{
        GetStatusRequest, GetStatusResponse, InstanceStatus, RaiseEventRequest, RaiseEventResponse, RuntimeStatus,
        StartSingletonRequest, StartSingletonResponse, TerminateInstanceRequest, TerminateInstanceResponse,
        WatchStatusRequest, WatchStatusResponse,
        orchestration_service_server::{OrchestrationService, OrchestrationServiceServer},
    },
};

/// One watch: its items, and how it breaks if it does.
type Scene = Vec<Result<WatchStatusResponse, Status>>;

/// Plays one scene a watch, refuses every start, never answers TerminateInstance, and notes what it was asked.
#[derive(Clone, Default)]
struct Script {
    scenes: Arc<Mutex<VecDeque<Scene>>>,
    now: InstanceStatus,
    resumed_from: Arc<Mutex<Vec<Option<u64>>>>,
    hubs: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(scenes: impl IntoIterator<Item = Scene>) -> Script {
        Script { scenes: Arc::new(Mutex::new(scenes.into_iter().collect())), ..Script::default() }
    }

    /// Tells a story while this script is played.
    async fn play<T>(&self, story: impl AsyncFnOnce(ClientArgs) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let args = ClientArgs { server, hub: "stage".into(), json: false, timeout: None };
        let serving = Server::builder()
            .add_service(OrchestrationServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::select! {
            ended = serving => panic!("the server ended: {ended:?}"),
            told = story(args) => told,
        }
    }
}

#[tonic::async_trait]
impl OrchestrationService for Script {
    type WatchStatusStream = tokio_stream::Iter<std::vec::IntoIter<Result<WatchStatusResponse, Status>>>;

    async fn start_singleton(
        &self,
        request: Request<StartSingletonRequest>,
    ) -> Result<Response<StartSingletonResponse>, Status> {
        let hub = request.metadata().get("taskhub").unwrap().to_str().unwrap().to_owned();
        self.hubs.lock().unwrap().push(hub);
        Err(Status::already_exists("An instance with ID 'nightly' already exists."))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { queue: Vec::new(), status: Some(self.now.clone()) }))
    }

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        self.resumed_from.lock().unwrap().push(request.get_ref().from_revision);
        let scene = self.scenes.lock().unwrap().pop_front().ok_or_else(|| Status::not_found("the script is over"))?;
        Ok(Response::new(tokio_stream::iter(scene)))
    }

    async fn raise_event(&self, _: Request<RaiseEventRequest>) -> Result<Response<RaiseEventResponse>, Status> {
        Err(Status::not_found("no instance with ID 'nightly'"))
    }

    async fn terminate_instance(
        &self,
        _: Request<TerminateInstanceRequest>,
    ) -> Result<Response<TerminateInstanceResponse>, Status> {
        future::pending().await
    }

    async fn list_instances(
        &self,
        _: Request<crate::proto::v1::ListInstancesRequest>,
    ) -> Result<Response<crate::proto::v1::ListInstancesResponse>, Status> {
        future::pending().await
    }

    async fn suspend_instance(
        &self,
        _: Request<crate::proto::v1::SuspendInstanceRequest>,
    ) -> Result<Response<crate::proto::v1::SuspendInstanceResponse>, Status> {
        future::pending().await
    }

    async fn resume_instance(
        &self,
        _: Request<crate::proto::v1::ResumeInstanceRequest>,
    ) -> Result<Response<crate::proto::v1::ResumeInstanceResponse>, Status> {
        future::pending().await
    }

    async fn restart_instance(
        &self,
        _: Request<crate::proto::v1::RestartInstanceRequest>,
    ) -> Result<Response<crate::proto::v1::RestartInstanceResponse>, Status> {
        future::pending().await
    }

    async fn purge_instance(
        &self,
        _: Request<crate::proto::v1::PurgeInstanceRequest>,
    ) -> Result<Response<crate::proto::v1::PurgeInstanceResponse>, Status> {
        future::pending().await
    }

    async fn purge_instances(
        &self,
        _: Request<crate::proto::v1::PurgeInstancesRequest>,
    ) -> Result<Response<crate::proto::v1::PurgeInstancesResponse>, Status> {
        future::pending().await
    }

    type WatchInstancesStream = tokio_stream::Empty<Result<crate::proto::v1::WatchInstancesResponse, Status>>;

    async fn watch_instances(
        &self,
        _: Request<crate::proto::v1::WatchInstancesRequest>,
    ) -> Result<Response<Self::WatchInstancesStream>, Status> {
        future::pending().await
    }

    type GetHistoryStream = tokio_stream::Empty<Result<crate::proto::v1::GetHistoryResponse, Status>>;

    async fn get_history(
        &self,
        _: Request<crate::proto::v1::GetHistoryRequest>,
    ) -> Result<Response<Self::GetHistoryStream>, Status> {
        future::pending().await
    }
}

fn status(execution_id: &str, runtime_status: RuntimeStatus, revision: u64) -> InstanceStatus {
    InstanceStatus {
        instance_id: "nightly".into(),
        execution_id: execution_id.into(),
        runtime_status: runtime_status.into(),
        revision,
        ..InstanceStatus::default()
    }
}

fn item(status: InstanceStatus) -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse { status: Some(status), ..WatchStatusResponse::default() })
}

fn heartbeat() -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse { heartbeat: true, ..WatchStatusResponse::default() })
}

/// Starts nothing, but waits as `soloist start --wait` does after its start.
async fn wait(script: &Script, timeout: Option<Duration>) -> Result<InstanceStatus, Error> {
    script
        .play(async |args| {
            let answer = StartSingletonResponse {
                execution_id: "a".into(),
                status: Some(status("a", RuntimeStatus::Pending, 1)),
                ..StartSingletonResponse::default()
            };
            let client = args.connect().await?;
            connect::within(timeout, start::wait_for_end(&client, &answer, &Output::new(false))).await
        })
        .await
}

#[tokio::test]
async fn a_watch_goes_on_where_its_connection_was_lost() {
    let script = Script::of([
        vec![heartbeat(), item(status("a", RuntimeStatus::Pending, 5)), Err(Status::unavailable("draining"))],
        vec![item(status("a", RuntimeStatus::Running, 8))],
        vec![Err(Status::not_found("purged"))],
    ]);
    let (seen, error) = script
        .play(async |args| {
            let request = WatchStatusRequest { instance_id: "nightly".into(), ..WatchStatusRequest::default() };
            let mut watch = args.connect().await.unwrap().watch(request);
            let mut seen = Vec::new();
            loop {
                match watch.next_event().await.unwrap() {
                    Ok(WatchEvent::Item(item)) => seen.push(format!("item {}", item.status.revision)),
                    Ok(WatchEvent::Interrupted(lost)) => seen.push(format!("lost after {:?}", lost.after_revision)),
                    Err(error) => return (seen, Error::Call(error)),
                }
            }
        })
        .await;

    assert_eq!(seen, ["item 5", "lost after Some(5)", "item 8", "lost after Some(8)"]);
    assert_eq!(*script.resumed_from.lock().unwrap(), [None, Some(5), Some(8)]);
    assert_eq!(error.to_string(), "purged");
}

#[tokio::test]
async fn waiting_follows_a_function_that_continues_as_new() {
    let script = Script {
        now: InstanceStatus { output: Some("done".into()), ..status("b", RuntimeStatus::Completed, 4) },
        ..Script::of([vec![
            item(status("a", RuntimeStatus::Running, 2)),
            item(status("b", RuntimeStatus::Running, 3)),
            item(status("b", RuntimeStatus::Completed, 4)),
        ]])
    };
    let ended = wait(&script, None).await.unwrap();
    assert_eq!(ended.output.as_deref(), Some("done"));
    assert_eq!(*script.resumed_from.lock().unwrap(), [Some(1)]);
}

#[tokio::test]
async fn waiting_does_not_take_a_successor_for_the_one_it_waited_for() {
    let now = status("b", RuntimeStatus::Completed, 90);
    let gap = WatchStatusResponse { status: Some(now), resync: true, ..WatchStatusResponse::default() };
    let error = wait(&Script::of([vec![Ok(gap)]]), None).await.unwrap_err();
    assert_eq!(error.to_string(), "how execution a ended is not known: the instance is at execution b now");
}

#[tokio::test]
async fn an_end_that_was_seen_counts_even_if_a_successor_runs_by_now() {
    let script = Script {
        now: status("b", RuntimeStatus::Running, 7),
        ..Script::of([vec![item(status("a", RuntimeStatus::Failed, 2))]])
    };
    assert_eq!(wait(&script, None).await.unwrap().runtime_status(), RuntimeStatus::Failed);
}

#[tokio::test]
async fn waiting_has_a_limit_if_one_is_given() {
    let endless = (0..1000).map(|_| vec![Err(Status::unavailable("draining"))]);
    let error = wait(&Script::of(endless), Some(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn a_start_of_a_taken_id_names_its_hub_and_ends_with_75() {
    let script = Script::default();
    let error = script.play(async |args| run("start backup nightly", args).await.unwrap_err()).await;
    assert_eq!(error.exit().code(), 75);
    assert_eq!(*script.hubs.lock().unwrap(), ["stage"]);
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let error = Script::default()
        .play(async |args| {
            let args = ClientArgs { timeout: Some(Duration::from_millis(100)), ..args };
            run("terminate nightly", args).await.unwrap_err()
        })
        .await;
    assert_eq!(error.block(), "error: there was no answer within 100ms");
    assert_eq!(error.exit().code(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let args = ClientArgs { server: server.clone(), hub: "default".into(), json: false, timeout: None };
    let error = run("status nightly", args).await.unwrap_err().block();
    assert!(error.starts_with(&format!("error: cannot connect to {server}/: ")), "{error}");
    assert!(
        error.ends_with("\nStart a server with `soloist dev`, or name one with --server or SOLOIST_SERVER."),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_without_the_health_service_is_no_success() {
    let error = Script::default().play(async |args| run("health", args).await.unwrap_err()).await;
    assert!(error.block().ends_with("  code: UNIMPLEMENTED"), "{}", error.block());
    assert_eq!(error.exit().code(), 1);
}

/// Runs a client command as it is typed.
async fn run(line: &str, client: ClientArgs) -> Result<Exit, Error> {
    let command = Cli::try_parse_from(["soloist"].into_iter().chain(line.split(' '))).unwrap().command;
    dispatch(command, &client, &Output::new(false)).await
}
