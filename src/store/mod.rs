//! What survives: rows that hang on an instance's arrival number, written in one typed batch per commit.
//!
//! A store knows nothing of clocks, watches or rules. It keeps rows, refuses the batches of former owners, and has
//! made a commit durable before it returns.

mod backup;
pub mod embedded;
mod fence;
pub mod memory;
pub mod record;

pub use self::backup::{Backup, BackupError, Contents, Stop};
use crate::core::{
    ids::{Arrival, Revision},
    partitioning::PartitionId,
};

/// The kinds of rows. Each has a table of its own, keyed by (arrival, number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row an instance, number 0: everything but what the other tables hold.
    Record,
    /// Status transitions; the number is the transition's sequence number.
    Transition,
    /// Input, output, custom status; the number is the revision that wrote it.
    Payload,
    /// External events and results of tasks that are not acknowledged; the number is the event's.
    Event,
    /// Starts that wait for the live execution to end; the number is the revision that queued it.
    Queue,
    /// Tasks that an orchestrator has scheduled and not yet heard of, and its sub-orchestrations; the number is the
    /// revision that scheduled it.
    Task,
    /// Messages to other instances that are not known to have arrived; the number is the revision that sent it.
    Outbox,
    /// Up to where a partition has received another one's messages: the arrival is the receiver, the number the sender.
    Mark,
    /// Events of the latest execution's history, its beginning and end excepted; the number is the event's.
    History,
    /// Remembered starts; the number is the revision that accepted it.
    Request,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub arrival: Arrival,
    pub number: u64,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: RowKey,
    pub bytes: Vec<u8>,
}

/// One change to the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes the row, in the place of the one with the same key if there is one.
    Put { table: Table, key: RowKey, bytes: Vec<u8> },
    /// Deletes the row, if it is there.
    Delete { table: Table, key: RowKey },
    /// Deletes the rows of one arrival whose numbers are at most `key.number`.
    DeleteThrough { table: Table, key: RowKey },
}

/// The right to write a partition, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub partition: PartitionId,
    /// Fences the writes of former owners.
    pub epoch: u64,
    /// The number of the partition's last commit.
    pub sequence: u64,
    /// The last revision that the partition has given out.
    pub revision: Revision,
    /// Where the revisions went on when the store was restored from a backup; zero if it never was. Whoever has seen an
    /// earlier one may have seen it in a future that the backup did not know.
    pub restored: Revision,
}

/// What one partition writes in one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub partition: PartitionId,
    pub epoch: u64,
    /// One more than the partition's last commit.
    pub sequence: u64,
    /// The last revision in this batch.
    pub revision: Revision,
    pub writes: Vec<Write>,
}

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else owns the partition now, or the batch does not follow the last one. Nothing was written.
    #[error("partition {} was fenced: the store is at {found}, the batch says {presented}", .partition.0)]
    Fenced { partition: PartitionId, found: String, presented: String },
    /// Whether the batch is durable can't be known. The claims on all its partitions are void: use none of them again.
    #[error("the commit's outcome is unknown: {0}")]
    OutcomeUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why rows could not be read, or a claim not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The rows are not what was written: the file was damaged. Nothing that depends on them can be answered.
    #[error("{table:?} row {}/{} is damaged: {what}", .key.arrival.0, .key.number)]
    Damaged { table: Table, key: RowKey, what: String },
    /// The store did not answer. Another try may help.
    #[error("the store can't be read: {0}")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What survives. All calls but `check` block; none of those is made from an async task.
pub trait Store: Send + Sync + 'static {
    /// Takes the partitions over from whoever had them: their epochs rise, durably, before this returns.
    fn claim(&self, partitions: &[PartitionId]) -> Result<Vec<Claim>, ReadError>;

    /// Writes the batches, at most one a partition, all or none, durable before it returns. Refused as a whole if an
    /// epoch or a sequence is not the store's.
    fn commit(&self, batches: &[Batch]) -> Result<(), CommitError>;

    /// The rows of a table in the order of their keys, after `after`, at most `limit`. Reads what is committed.
    fn scan(&self, table: Table, after: Option<RowKey>, limit: usize) -> Result<Vec<Row>, ReadError>;

    /// The rows of one arrival in the order of their numbers, from number `from` on, at most `limit`.
    fn read(&self, table: Table, arrival: Arrival, from: u64, limit: usize) -> Result<Vec<Row>, ReadError>;

    /// Copies all that is committed when this is called, while commits go on. A failure is the copy's alone: it says
    /// nothing of the store. An engine that others keep for us, or that keeps nothing, has no copy to give.
    fn backup(&self, _stop: &Stop) -> Result<Backup, BackupError> {
        Err(BackupError::Unsupported)
    }

    /// Whether it would still take a commit: an error once any write or flush has failed, also one that no commit
    /// waited for. Answers at once.
    fn check(&self) -> Result<(), CommitError>;

    /// Gives everything back in good order: the last call.
    fn close(&self) -> Result<(), CommitError>;
}

impl Table {
    pub const ALL: [Table; 10] = [
        Table::Record,
        Table::Transition,
        Table::Payload,
        Table::Event,
        Table::Queue,
        Table::History,
        Table::Request,
        Table::Task,
        Table::Outbox,
        Table::Mark,
    ];
}

impl Write {
    /// The greatest arrival and number that a row can have: what a signed number holds.
    pub const NUMBER_MAX: u64 = i64::MAX as u64;

    /// Whether every engine can hold it; if not, why.
    fn check(&self) -> Result<(), String> {
        let (Write::Put { table, key, .. } | Write::Delete { table, key } | Write::DeleteThrough { table, key }) = self;
        let RowKey { arrival: Arrival(arrival), number } = *key;
        match table {
            _ if arrival.max(number) > Self::NUMBER_MAX => Err(format!("no {table:?} row can be {arrival}/{number}")),
            Table::Record if number != 0 => Err(format!("a record's number is 0, not {number}")),
            Table::Record
            | Table::Transition
            | Table::Payload
            | Table::Event
            | Table::Queue
            | Table::History
            | Table::Request
            | Table::Task
            | Table::Outbox
            | Table::Mark => Ok(()),
        }
    }
}
