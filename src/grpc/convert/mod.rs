//! From the wire and to it: whoever gets past here holds valid things.

mod filter;
mod history;
mod instance;
mod lifecycle;
mod requests;
mod start;
mod violations;
mod worker;

pub use self::{
    filter::{list, listed, position, purge_many, purged, token, wanted},
    history::{chapter, history},
    instance::{seen, shown, to_wire},
    lifecycle::{purge, restart, restarted, resume, suspend, terminate},
    requests::{execution, payload, raise_event, timestamp, wish},
    start::{start, started, tags},
    violations::Violations,
    worker::{Registration, Said, cancel, claim, event, pace, registration, run, said},
};
