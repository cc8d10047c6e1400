//! Lists: instances in the order of their arrival, page by page, as the store has them.
//!
//! What a page shows was committed before it was read, so it is durable; and what was answered before the page was asked
//! for is in it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Engine, Refusal, Shared};
use crate::{
    clock::Clock,
    core::{filter::Filter, ids::Arrival, status::View, time::Span},
    store::{ReadError, Row, RowKey, Store, Table, record},
};

/// Pages that are read at once, for lists and for watches: fewer than the store reads at once, so that whoever wants but
/// a few rows need not wait for them, nor who lists for a thousand watches.
pub(super) const LISTS_AT_ONCE: usize = 2;
pub(super) const WATCHES_AT_ONCE: usize = 1;
/// Rows that are read at a time.
const CHUNK_ROWS: usize = 256;
/// A page ends when it was looked for so long, or in so many rows: others want the disk too.
const PAGE_TIME: Span = Span::from_micros(50_000);
const PAGE_ROWS: usize = 200_000;
/// A page ends before its statuses have more bytes together: stock clients take messages of 4 MiB.
const PAGE_BYTES: usize = 3_900_000;
/// The most bytes that a status has on the wire beyond those of its record: ids and times are longer there.
const STATUS_OVERHEAD_BYTES: usize = 256;

/// Some instances that are meant.
#[derive(Debug)]
pub struct Page {
    /// In the order of their arrival. They don't tell when leases end.
    pub views: Vec<View>,
    /// Where each of them stands.
    pub arrivals: Vec<Arrival>,
    /// Everything that arrived up to here was looked at; nothing if that is all.
    pub next: Option<Arrival>,
}

impl Engine {
    /// The instances that are meant and arrived after `after`: at most `limit`, perhaps fewer, also where more follow.
    pub async fn list(&self, filter: Arc<Filter>, after: Arrival, limit: usize) -> Result<Page, Refusal> {
        self.shared.page(&self.shared.list_turns, filter, after, limit).await
    }
}

impl Shared {
    pub(super) async fn page(
        &self,
        turns: &Arc<Semaphore>,
        filter: Arc<Filter>,
        after: Arrival,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let clock = self.clock.clone();
        self.read_in_turn(turns, move |store| look_through(store, &*clock, &filter, after, limit)).await
    }
}

fn look_through(
    store: &dyn Store,
    clock: &dyn Clock,
    filter: &Filter,
    after: Arrival,
    limit: usize,
) -> Result<Page, ReadError> {
    let begun = clock.now().steady;
    let (mut views, mut arrivals, mut through) = (Vec::new(), Vec::new(), after);
    let (mut rows_seen, mut bytes) = (0, 0);
    let mut chunk = limit.clamp(1, CHUNK_ROWS);
    loop {
        let rows = store.scan(Table::Record, Some(RowKey { arrival: through, number: 0 }), chunk)?;
        for row in &rows {
            if let Some(view) = meant(filter, row)? {
                bytes += row.bytes.len() + STATUS_OVERHEAD_BYTES;
                if bytes > PAGE_BYTES && !views.is_empty() {
                    return Ok(Page { views, arrivals, next: Some(through) });
                }
                views.push(view);
                arrivals.push(row.key.arrival);
            }
            through = row.key.arrival;
            if views.len() == limit {
                return Ok(Page { views, arrivals, next: Some(through) });
            }
        }
        if rows.len() < chunk {
            return Ok(Page { views, arrivals, next: None });
        }
        rows_seen += rows.len();
        if rows_seen >= PAGE_ROWS || clock.now().steady - begun >= PAGE_TIME {
            return Ok(Page { views, arrivals, next: Some(through) });
        }
        chunk = CHUNK_ROWS;
    }
}

/// The instance, if it is meant: the cheapest questions first.
fn meant(filter: &Filter, row: &Row) -> Result<Option<View>, ReadError> {
    let damaged = |error: record::Undecodable| {
        let what = error.to_string();
        ReadError::Damaged { table: Table::Record, key: row.key, what }
    };
    let (hub, id) = record::decode_names(&row.bytes).map_err(damaged)?;
    if !filter.admits(hub, id) {
        return Ok(None);
    }
    let view = record::decode_view(&row.bytes).map_err(damaged)?;
    Ok(view.filter(|view| filter.means(&view.execution)))
}
