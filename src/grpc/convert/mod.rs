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
    filter::{list, listed, purge_many, purged, wanted},
    history::{chapter, history},
    instance::{seen, shown, to_wire},
    lifecycle::{purge, restart, restarted, resume, suspend, terminate},
    requests::{execution, raise_event, wish},
    start::{start, started},
    violations::Violations,
    worker::{Registration, Said, cancel, claim, event, pace, registration, run, said},
};
