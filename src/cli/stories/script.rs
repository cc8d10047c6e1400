//! A server that follows a script.

use std::{
    collections::VecDeque,
    future,
    sync::{Arc, Mutex},
};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    cli::ClientArgs,
    proto::v1::{
        GetHistoryRequest, GetHistoryResponse, GetStatusRequest, GetStatusResponse, InstanceStatus,
        ListInstancesRequest, ListInstancesResponse, PurgeInstanceRequest, PurgeInstanceResponse,
        PurgeInstancesRequest, PurgeInstancesResponse, RaiseEventRequest, RaiseEventResponse, RestartInstanceRequest,
        RestartInstanceResponse, ResumeInstanceRequest, ResumeInstanceResponse, StartSingletonRequest,
        StartSingletonResponse, SuspendInstanceRequest, SuspendInstanceResponse, TerminateInstanceRequest,
        TerminateInstanceResponse, WatchInstancesRequest, WatchInstancesResponse, WatchStatusRequest,
        WatchStatusResponse,
        orchestration_service_server::{OrchestrationService, OrchestrationServiceServer},
    },
};

/// One stream: its items, and how it breaks if it does.
pub type Scene<T> = Vec<Result<T, Status>>;

/// What one call answers, time after time, and what it was asked.
pub struct Part<Q, A> {
    answers: Arc<Mutex<VecDeque<Result<A, Status>>>>,
    requests: Arc<Mutex<Vec<Q>>>,
}

/// The answers of each call. GetStatus answers what is now; TerminateInstance never does.
#[derive(Clone, Default)]
pub struct Script {
    pub now: InstanceStatus,
    pub hubs: Arc<Mutex<Vec<String>>>,
    pub starts: Part<StartSingletonRequest, StartSingletonResponse>,
    pub watches: Part<WatchStatusRequest, Scene<WatchStatusResponse>>,
    pub watches_of_many: Part<WatchInstancesRequest, Scene<WatchInstancesResponse>>,
    pub lists: Part<ListInstancesRequest, ListInstancesResponse>,
    pub histories: Part<GetHistoryRequest, Scene<GetHistoryResponse>>,
    pub events: Part<RaiseEventRequest, RaiseEventResponse>,
    pub suspensions: Part<SuspendInstanceRequest, SuspendInstanceResponse>,
    pub resumptions: Part<ResumeInstanceRequest, ResumeInstanceResponse>,
    pub restarts: Part<RestartInstanceRequest, RestartInstanceResponse>,
    pub purges: Part<PurgeInstanceRequest, PurgeInstanceResponse>,
    pub purges_of_many: Part<PurgeInstancesRequest, PurgeInstancesResponse>,
}

type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

// === impl Part ===

impl<Q, A> Part<Q, A> {
    pub fn of(answers: impl IntoIterator<Item = Result<A, Status>>) -> Part<Q, A> {
        Part { answers: Arc::new(Mutex::new(answers.into_iter().collect())), requests: Arc::default() }
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Q> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn answer(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| Err(Status::not_found("the script is over"))).map(Response::new)
    }
}

impl<Q, T> Part<Q, Scene<T>> {
    /// Streams that are opened one after the other.
    pub fn scenes(scenes: impl IntoIterator<Item = Scene<T>>) -> Part<Q, Scene<T>> {
        Part::of(scenes.into_iter().map(Ok))
    }

    fn stream(&self, request: Request<Q>) -> Result<Response<Stream<T>>, Status> {
        Ok(self.answer(request)?.map(tokio_stream::iter))
    }
}

impl<Q, A> Clone for Part<Q, A> {
    fn clone(&self) -> Part<Q, A> {
        Part { answers: self.answers.clone(), requests: self.requests.clone() }
    }
}

impl<Q, A> Default for Part<Q, A> {
    fn default() -> Part<Q, A> {
        Part::of([])
    }
}

// === impl Script ===

impl Script {
    /// Tells a story while this script is played.
    pub async fn play<T>(&self, story: impl AsyncFnOnce(ClientArgs) -> T) -> T {
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
    type WatchStatusStream = Stream<WatchStatusResponse>;
    type WatchInstancesStream = Stream<WatchInstancesResponse>;
    type GetHistoryStream = Stream<GetHistoryResponse>;

    async fn start_singleton(
        &self,
        request: Request<StartSingletonRequest>,
    ) -> Result<Response<StartSingletonResponse>, Status> {
        let hub = request.metadata().get("taskhub").unwrap().to_str().unwrap().to_owned();
        self.hubs.lock().unwrap().push(hub);
        self.starts.answer(request)
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { queue: Vec::new(), status: Some(Box::new(self.now.clone())) }))
    }

    async fn terminate_instance(
        &self,
        _: Request<TerminateInstanceRequest>,
    ) -> Result<Response<TerminateInstanceResponse>, Status> {
        future::pending().await
    }

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        self.watches.stream(request)
    }

    async fn watch_instances(
        &self,
        request: Request<WatchInstancesRequest>,
    ) -> Result<Response<Self::WatchInstancesStream>, Status> {
        self.watches_of_many.stream(request)
    }

    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        self.lists.answer(request)
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<Self::GetHistoryStream>, Status> {
        self.histories.stream(request)
    }

    async fn raise_event(&self, request: Request<RaiseEventRequest>) -> Result<Response<RaiseEventResponse>, Status> {
        self.events.answer(request)
    }

    async fn suspend_instance(
        &self,
        request: Request<SuspendInstanceRequest>,
    ) -> Result<Response<SuspendInstanceResponse>, Status> {
        self.suspensions.answer(request)
    }

    async fn resume_instance(
        &self,
        request: Request<ResumeInstanceRequest>,
    ) -> Result<Response<ResumeInstanceResponse>, Status> {
        self.resumptions.answer(request)
    }

    async fn restart_instance(
        &self,
        request: Request<RestartInstanceRequest>,
    ) -> Result<Response<RestartInstanceResponse>, Status> {
        self.restarts.answer(request)
    }

    async fn purge_instance(
        &self,
        request: Request<PurgeInstanceRequest>,
    ) -> Result<Response<PurgeInstanceResponse>, Status> {
        self.purges.answer(request)
    }

    async fn purge_instances(
        &self,
        request: Request<PurgeInstancesRequest>,
    ) -> Result<Response<PurgeInstancesResponse>, Status> {
        self.purges_of_many.answer(request)
    }
}
