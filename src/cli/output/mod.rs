//! What is printed: data to stdout, as tables for people or as JSON for programs; the rest to stderr.

mod history;
mod json;
mod list;
mod paint;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use serde::Serialize;
use tonic_health::pb::health_check_response::ServingStatus;

use self::list::List;
pub use self::{
    paint::Paint,
    table::Table,
    text::{interrupted as interruption, second, status_name},
};
use super::{
    Error, Exit,
    bench::report::{self, Report},
};
use crate::{
    client::{Interruption, WatchItem},
    proto::v1::{HistoryEvent, InstanceStatus, QueuedStart, RaiseEventResponse, StartSingletonResponse},
    store::embedded::Restored,
};

/// How results are printed.
pub struct Output {
    json: bool,
    paint: Paint,
}

impl Output {
    pub fn new(json: bool) -> Output {
        Output { json, paint: Paint::for_stdout() }
    }

    /// Whether people look at stdout and what is shown there may be drawn anew.
    pub fn is_live(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    pub fn paint(&self) -> Paint {
        self.paint
    }

    pub fn status(&self, status: &InstanceStatus) -> Result<(), Error> {
        self.print(|| json::Status::of(status), || text::status(status, &[], self.paint))
    }

    pub fn status_and_queue(&self, status: &InstanceStatus, queue: &[QueuedStart]) -> Result<(), Error> {
        self.print(|| json::StatusAndQueue::of(status, queue), || text::status(status, queue, self.paint))
    }

    pub fn list(&self) -> List<'_> {
        List::new(self)
    }

    /// The head of the table that `happened` goes on with.
    pub fn history_begins(&self) -> Result<(), Error> {
        if self.json { Ok(()) } else { write(&history::head()) }
    }

    pub fn happened(&self, event: &HistoryEvent) -> Result<(), Error> {
        self.print(|| json::Happened::of(event), || history::event(event))
    }

    pub fn purged(&self, count: u64) -> Result<(), Error> {
        self.print(|| json::Purged { purged: count }, || text::purged(count))
    }

    pub fn started(&self, answer: &StartSingletonResponse) -> Result<(), Error> {
        self.print(|| json::Started::of(answer), || text::started(answer, self.paint))
    }

    pub fn raised(&self, answer: &RaiseEventResponse) -> Result<(), Error> {
        self.print(|| json::Raised::of(answer), || text::raised(answer))
    }

    pub fn health(&self, service: &str, status: ServingStatus) -> Result<(), Error> {
        let status = status.as_str_name();
        self.print(|| json::Health { service, status }, || format!("{status}\n"))
    }

    pub fn backed_up(&self, file: &Path, bytes: u64) -> Result<(), Error> {
        self.print(|| json::BackedUp::of(file, bytes), || text::backed_up(file, bytes))
    }

    pub fn restored(&self, folder: &Path, restored: &Restored) -> Result<(), Error> {
        self.print(|| json::Restored::of(folder, restored), || text::restored(folder, restored))
    }

    pub fn benched(&self, report: &Report) -> Result<(), Error> {
        self.print(|| report::json::Bench::of(report), || report::table::text(report))
    }

    /// The head of the table that `watched` goes on with.
    pub fn watch_begins(&self) -> Result<(), Error> {
        if self.json { Ok(()) } else { write(&text::watch_head()) }
    }

    pub fn watched(&self, item: &WatchItem) -> Result<(), Error> {
        if item.resync && !self.json {
            notice("some transitions could not be delivered; this is the status now:");
        }
        self.print(|| json::Watched::of(item), || text::watched(item, self.paint))
    }

    /// The head of the table that `watched_among_many` goes on with.
    pub fn watch_of_many_begins(&self) -> Result<(), Error> {
        if self.json { Ok(()) } else { write(&text::watch_of_many_head()) }
    }

    pub fn watched_among_many(&self, item: &WatchItem) -> Result<(), Error> {
        self.print(|| json::Watched::of(item), || text::watched_among_many(item, self.paint))
    }

    pub fn synced(&self) -> Result<(), Error> {
        self.print(|| json::Synced { synced: true }, String::new)
    }

    pub fn begins_again(&self) -> Result<(), Error> {
        if !self.json {
            notice("some transitions may be missing here; these are the statuses now:");
        }
        self.print(|| json::BeginsAgain { resync: true }, String::new)
    }

    /// A transition, for people who wait.
    pub fn progress(&self, status: &InstanceStatus) {
        notice(&text::progress(status));
    }

    /// Tells an error and answers how the program ends.
    pub fn error(&self, error: &Error) -> Exit {
        let exit = error.exit();
        if exit != Exit::Done {
            if self.json {
                notice(&json::object(&json::Failed { error: error.report() }));
            } else {
                notice(&error.block());
            }
        }
        exit
    }

    fn print<J: Serialize>(&self, json: impl FnOnce() -> J, text: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json { write(&format!("{}\n", json::object(&json()))) } else { write(&text()) }
    }
}

/// Writes to stdout, through to the reader.
pub fn write(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
}

/// A watch has lost its connection and goes on by itself.
pub fn interrupted(interruption: &Interruption) {
    notice(&text::interrupted(interruption));
}

/// Something that people may want to know. A closed stderr is no reason to stop.
pub fn notice(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
