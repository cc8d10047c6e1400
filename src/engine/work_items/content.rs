//! What workers are to be told of their work items, read from the store.

use super::{Assignment, Work};
use crate::{
    core::ids::{Arrival, ExecutionId, PayloadRow},
    engine::query::read_payload,
    mutant::Mutant,
    store::{ReadError, Row, RowKey, Store, Table, record, record::Incoming},
};

/// Rows of history and inbox that are read at a time.
const PAGE: usize = 1_000;
/// What one turn is told of its inbox at most: the rest waits for the next.
const EVENTS_MAX: usize = 1_000;
const EVENT_BYTES_MAX: usize = 1 << 20;
/// What is read for several work items at once is no more than this and the last of them.
const BYTES_AT_ONCE: usize = 1 << 20;

/// What a worker is to be told, beside what the item and the claim say.
pub enum Content {
    Turn(TurnContent),
    /// The event of the history that schedules the activity.
    Activity(Vec<u8>),
}

pub struct TurnContent {
    /// The history so far, as Durable Task `HistoryEvent`s.
    pub past: Vec<Vec<u8>>,
    pub incoming: Vec<Incoming>,
    /// The last event of the inbox that is among them.
    pub through: u64,
    pub input: Option<String>,
}

/// What is to be read for a work item.
pub(super) enum Wanted {
    Turn {
        arrival: Arrival,
        execution: ExecutionId,
        /// The rows of history behind the one and up to the other.
        history: (u64, u64),
        input: Option<PayloadRow>,
        /// The same of the inbox.
        inbox: (u64, u64),
    },
    Activity {
        arrival: Arrival,
        row: u64,
    },
    Nothing,
}

// === impl Content ===

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Content::Turn(turn) => {
                let past: usize = turn.past.iter().map(Vec::len).sum();
                past + turn.incoming.iter().map(Incoming::bytes).sum::<usize>()
            }
            Content::Activity(scheduled) => scheduled.len(),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn of(assignment: &Assignment) -> Wanted {
        match (&assignment.item.work, &assignment.claim) {
            (Work::Activity(offer), _) => Wanted::Activity { arrival: offer.arrival, row: offer.row },
            (Work::Turn, None) => Wanted::Nothing,
            (Work::Turn, Some(claim)) => {
                let begun = claim.turns.as_ref().is_some_and(|turns| turns.begun);
                let base = claim.turns.as_ref().map_or(0, |turns| turns.history_base);
                Wanted::Turn {
                    arrival: claim.arrival,
                    execution: claim.execution.id,
                    history: (base, if begun { claim.execution.history } else { base }),
                    input: claim.execution.input.filter(|_| !begun),
                    inbox: (claim.inbox_after, claim.inbox_last),
                }
            }
        }
    }

    /// Whether any of it is in the store.
    pub(super) fn is_stored(&self) -> bool {
        match self {
            Wanted::Turn { history, input, inbox, .. } => history.0 < history.1 || input.is_some() || inbox.0 < inbox.1,
            Wanted::Activity { .. } => true,
            Wanted::Nothing => false,
        }
    }

    fn read(&self, store: &dyn Store) -> Result<Option<Content>, ReadError> {
        match *self {
            Wanted::Turn { arrival, execution, history: (base, history), input, inbox: (after, last) } => {
                let past = read_past(store, arrival, base, history)?;
                let input = input.map(|row| read_payload(store, arrival, row)).transpose()?.flatten();
                let (incoming, through) = read_inbox(store, arrival, execution, after, last)?;
                Ok(Some(Content::Turn(TurnContent { past, incoming, through, input })))
            }
            Wanted::Activity { arrival, row: number } => {
                let rows = store.read(Table::History, arrival, number, 1)?;
                let scheduled = rows.iter().find(|row| row.key.number == number).map_or(Ok(None), note)?;
                let scheduled = scheduled.ok_or_else(|| missing(Table::History, arrival, number))?;
                Ok(Some(Content::Activity(scheduled)))
            }
            Wanted::Nothing => Ok(None),
        }
    }
}

/// Reads one after the other, until that is much: the first one in any case.
pub(super) fn read_all(store: &dyn Store, wanted: &[Wanted]) -> Vec<Result<Option<Content>, ReadError>> {
    let (mut contents, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
    for wanted in wanted {
        let content = wanted.read(store);
        bytes += content.as_ref().ok().and_then(Option::as_ref).map_or(0, Content::bytes);
        contents.push(content);
        if bytes > BYTES_AT_ONCE {
            break;
        }
    }
    contents
}

/// The events of the history with the numbers `base + 1 ..= history`.
fn read_past(store: &dyn Store, arrival: Arrival, base: u64, history: u64) -> Result<Vec<Vec<u8>>, ReadError> {
    let (mut past, mut next) = (Vec::new(), base + 1);
    while next <= history {
        let page = store.read(Table::History, arrival, next, PAGE)?;
        let rows = page.iter().zip(next..=history).take_while(|(row, number)| row.key.number == *number);
        let before = past.len();
        for (row, _) in rows {
            past.extend(note(row)?);
        }
        let read = (past.len() - before) as u64;
        if read == 0 {
            return Err(missing(Table::History, arrival, next));
        }
        next += read;
    }
    Ok(past)
}

/// What has come for this execution since `after`, not all of it if that is much, and the number of the last.
fn read_inbox(
    store: &dyn Store,
    arrival: Arrival,
    execution: ExecutionId,
    after: u64,
    last: u64,
) -> Result<(Vec<Incoming>, u64), ReadError> {
    let (mut inbox, mut through, mut bytes) = (Vec::new(), after, 0);
    while through < last && inbox.len() < EVENTS_MAX && bytes <= EVENT_BYTES_MAX {
        let before = through;
        for row in store.read(Table::Event, arrival, through + 1, PAGE)? {
            if row.key.number != through + 1 || through == last || inbox.len() == EVENTS_MAX || bytes > EVENT_BYTES_MAX
            {
                break;
            }
            through = row.key.number;
            let incoming = record::decode_incoming(&row.bytes).map_err(|error| damaged(&row, Table::Event, &error))?;
            // The ends of what a former execution had scheduled are of no use to this one, however many they are.
            let is_own = match &incoming {
                Incoming::Raised { .. } => true,
                Incoming::TaskEnded { execution: of, .. } => *of == execution || Mutant::TellFormerResults.is_on(),
            };
            if is_own {
                bytes += row.bytes.len();
                inbox.push(incoming);
            }
        }
        if through == before {
            return Err(missing(Table::Event, arrival, before + 1));
        }
    }
    Ok((inbox, through))
}

fn missing(table: Table, arrival: Arrival, number: u64) -> ReadError {
    ReadError::Damaged { table, key: RowKey { arrival, number }, what: "it is not there".into() }
}

fn note(row: &Row) -> Result<Option<Vec<u8>>, ReadError> {
    match record::decode_noted(&row.bytes).map_err(|error| damaged(row, Table::History, &error))? {
        record::Noted::DurableTask(note) => Ok(Some(note)),
        record::Noted::Native(_) => Ok(None),
    }
}

fn damaged(row: &Row, table: Table, error: &record::Undecodable) -> ReadError {
    ReadError::Damaged { table, key: row.key, what: error.to_string() }
}
