//! Histories: what happened in the latest execution, the oldest first.

use std::{collections::VecDeque, iter::repeat, sync::Arc};

use super::{Engine, Refusal, Shared, query::read_payload};
use crate::{
    core::{
        history::{Happened, HistoryEvent},
        ids::{Arrival, ExecutionId, InstanceKey, Name, PayloadRow},
        instance::Instance,
        limits,
        rejection::Rejection,
        status::{Execution, Failure, Status},
        time::Timestamp,
    },
    store::{ReadError, Row, RowKey, Table, record, record::Noted},
};

/// Rows that are read at a time: each may hold a failure with all its details.
const PAGE_ROWS: usize = 64;
/// Bytes that are read before the first event is told. A history that is no longer is told as a whole or not at all.
const AHEAD_BYTES: usize = 1 << 20;
/// Tries to read so much of one execution, while new executions replace each other.
const TRIES: usize = 16;

/// One event of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// Within the execution, from 0.
    pub number: u64,
    pub at: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Started {
        function: Name,
        input: Option<String>,
    },
    Happened(Happened),
    /// What an execution that is run in turns has noted: an event of the Durable Task protocol, in its bytes.
    Noted(Vec<u8>),
    Completed {
        output: Option<String>,
    },
    Failed {
        failure: Option<Arc<Failure>>,
    },
    Terminated {
        reason: Arc<str>,
        output: Option<String>,
    },
}

/// The history of an execution as it stood when it was asked for, read as it is told.
pub struct History {
    shared: Arc<Shared>,
    key: InstanceKey,
    arrival: Arrival,
    execution: Execution,
    next: Next,
    /// Of an execution that is run in turns, whose history is kept whole: the events have greater numbers.
    base: Option<u64>,
    /// What was read and not yet told.
    backlog: VecDeque<Chapter>,
}

/// What is to be read.
#[derive(Clone, Copy)]
enum Next {
    Beginning,
    Rows { from: u64 },
    End,
    Nothing,
}

/// Another execution has begun: what was read may not belong to this one.
struct Replaced;

impl Engine {
    /// The history of the latest execution, which has to be the expected one if there is such.
    pub async fn history(&self, key: &InstanceKey, expected: Option<ExecutionId>) -> Result<History, Refusal> {
        for _ in 0..TRIES {
            let mut history = History::of_latest(&self.shared, key, expected).await?;
            if history.read_ahead().await?.is_ok() {
                return Ok(history);
            }
        }
        Err(Refusal::Unavailable("the instance changes faster than its history can be read"))
    }
}

impl History {
    async fn of_latest(
        shared: &Arc<Shared>,
        key: &InstanceKey,
        expected: Option<ExecutionId>,
    ) -> Result<History, Refusal> {
        let look = |instance: &Instance, now| {
            let base = instance.turns.as_ref().filter(|turns| turns.begun).map(|turns| turns.history_base);
            (instance.arrival, instance.view(key, now), base)
        };
        let (arrival, view, base) = shared.look(key, look).await?;
        if let Some(expected) = expected.filter(|expected| *expected != view.execution.id) {
            return Err(Rejection::ExecutionMismatch { current: Box::new(view), expected }.into());
        }
        Ok(History {
            shared: shared.clone(),
            key: key.clone(),
            arrival,
            execution: view.execution,
            // The first turn notes the beginning.
            next: base.map_or(Next::Beginning, |base| Next::Rows { from: base + 1 }),
            base,
            backlog: VecDeque::new(),
        })
    }

    /// The execution that it is of, as it stood when it was asked for.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The next event; nothing after the last one.
    pub async fn next(&mut self) -> Result<Option<Chapter>, Refusal> {
        while self.backlog.is_empty() && !matches!(self.next, Next::Nothing) {
            if self.read_on().await?.is_err() {
                return Err(Refusal::Unavailable("the instance began anew while its history was read; ask again"));
            }
        }
        Ok(self.backlog.pop_front())
    }

    async fn read_ahead(&mut self) -> Result<Result<(), Replaced>, Refusal> {
        let mut bytes = 0;
        while bytes < AHEAD_BYTES && !matches!(self.next, Next::Nothing) {
            match self.read_on().await? {
                Ok(read) => bytes += read,
                Err(replaced) => return Ok(Err(replaced)),
            }
        }
        Ok(Ok(()))
    }

    /// Reads what comes next; answers how many bytes of payloads and rows that were.
    async fn read_on(&mut self) -> Result<Result<usize, Replaced>, Refusal> {
        let (read, next, chapters) = match self.next {
            Next::Beginning => self.beginning().await?,
            Next::Rows { from } => self.rows(from).await?,
            Next::End => self.end().await?,
            Next::Nothing => return Ok(Ok(0)),
        };
        // What is committed is never newer than what memory holds: if that is still this execution, so was what was
        // read. Executions never come back.
        let current = |instance: &Instance| (instance.execution.id, instance.execution.history);
        let Some((execution, noted)) = self.shared.partition(&self.key).look(&self.key, current).found else {
            return Ok(Err(Replaced));
        };
        if execution != self.execution.id {
            return Ok(Err(Replaced));
        }
        if let Next::Rows { from } = self.next {
            self.miss_none(from, next, &chapters, noted)?;
        }
        self.next = next;
        self.backlog.extend(chapters);
        Ok(Ok(read))
    }

    async fn beginning(&self) -> Result<(usize, Next, Vec<Chapter>), Refusal> {
        let input = self.payload(self.execution.input).await?;
        let read = input.as_ref().map_or(0, String::len);
        let what = What::Started { function: self.execution.spec.function.clone(), input };
        Ok((read, Next::Rows { from: 1 }, vec![Chapter { number: 0, at: self.execution.created_at, what }]))
    }

    async fn rows(&self, from: u64) -> Result<(usize, Next, Vec<Chapter>), Refusal> {
        let (arrival, last) = (self.arrival, self.execution.history);
        if from > last {
            return Ok((0, Next::End, Vec::new()));
        }
        let rows = self.shared.read(move |store| store.read(Table::History, arrival, from, PAGE_ROWS)).await?;
        // What was noted later was not there when the history was asked for.
        let rows = rows.into_iter().filter(|row| row.key.number <= last);
        let (mut read, mut chapters) = (0, Vec::new());
        for row in rows {
            read += row.bytes.len();
            let (at, what) = match decode(&row)? {
                Noted::Native(HistoryEvent { at, happened }) => (at, What::Happened(happened)),
                Noted::DurableTask(note) => (self.execution.last_updated_at, What::Noted(note)),
            };
            chapters.push(Chapter { number: row.key.number, at, what });
        }
        let next = match chapters.last() {
            Some(chapter) if chapter.number < last => Next::Rows { from: chapter.number + 1 },
            // Its worker has noted the end.
            Some(Chapter { what: What::Noted(note), .. }) if record::is_end(note) => Next::Nothing,
            _ => Next::End,
        };
        Ok((read, next, chapters))
    }

    /// A row that is missing leaves no trace in its table: whatever is not there must be older than what is kept, by
    /// what was noted until now.
    fn miss_none(&self, from: u64, next: Next, chapters: &[Chapter], noted: u64) -> Result<(), Refusal> {
        let through = if let Next::Rows { from } = next { from - 1 } else { self.execution.history };
        let first_kept = self.base.unwrap_or_else(|| noted.saturating_sub(limits::HISTORY_KEPT)) + 1;
        let found = chapters.iter().map(|chapter| chapter.number).filter(|number| *number >= first_kept);
        let mut wanted = (from.max(first_kept)..=through).zip(found.map(Some).chain(repeat(None)));
        match wanted.find(|(number, found)| Some(*number) != *found) {
            None => Ok(()),
            Some((number, _)) => {
                let key = RowKey { arrival: self.arrival, number };
                Err(ReadError::Damaged { table: Table::History, key, what: "it is not there".into() }.into())
            }
        }
    }

    async fn end(&self) -> Result<(usize, Next, Vec<Chapter>), Refusal> {
        let execution = &self.execution;
        let what = match execution.status {
            Status::Pending | Status::Running | Status::Suspended => return Ok((0, Next::Nothing, Vec::new())),
            Status::Completed => What::Completed { output: self.payload(execution.output).await? },
            Status::Failed => What::Failed { failure: execution.failure.clone() },
            Status::Terminated => What::Terminated {
                reason: execution.termination_reason.clone().unwrap_or_else(|| "".into()),
                output: self.payload(execution.output).await?,
            },
        };
        let at = execution.completed_at.unwrap_or(execution.last_updated_at);
        Ok((0, Next::Nothing, vec![Chapter { number: execution.history + 1, at, what }]))
    }

    async fn payload(&self, row: Option<PayloadRow>) -> Result<Option<String>, Refusal> {
        let Some(row) = row else { return Ok(None) };
        let arrival = self.arrival;
        self.shared.read(move |store| read_payload(store, arrival, row)).await
    }
}

fn decode(row: &Row) -> Result<Noted, Refusal> {
    record::decode_noted(&row.bytes)
        .map_err(|error| ReadError::Damaged { table: Table::History, key: row.key, what: error.to_string() }.into())
}
