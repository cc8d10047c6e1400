//! The half of the protocol that clients speak: one file per family of calls.

mod control;
mod history;
mod purge;
mod query;
mod restart;
mod start;
mod status;

pub use self::{
    control::{raise_event, resume, skip_graceful_terminations, suspend, terminate},
    history::{Chunks, history},
    purge::purge,
    query::{list_ended, query},
    restart::restart,
    start::start,
    status::{get, until},
};
