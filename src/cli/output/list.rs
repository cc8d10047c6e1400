//! A list of instances: a table for people that grows page by page, or an object a line.

use super::{Output, json, paint::Paint, table::Table, text, write};
use crate::{cli::Error, proto::v1::InstanceStatus};

const HEADS: [&str; 7] = ["INSTANCE", "FUNCTION", "STATUS", "CREATED", "UPDATED", "QUEUED", "WORKER"];
const STATUS_COLUMN: usize = 2;

/// What has been printed of a list so far.
pub struct List<'a> {
    output: &'a Output,
    table: Table<{ HEADS.len() }>,
    begun: bool,
}

impl<'a> List<'a> {
    pub fn new(output: &'a Output) -> List<'a> {
        List { output, table: Table::new(HEADS), begun: false }
    }

    pub fn is_empty(&self) -> bool {
        !self.begun
    }

    /// Prints some more. The columns are as wide as these and those before need them.
    pub fn print(&mut self, instances: &[InstanceStatus]) -> Result<(), Error> {
        if instances.is_empty() {
            return Ok(());
        }
        let text = if self.output.json {
            instances.iter().map(|status| json::object(&json::Status::of(status)) + "\n").collect()
        } else {
            self.rows(instances, self.output.paint)
        };
        self.begun = true;
        write(&text)
    }

    pub(super) fn rows(&mut self, instances: &[InstanceStatus], paint: Paint) -> String {
        let rows: Vec<_> = instances.iter().map(cells).collect();
        rows.iter().for_each(|cells| self.table.fit(cells));
        let mut text = if self.begun { String::new() } else { self.table.head(usize::MAX) + "\n" };
        for (status, cells) in instances.iter().zip(&rows) {
            let painted = |column, cell: String| match column {
                STATUS_COLUMN => paint.status(status.runtime_status(), &cell),
                _ => cell,
            };
            text += &(self.table.line(cells, usize::MAX, painted) + "\n");
        }
        text
    }
}

fn cells(status: &InstanceStatus) -> [String; HEADS.len()] {
    [
        status.instance_id.clone(),
        status.function_name.clone(),
        text::status_name(status.runtime_status()).into(),
        status.created_at.as_ref().map(text::moment).unwrap_or_default(),
        status.last_updated_at.as_ref().map(text::moment).unwrap_or_default(),
        status.queued_starts.to_string(),
        status.worker.clone(),
    ]
}
