//! From the wire and to it: whoever gets past here holds valid things.

mod instance;
mod requests;
mod violations;
mod worker;

pub use self::{
    instance::{shown, to_wire},
    requests::{key, raise_event, start, started, terminate, wish},
    violations::Violations,
    worker::{Registration, Said, cancel, claim, event, registration, run, said},
};
