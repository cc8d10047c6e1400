//! Why a command was not carried out. Nothing changed.

use super::{
    ids::{ExecutionId, FencingToken},
    lease::Cancellation,
    limits,
    status::View,
};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    #[error("An instance with ID '{}' already exists.", .0.key.id())]
    AlreadyRunning(Box<View>),
    #[error("instance '{}' has ended as {}, which this start does not replace", .0.key.id(), .0.execution.status.name())]
    StatusNotReplaceable(Box<View>),
    #[error("instance '{}' runs the function '{}', not '{requested}'", .existing.key.id(), .existing.execution.spec.function)]
    FunctionMismatch { existing: Box<View>, requested: String },
    #[error("request_id '{request_id}' was used before to ask for something else; use a new one")]
    RequestIdReused { request_id: String },
    #[error("no instance with ID '{id}'")]
    NotFound { id: String },
    #[error("instance '{}' has ended as {}", .0.key.id(), .0.execution.status.name())]
    NotLive(Box<View>),
    #[error("instance '{}' is {}: only an instance that has ended can be purged", .0.key.id(), .0.execution.status.name())]
    StillLive(Box<View>),
    #[error("instance '{id}' has no execution {execution} that is live, queued or still known")]
    ExecutionNotFound { id: String, execution: ExecutionId },
    #[error("{waiting} starts wait in the queue of instance '{id}' already; this one's max_queue is {max}")]
    QueueFull { id: String, waiting: u32, max: u32 },
    #[error("instance '{}' is at execution {}, not {expected}", .current.key.id(), .current.execution.id)]
    ExecutionMismatch { current: Box<View>, expected: ExecutionId },
    #[error(
        "instance '{id}' has {} events that no worker has acknowledged: no more until some are",
        limits::INBOX_EVENTS_MAX
    )]
    InboxFull { id: String },
    #[error("the run was cancelled: stop it and report Stopped")]
    Cancelled(Cancellation),
    #[error("fencing token {presented} is not the current lease's")]
    StaleFencingToken { presented: FencingToken },
    #[error("the work item was completed, handed to somebody else or is no longer wanted")]
    StaleCompletionToken,
    #[error("the run can't be granted now")]
    NotGrantable,
}
