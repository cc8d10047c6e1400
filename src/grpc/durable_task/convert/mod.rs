//! From the Durable Task SDKs' wire and to it: whoever gets past here holds valid things.

mod history;
mod patience;
mod query;
mod requests;
mod start;
mod state;
mod turn;
mod worker;

pub use self::{
    history::events,
    patience::patience,
    query::{Ended, Listed, ended, ended_key, purge, query},
    requests::{Target, batch, instance, raise_event, reason, terminate},
    start::{Asked, Reuse, start},
    state::{existing, state},
    turn::completed_turn,
    worker::{activity, failed, named_token, outcome, token, turn, wishes},
};
