//! The worker's line to the server: connected, lost and connected again.

use std::{pin::Pin, time::Instant};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};

use crate::{
    client::{
        Error,
        channel::{self, DECODED_BYTES_MAX, HUB_KEY},
    },
    proto::v1::{WorkRequest, WorkResponse, worker_service_client::WorkerServiceClient},
};

/// Messages between the worker and the HTTP/2 connection.
const OUTGOING_MAX: usize = 16;

type Attempt<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// One line. It moves from state to state by what [`Link::next`] tells.
pub(super) enum Link {
    /// Until then nothing is tried.
    Resting(Instant),
    Connecting(Attempt<Channel>),
    Opening {
        attempt: Attempt<Streaming<WorkResponse>>,
        outgoing: mpsc::Sender<WorkRequest>,
    },
    Open {
        incoming: Box<Streaming<WorkResponse>>,
        outgoing: mpsc::Sender<WorkRequest>,
    },
}

/// What happened on the line.
pub(super) enum News {
    /// The rest is over.
    Rested,
    Connected(Channel),
    Opened,
    Said(WorkResponse),
    /// There is room for a message.
    Room,
    /// The stream ended, or there is none to be had.
    Lost(Option<Error>),
}

// === impl Link ===

impl Link {
    pub(super) fn connect(endpoint: &Endpoint) -> Link {
        let endpoint = endpoint.clone();
        Link::Connecting(Box::pin(async move { channel::connect(&endpoint).await }))
    }

    /// Opens a stream whose first message is `register`.
    pub(super) fn open(channel: Channel, hub: AsciiMetadataValue, register: WorkRequest) -> Link {
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        if outgoing.try_send(register).is_err() {
            unreachable!("a new channel has room for its first message");
        }
        let mut request = Request::new(ReceiverStream::new(messages));
        request.metadata_mut().insert(HUB_KEY, hub);
        let mut stub = WorkerServiceClient::new(channel).max_decoding_message_size(DECODED_BYTES_MAX);
        let attempt = Box::pin(async move { Ok(stub.work(request).await?.into_inner()) });
        Link::Opening { attempt, outgoing }
    }

    /// What happens next; room for a message only if that is wanted. Nothing is lost when this future is dropped.
    pub(super) async fn next(&mut self, wants_room: bool) -> News {
        match self {
            Link::Resting(until) => {
                tokio::time::sleep_until((*until).into()).await;
                News::Rested
            }
            Link::Connecting(attempt) => match attempt.await {
                Ok(channel) => News::Connected(channel),
                Err(error) => News::Lost(Some(error)),
            },
            Link::Opening { attempt, outgoing } => match attempt.await {
                Ok(incoming) => {
                    let outgoing = outgoing.clone();
                    *self = Link::Open { incoming: Box::new(incoming), outgoing };
                    News::Opened
                }
                Err(error) => News::Lost(Some(error)),
            },
            Link::Open { incoming, outgoing } => tokio::select! {
                said = incoming.message() => said.into(),
                room = outgoing.reserve(), if wants_room => match room {
                    Ok(_) => News::Room,
                    // The connection dropped the other end; the stream says why.
                    Err(_) => incoming.message().await.into(),
                },
            },
        }
    }

    /// Whether a message can be handed over now.
    pub(super) fn has_room(&self) -> bool {
        matches!(self, Link::Open { outgoing, .. } if outgoing.capacity() > 0 && !outgoing.is_closed())
    }

    /// Hands over a message. One that finds no stream is lost with it, as on the wire.
    pub(super) fn send(&self, message: WorkRequest) {
        if let Link::Open { outgoing, .. } = self {
            drop(outgoing.try_send(message));
        }
    }
}

// === impl News ===

impl From<Result<Option<WorkResponse>, Status>> for News {
    fn from(message: Result<Option<WorkResponse>, Status>) -> News {
        match message {
            Ok(Some(said)) => News::Said(said),
            Ok(None) => News::Lost(None),
            Err(status) => News::Lost(Some(status.into())),
        }
    }
}
