//! The half of the protocol that workers speak: a stream of work items, and what becomes of each.

mod complete;
mod items;

pub use self::{
    complete::{abandon, complete_activity, complete_turn},
    items::{Items, Manners, work_items},
};
